"""Cheap synthetic tasks with a scripted model in place of a language model, on which search strategies are measured.

`base` says what a landscape is, `text` what its programs look like, `scripted` how children are made, `driver` how one
`evolve.search.Search` is driven through a run, and `catalog` names them all. `python -m benchmarks.landscapes --help` measures.
"""
