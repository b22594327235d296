"""Expert placement: which GPU holds which experts of a mixture-of-experts model, scored on loads that move.

Numpy only; nothing here needs torch or a GPU. `trace` is what placements are made from and scored on: how often each expert was
chosen in each window of time, with readers of recorded loads; `sampling` gives tokens their experts, `generating` makes traces,
and `presets` names those that tasks use.
"""
