"""No balancing: the k largest of a softmax, no loss, no bias. What every other method is compared with.

Source: Shazeer et al. 2017 (arXiv 1701.06538), section 2, without its noise and without its balancing losses (section
4).

Defaults: none; there is nothing to set, and every hook is the trainer's.

Edge cases: the rich get richer. An expert that is chosen more learns more and is chosen more again, so a short run is
enough to leave some experts without tokens.
"""

TUNABLE: dict[str, tuple[float, float]] = {}
