"""A real, small model as a mutator, mixed with local arms, against local arms alone for the same wall time.

    make local-model                                              # once: the model and its server, outside the repository
    ~/.cache/evolve/models/venv/bin/python benchmarks/local_model/serve.py --threads 2 --port 8091
    .venv/bin/python benchmarks/real_model.py --url http://127.0.0.1:8091/v1 --output real-model

Each task is run once with the model's arms and the local ones until so many steps asked the model, and then with local arms alone
for as many seconds. Both runs stay in the archive of the output folder; ``--report`` writes the tables of `REAL_MODEL.md` from it
without running anything.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import evolve
from evolve.archive.queries import attempts, steps
from evolve.archive.records import Addition
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.search import Finished, Search

MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
TASKS = ("circle_packing", "cache_eviction")
#: Small models need little room, and a grammar to keep to the form.
SETTINGS = "price=0,temperature=0.9,max_tokens=700,context=8192,concurrency=1,grammar=true,timeout_s=300"


class Counting:
    """Ends a run as Ctrl-C does, once enough of its finished steps asked the model."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._asked = 0

    def settled(self, addition: Addition, finished: Finished, search: Search) -> None:
        if finished.plan is None or finished.plan.arm.startswith("local/"):
            return
        self._asked += 1
        best = search.best.objective if search.best else None
        print(f"  model step {self._asked}: {finished.outcome} {finished.objective}, best {best}", file=sys.stderr, flush=True)
        if self._asked == self._wanted:
            signal.raise_signal(signal.SIGINT)


def main() -> None:
    """Runs what is asked for and writes the report."""
    options = _options()
    where = options.output / "evolve.db"
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.report:
        for task in options.tasks:
            if options.only != "local":
                _mixed(task, where, options)
            if options.only != "mixed":
                _local(task, options.seconds or _seconds_of_mixed(task, where, options.seed), where, options)
    with Archive.open(where) as archive:
        text = "\n".join(_report(archive))
    (options.output / "report.md").write_text(text + "\n")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8091/v1")
    parser.add_argument("--kinds", default="full+diff", help="what the model is asked to write")
    parser.add_argument(
        "--bandit", default="fixed", help="who chooses the arm; fixed asks the model whenever it is free, or nearly"
    )
    parser.add_argument("--model-steps", type=int, default=50, help="steps of each task that ask the model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--only", choices=["mixed", "local"], help="this side alone; local needs a mixed run before it, or --seconds"
    )
    parser.add_argument("--seconds", type=float, help="for the local arms alone; otherwise as long as the mixed run took")
    parser.add_argument("--report", action="store_true", help="only write the report of what was run")
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    return parser.parse_args()


def _mixed(task: str, where: Path, options: argparse.Namespace) -> None:
    name = _name(task, options.seed, "mixed")
    spec = f"openai/{MODEL}[kinds={options.kinds},{SETTINGS}]@{options.url}"
    print(f"{name}: {spec}", file=sys.stderr)
    evolve.run(
        task,
        steps=1_000_000,
        seed=options.seed,
        arms=[spec, "local"],
        archive=where,
        name=name,
        # The local arms go on while the model writes: one of the two places is theirs.
        settings={"stages": {"proposals": 2, "fill_in": True}, "bandit": {"name": options.bandit}},
        watcher=Counting(options.model_steps),
    )


def _local(task: str, seconds: float, where: Path, options: argparse.Namespace) -> None:
    name = _name(task, options.seed, "local")
    print(f"{name}: {seconds:.0f} s", file=sys.stderr)
    evolve.run(task, steps=1_000_000, max_seconds=seconds, seed=options.seed, archive=where, name=name)


def _seconds_of_mixed(task: str, where: Path, seed: int) -> float:
    with Archive.open(where) as archive:
        seconds: float = summary(archive, archive.find_run(_name(task, seed, "mixed")))["seconds"]
    return seconds


def _name(task: str, seed: int, side: str) -> str:
    return f"{task}-{seed}-{side}"


# The report


def _report(archive: Archive) -> Iterator[str]:
    runs = {summary(archive, number)["name"]: number for number in archive.run_numbers()}
    yield "| task | seed | arms | steps | wall s | initial | best | best found by |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, number in runs.items():
        shown = summary(archive, number)
        rows = list(steps(archive, number))
        best = shown["best"]
        author = next((row["arm"] or "-" for row in rows if row["step"] == best["step"]), "-")
        task, seed, side = name.rsplit("-", 2)
        yield (
            f"| {task} | {seed} | {side} | {shown['steps']['done']} | {shown['seconds']:.0f} | "
            f"{shown['initial']['objective']:.6g} | {best['objective']:.6g} (step {best['step']}) | {_short(author)} |"
        )
    for name, number in runs.items():
        if name.endswith("-mixed"):
            yield from _arms_of(archive, name, number)


def _arms_of(archive: Archive, name: str, number: int) -> Iterator[str]:
    rows = [row for row in steps(archive, number) if row["step"] > 0]
    yield f"\n{name}: every arm\n"
    yield "| arm | pulls | scored | new bests | better than the parent | failed edits | crashed or invalid | copies |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], []).append(row)
    for arm, found in sorted(by_arm.items()):
        outcomes = Counter(row["outcome"] for row in found)
        copies = sum(row["reused_from"] is not None for row in found)
        better = sum(row["reward"] > 0 for row in found)
        yield (
            f"| {_short(arm)} | {len(found)} | {outcomes['ok'] - copies} | {sum(row['improved'] for row in found)} | {better} | "
            f"{outcomes['edit_failed']} | {outcomes['crashed'] + outcomes['invalid'] + outcomes['timed_out']} | {copies} |"
        )
    yield from _replies_of(archive, number, [row for arm, found in by_arm.items() if not arm.startswith("local/") for row in found])


def _replies_of(archive: Archive, number: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Says what the model's replies were like."""
    told = [attempt for row in rows for attempt in attempts(archive, number, row["step"]) if "reply" in attempt]
    if not told:
        return
    refused = Counter(" ".join(attempt["edit_failure"].split()[:9]) for attempt in told if attempt.get("edit_failure"))
    figures = {
        "replies": len(told),
        "that could be applied": sum("edit_failure" not in attempt for attempt in told),
        "seconds per reply, median": round(statistics.median(attempt["latency_s"] for attempt in told), 1),
        "tokens asked, median": statistics.median(attempt["tokens_in"] for attempt in told),
        "tokens answered, median": statistics.median(attempt["tokens_out"] for attempt in told),
    }
    yield "\n" + json.dumps(figures)
    for why, count in refused.most_common(6):
        yield f"- refused {count}: {why} ..."


def _short(arm: str) -> str:
    return arm if arm.startswith("local/") else f"model/{arm.rpartition('/')[2]}"


if __name__ == "__main__":
    main()
