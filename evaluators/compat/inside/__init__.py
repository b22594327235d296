"""What runs inside the sandbox when an evaluator shares its program's process.

These files stand alone: they are copied into the sandbox, where this package is hidden, and import the standard library and
each other only (under the folder's name there, ``_evolve_inside``). Nothing they say is trusted: the program is in the same
process and could say it too.
"""
