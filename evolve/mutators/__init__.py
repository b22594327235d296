"""What makes children: language models (`models`) and the free local mutators (`local`); the protocol is in `evolve.mutation`.

`asking` is how a model is asked, and what is kept of its answer. Of the local ones `literals` tunes numbers, `statements` changes
the syntax tree, `recombine` mixes two programs. They stand on `source` (a parsed Python file with positions), `plain` (the numbers
in files of other `languages`), `numerals`, `expressions`, `rearrange`, `blocks` and `alignment` (what can be changed), and `script`
(how a change is written down, checked and applied).
"""
