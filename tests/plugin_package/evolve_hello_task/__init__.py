"""A task and an arm that are installed like anybody's; importing this must not be needed to list or run the task."""
