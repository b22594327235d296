"""Loss-free balancing as it came out of training with the seeds of the search, measured once so that nobody waits for it again.

Made by ``benchmarks/moe.py seeds``; ``benchmarks/MOE.md`` has the command and the machine. Another processor rounds otherwise and
trains other models from the same seeds: what is compared with these numbers is then as true, and less well paired.
"""

from __future__ import annotations

from collections.abc import Mapping

from evolve.evaluators.moe.fitness import Point, Reference

#: By the size's name and whether its experts are of unequal cost.
REFERENCES: Mapping[tuple[str, bool], Reference] = {
    ("nano", False): Reference(
        {
            0: 1.832277,
            1: 1.828107,
            2: 1.818075,
            3: 1.818069,
            4: 1.825987,
            5: 1.817814,
            6: 1.838346,
            7: 1.832849,
            8: 1.820717,
            9: 1.817290,
            100: 1.833414,
            101: 1.825658,
            102: 1.841909,
            103: 1.842124,
            104: 1.828430,
            105: 1.844177,
            106: 1.834518,
            107: 1.827207,
            108: 1.825297,
            109: 1.829036,
        },
        max_violation=0.489800,
    ),
    ("nano", True): Reference({0: 1.831440, 1: 1.823531, 2: 1.824866, 3: 1.827432, 4: 1.836103}, max_violation=0.443142),
    ("nano, 64_of_8", False): Reference({100: 1.780776, 101: 1.757805, 102: 1.811962}, max_violation=0.597656),
    ("nano, 32_of_2", False): Reference({100: 1.809650, 101: 1.807519, 102: 1.825926}, max_violation=0.753038),
    ("nano, 64_of_1", False): Reference({100: 1.829949, 101: 1.824197, 102: 1.842165}, max_violation=6.207465, dead=0.031250),
    ("nano, twice_as_wide", False): Reference({100: 1.725469, 101: 1.685198, 102: 1.697390}, max_violation=0.357964),
    ("nano, domain_shift", False): Reference({100: 1.873959, 101: 1.885881, 102: 1.888155}, max_violation=1.098850),
    ("sparse", False): Reference({0: 1.718337, 1: 1.728179, 2: 1.763190}, max_violation=5.886719, dead=0.027344),
}

#: What a sweep's area is measured from: hardly trained, and all tokens on a few experts.
WORST = Point(3.0, 2.0)
