"""The `evolve` command, one file per group of commands.

`main` knows every command's name and first line and imports the one that was asked for; `output` prints tables, JSON and
errors; `progress` shows a run while it goes on. Only this package prints or configures logging.
"""
