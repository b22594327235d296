"""Compares strategies: the same task, arms, seeds and budget, and statistics that say no more than the runs do.

`variants` reads what is compared, `study` says which runs that takes and drives those that are missing, `curves` reads how
each came along, `inference` holds the statistics, `comparison` puts them together, `report` and `figure` show them.
"""
