"""Published balancing methods, one standalone program each.

A file here imports nothing but ``torch`` and ``math``, and reads alone: its docstring says what the method does, where
it was published, what its constants are there, and what is different here. It defines some of the hooks ``init``,
``cost``, ``schedule``, ``score``, ``select``, ``gate``, ``loss`` and ``update``; those that it leaves out are the
trainer's defaults (top-k of a softmax, gates that sum to one, no loss, no bias). A hook asks for what it needs by the
names of its parameters, and keeps nothing between calls but what it returns as ``bias`` and ``memory``. The same text
runs in process and, as a program to be evolved, in the sandbox.

``TUNABLE`` names the constants that a fair comparison tunes, with the range to search (log-uniform); it is empty where
a method has nothing to tune.

`catalog` lists the methods, without importing them or torch.

In all files: L layers, B sequences, T tokens, M micro-batches, E experts of which k are chosen, R rows of memory;
``load`` is a share of the selections, ``probability`` a mean over tokens, and both sum to one over the experts.
"""
