"""Makes ``python -m evolve.cli`` the same as ``evolve``."""

from evolve.cli.main import main

main()
