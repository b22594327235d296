"""The MoE lab: trains small mixture-of-experts language models, and measures how a program balances their experts.

Needs torch (extra ``moe``), but for `spec`, `vocabulary`, `metrics`, `fitness`, `paired`, `trace`, `corpus` and the catalog of
methods.

From the text to the score: `corpus` gives bytes of six domains; `model` is the language model, `experts` its mixtures, `router`
asks where tokens go; `balancer` is a method with its state and the defaults, `calling` runs its hooks here or in the sandbox,
`vocabulary` says what hooks there are; `observed` is what they are told of a step; `trainer` trains, `measuring` measures on
held-out text, `metrics` says how uneven loads are; `guards` refuses what does not repeat; `report`, `fitness` and `reference` make
numbers of a training, and `lab` the scores of tasks. `paired` says what beats what, `figures` draws, `trace` keeps loads for the
placement simulator.

`methods` holds the published ways to balance, each a program of its own.
"""
