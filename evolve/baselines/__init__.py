"""Measures a task's baselines with the same seeds and says how they differ.

`programs` reads what is measured, `journal` keeps every measurement, `measuring` makes those that are missing, `machine` says
where, `results` holds the statistics, `report` and `figure` show them.
"""
