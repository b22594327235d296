"""Measures the MoE lab: what a step costs, how much seeds matter, whether sizes agree, what random search reaches.

    python benchmarks/moe.py speed         --output DIR
    python benchmarks/moe.py seeds         --output DIR --workers 2 --seeds 0-9 100-109
    python benchmarks/moe.py transfer      --output DIR --workers 2
    python benchmarks/moe.py random-search --output DIR --workers 2 --evaluations 100
    python benchmarks/moe.py report        --output DIR          # writes benchmarks/MOE.md of what is there

Trainings are written to DIR/trainings.jsonl as they finish; a command that was killed goes on from there when it is given again,
and commands share what they have in common. A training that other code was used for is done again. Each command prints its tables
and writes them to DIR. Nothing here is in the sandbox: the methods are the package's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from moe_random import SEARCH_SEEDS, draws, fresh_report, search, search_report
from moe_seeds import REFERENCE, by_method, ordinary, reference_of, seeds_report, transfer_report
from moe_trials import SIZES, Trained, Trial, train_all
from pages import Page

HEADING = """# What the MoE lab costs and tells

CPU seconds are of one thread on a shared machine: a neighbour's load changes what the caches hold and with it the figures, less so
their ratios. Cross-entropy (CE) is in nats per byte of held-out text, MaxVio and L1 are those of its load, sigma is a standard
deviation over seeds. Another processor or version of torch rounds otherwise and trains other models from the same seeds.
"""

#: In the order of the page.
TITLES = {
    "speed": "What a step and an evaluation cost",
    "seeds": "How much seeds matter",
    "seeds-unequal": "The same with experts of unequal cost",
    "transfer": "Whether sizes rank methods alike",
    "random-search": "Random search over published methods",
}

PAGE = Page(Path(__file__).parent / "MOE.md", "moe.py", HEADING, TITLES)


def speed(options: argparse.Namespace) -> Iterable[str]:
    """Times steps and evaluations; wants a machine as idle as can be had."""
    from moe_speed import evaluation_costs, report, step_cost  # imports torch, which the other commands leave to their workers

    steps = [step_cost(name, options.pairs) for name in options.sizes]
    return report(steps, evaluation_costs(options.repeats))


def seeds(options: argparse.Namespace) -> Iterable[str]:
    """Trains methods with the same seeds."""
    methods = [REFERENCE, *(name for name in options.methods or ordinary(unequal=options.unequal) if name != REFERENCE)]
    # Seed by seed, so that what an interruption leaves is balanced.
    trials = [Trial(name, (), options.size, seed, options.unequal) for seed in options.seeds for name in methods]
    found = by_method(_run(options, trials), options.size)
    return seeds_report(found, options.size, unequal=options.unequal)


def transfer(options: argparse.Namespace) -> Iterable[str]:
    """Trains methods at two sizes, the larger one with fewer seeds."""
    methods = options.methods or ordinary()
    chosen = dict(zip(options.sizes, (options.seeds, options.large_seeds), strict=True))
    trials = [Trial(name, (), size, seed) for size, some in chosen.items() for seed in some for name in methods]
    trained = _run(options, trials)
    return transfer_report({size: by_method(trained, size) for size in chosen})


def random_search(options: argparse.Namespace) -> Iterable[str]:
    """Searches, then measures the best one afresh."""
    known = by_method(_run(options, [Trial(REFERENCE, (), options.size, seed) for seed in SEARCH_SEEDS]), options.size)
    wanted = draws(options.evaluations, options.search_seed)
    searched = search(wanted, options.size, reference_of(known), lambda trials: _run(options, trials))
    methods = dict.fromkeys([REFERENCE, searched.best.method, *(options.methods or ordinary())])
    against = _run(options, [Trial(name, (), options.size, seed) for seed in options.fresh_seeds for name in methods])
    tuned = _run(options, [searched.best.trial(options.size, seed) for seed in options.fresh_seeds])
    afresh = fresh_report(searched.best, {trial.seed: item for trial, item in tuned.items()}, by_method(against, options.size))
    return [*search_report(searched), "", *afresh]


def _run(options: argparse.Namespace, trials: Iterable[Trial]) -> Mapping[Trial, Trained]:
    return train_all(trials, options.output / "trainings.jsonl", options.workers)


def numbers(text: str) -> list[int]:
    """Reads ``3`` or ``0-9``."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


class _Seeds(argparse.Action):
    """Takes several ranges together."""

    def __call__(self, parser: object, namespace: object, values: list[list[int]], option_string: str | None = None) -> None:
        setattr(namespace, self.dest, sorted({seed for some in values for seed in some}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--output", type=Path, required=True, help="folder of finished trainings and tables")
    training = argparse.ArgumentParser(add_help=False, parents=[common])
    training.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    training.add_argument("--methods", nargs="+", help="all by default that experts of equal cost suit, and that leak nothing")
    ranges = {"nargs": "+", "type": numbers, "action": _Seeds}

    one = commands.add_parser("speed", parents=[common])
    one.add_argument("--sizes", nargs="+", choices=SIZES, default=["nano", "micro"])
    one.add_argument("--pairs", type=int, default=20, help="pairs of pairs of timings")
    one.add_argument("--repeats", type=int, default=3, help="evaluations of each kind")

    one = commands.add_parser("seeds", parents=[training])
    one.add_argument("--size", choices=SIZES, default="nano")
    one.add_argument("--seeds", **ranges, default=numbers("0-9"), help="such as 0-9 100-109")
    one.add_argument("--unequal", action="store_true", help="experts of unequal cost")

    one = commands.add_parser("transfer", parents=[training])
    one.add_argument("--sizes", nargs=2, choices=SIZES, default=["nano", "micro"])
    one.add_argument("--seeds", **ranges, default=numbers("0-9"), help="of the first size")
    one.add_argument("--large-seeds", **ranges, default=numbers("0-2"), help="of the second size")

    one = commands.add_parser("random-search", parents=[training])
    one.add_argument("--size", choices=SIZES, default="nano")
    one.add_argument("--evaluations", type=int, default=100)
    one.add_argument("--search-seed", type=int, default=0)
    one.add_argument("--fresh-seeds", **ranges, default=numbers("100-109"))

    commands.add_parser("report", parents=[common])
    return parser.parse_args()


def main() -> None:
    """Runs one command."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.command == "report":
        PAGE.write(options.output)
        return
    command = {"speed": speed, "seeds": seeds, "transfer": transfer, "random-search": random_search}[options.command]
    name = f"{options.command}-unequal" if getattr(options, "unequal", False) else options.command
    print(PAGE.section(name, command(options), options.output, f", torch {version('torch')}"))


if __name__ == "__main__":
    main()
