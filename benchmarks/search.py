"""Measures strategies, and their parts on and off, on the landscapes: `SEARCH.md`.

    python benchmarks/search.py --seeds 20 --first-seed 2000 --output search      # goes on where it was interrupted
    python benchmarks/search.py --output search --report                          # the tables of what is there

The landscapes are synthetic (`benchmarks/landscapes`): what is said here of samples needed is synthetic until it is measured on
real models, which `benchmarks/validate_models.py` does for whoever has a key.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from search_report import report
from search_trials import LANDSCAPES, PARTS, RESERVED, STRATEGIES, Trial, measure, read


def main() -> None:
    """Runs what is missing and prints the report."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "search.jsonl"
    done = {item.trial: item for item in read(file)}
    if not options.report:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        # Seed by seed, so that what an interruption leaves is balanced.
        wanted = [
            Trial(landscape, variant, seed, options.steps)
            for seed in seeds
            for landscape in options.landscape or [*LANDSCAPES, *RESERVED]
            for variant in options.variant or [*STRATEGIES, *PARTS]
        ]
        with ProcessPoolExecutor(options.workers) as pool, file.open("a") as log:
            for item in pool.map(measure, [trial for trial in wanted if trial not in done]):
                done[item.trial] = item
                log.write(item.line() + "\n")
                log.flush()
    print("\n".join(report(list(done.values()))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=2000, help="0 to 199 were used to choose settings, 1000 to 1009 seen")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--landscape", action="append", choices=[*LANDSCAPES, *RESERVED])
    parser.add_argument("--variant", action="append", choices=[*STRATEGIES, *PARTS])
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
