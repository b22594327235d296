"""Runs evaluations: the protocol of an executor, and worker processes on this machine."""
