"""Expert placement: which GPU holds which experts of a mixture, and what a step takes there.

A policy says before each window of steps which expert each slot of each GPU is to hold; the loads that then come decide what that
was worth. Needs numpy alone; scipy where linear programs are solved.

From loads to a score: `trace` keeps loads by window, layer and expert, `recorded` reads those that others published, `generating`
and `presets` draw them, `sampling` draws single tokens; `cluster` describes machines; `placement` proves what a policy answers
and derives all load from it; `traffic`, `cost`, `migration` and `balance` say what it costs, `scores` what others would have
said; `simulator` replays a trace with a `policy`, `examined` asks a second process about it; `bounds`, `routing_lp`, `exact` and
`gaps` say how far from the best it is; `problem` reads what a task wants, `scoring` and `adrs` are the functions of tasks, `report`
and `figures` show what came of it.

`policies`, `forecasters` and `entries` hold the published ways to place experts, as programs to be joined; `catalog` knows them.
"""
