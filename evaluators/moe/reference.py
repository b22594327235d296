"""Loss-free balancing as it came out of training with the seeds of the search, measured once so that nobody waits for it again.

Made by ``benchmarks/moe.py seeds``; ``benchmarks/MOE.md`` has the command and the machine. Another processor rounds otherwise and
trains other models from the same seeds: what is compared with these numbers is then as true, and less well paired.
"""

from __future__ import annotations

from collections.abc import Mapping

from evolve.evaluators.moe.fitness import Point, Reference

#: By the size's name and whether its experts are of unequal cost.
REFERENCES: Mapping[tuple[str, bool], Reference] = {
    ("nano", False): Reference({0: 1.83005, 1: 1.82742, 2: 1.81966, 3: 1.81994}, max_violation=0.411),
}

#: What a sweep's area is measured from: hardly trained, and all tokens on a few experts.
WORST = Point(3.0, 2.0)
