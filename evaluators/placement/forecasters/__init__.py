"""Forecasters of the load of experts, one standalone program's text each.

A file here imports numpy and reads alone. It defines

    forecast(history) -> (L, E) float64, the load expected in the next window

``history`` is (W, L, E) int64 >= 0, the load in each of W >= 1 windows, oldest first; it is not written to. What matters
to a policy is how the load is divided over the experts of a layer, not its sum.

Names that begin with an underscore, and constants, are a file's own.
"""
