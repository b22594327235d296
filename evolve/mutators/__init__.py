"""What makes children: the `Mutator` protocol (`base`) and the free local mutators (`local`).

`literals` tunes numbers, `statements` changes the syntax tree, `recombine` mixes two programs. They stand on `source` (a
parsed file with positions), `numerals`, `expressions`, `rearrange`, `blocks` and `alignment` (what can be changed), and
`script` (how a change is written down, checked and applied).
"""
