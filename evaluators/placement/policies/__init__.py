"""Policies that place experts on GPUs, one standalone program's text each.

A file here imports numpy (and scipy, where its docstring says so) and reads alone. It defines

    place(weight, tokens, current, cluster) -> (L, R) int64, the expert in each slot

``weight`` is (L, E) float64 >= 0, the load that each expert is expected to have; ``tokens`` (W, L, n, k) int16, the experts
that sampled tokens chose together, None where they are not known; ``current`` the placement in force, None where there is
none; ``cluster`` a dict of plain numbers, of which the policies read ``nodes``, ``gpus`` (of all nodes), ``slots`` (of all
GPUs) and ``groups`` (of experts). None of them is written to.

In all files: L layers, E experts, R slots. Slot r lies on GPU ``r // (slots // gpus)``, GPU g on node
``g // (gpus // nodes)``, expert e in group ``e // (E // groups)``; the load of an expert splits evenly over its replicas.
Where several are alike, the one with the lowest number is taken, so that a policy answers the same everywhere.

Names that begin with an underscore are a file's own. A whole program is the text of a policy, a forecaster and an entry,
one after the other: see `evolve.evaluators.placement.catalog`.
"""
