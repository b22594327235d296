"""Runs evaluations: the protocol of an executor, worker processes on this machine, and a Ray cluster whose nodes hold the same."""
