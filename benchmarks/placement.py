"""Measures the placement engine and its tasks: what scoring costs, what routing could add, what searches find.

    python benchmarks/placement.py speed    --output DIR
    python benchmarks/placement.py routing  --output DIR
    python benchmarks/placement.py search   --output DIR --steps 300 --seeds 5   # evolution and random search, on hidden traces
    python benchmarks/placement.py report   --output DIR                         # writes benchmarks/PLACEMENT.md of what is there

Each command prints its tables and writes them to DIR. `search` keeps its runs there and goes on from them when it is given again.
The tables of all policies are made by `evolve task baselines eplb_traffic` and `evolve task baselines eplb_adrs`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pages import Page
from placement_costs import routing_report, speed_report
from placement_search import compare, search_report

HEADING = """# What placing experts costs and brings

CPU seconds are of one thread on a shared machine. Traces are generated (`evaluators/placement/presets.py`); nothing was measured on
GPUs. A ratio is the bound of a step's time over what is charged for it, copying of experts included: 1 would be perfect, but
no placement reaches it, as the bound lets all experts of every token lie on one GPU.
"""

#: In the order of the page.
TITLES = {
    "speed": "What scoring costs",
    "routing": "What free routing could add",
    "search": "Evolution beside random search",
}

PAGE = Page(Path(__file__).parent / "PLACEMENT.md", "placement.py", HEADING, TITLES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--output", type=Path, required=True, help="folder of runs and tables")
    commands.add_parser("speed", parents=[common]).add_argument("--repeats", type=int, default=5)
    commands.add_parser("routing", parents=[common])
    one = commands.add_parser("search", parents=[common])
    one.add_argument("--steps", type=int, default=300, help="of each run, and evaluations of each random search")
    one.add_argument("--seeds", type=int, default=5, help="runs, and random searches")
    one.add_argument("--hidden", type=int, default=10, help="hidden traces of each preset")
    commands.add_parser("report", parents=[common])
    return parser.parse_args()


def main() -> None:
    """Runs one command."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.command == "report":
        PAGE.write(options.output)
        return
    lines = {
        "speed": lambda: speed_report(options.repeats),
        "routing": routing_report,
        "search": lambda: search_report(compare(options.output, options.steps, options.seeds, options.hidden)),
    }[options.command]()
    print(PAGE.section(options.command, lines, options.output))


if __name__ == "__main__":
    main()
