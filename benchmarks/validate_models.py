"""Does the default strategy make more of a real model's samples than two simple baselines? A study that is stated before it is run.

    .venv/bin/python benchmarks/validate_models.py --arm openai/gpt-5-mini --budget-usd 10 --output study --dry-run
    .venv/bin/python benchmarks/validate_models.py --arm openai/gpt-5-mini --budget-usd 10 --output study

The first command says what would be asked and what that may cost, and asks nobody. The second one runs the study; interrupted, it
goes on where it was. The statement is written to ``plan.md`` in the output folder before the first question; a folder with another
statement is refused. Then come ``report.md`` and ``report.json``.

Tasks: circle_packing and cache_eviction. Seeds: 0 to 4. Steps: 40 a run. Arms: those of one model, none that are local, for what is
asked is what its samples are worth. The baselines are plain ones by themselves, without a setting: a prompt of ``best_of_n`` holds
nothing of another step, one of ``sequential`` the way to its latest program and the latest failure there. Dollars: the study's, in
equal parts to its runs.

Hypotheses, over all tasks and seeds together. Runs of one task with one seed are a pair.

- H1: ``default`` ends with a better objective than ``best_of_n``, independent samples from the initial program.
- H2: ``default`` ends with a better objective than ``sequential``, one chain of changes.

Primary outcome: the share of pairs in which ``default`` ends with the better objective, ties half. It has no unit, so that tasks
can be put together: five seeds of one task alone could not give a corrected p of 0.05, whatever they were. Test: exact sign test,
two-sided, without ties (Arbuthnot 1710; Conover 1999, section 3.4), corrected for the two hypotheses (Holm 1979).

- Supported: ``default`` wins more pairs than it loses, and the corrected p is at most 0.05.
- Not supported: the baseline wins more pairs and the corrected p is at most 0.05; or so few pairs are won that three of four, the
  least advantage held to be worth having, can be ruled out: its chance of so few is at most 0.05, by the binomial distribution.
- Undecided: neither. The verdict says how many pairs would find, with a chance of 0.8, an advantage such as the one that was seen,
  or one of three of four where none was seen.

Secondary, described and not tested here: the same share on each task and for the area under the curve; then, by task, medians with
intervals and the paired tests of `evolve.compare`.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verdicts import (
    BASELINES,
    LEVEL,
    POWER,
    STRATEGY,
    WORTH,
    Pairs,
    count_pairs,
    fewest_pairs,
    judge,
    pairs_needed,
    sign_p,
    together,
)

from evolve.archive.store import Archive
from evolve.cli.budgets import forecast
from evolve.comparing.comparison import Comparison, RunResult
from evolve.comparing.library import carry_out
from evolve.comparing.report import as_json, as_markdown
from evolve.comparing.study import Study, StudyRun, make_study
from evolve.comparing.variants import Variant, parse_variants
from evolve.config import RunConfig, resolve
from evolve.errors import ArchiveError, ConfigError, EvolveError
from evolve.llm.estimate import Estimate
from evolve.llm.specs import is_model
from evolve.loop import Watcher
from evolve.significance import holm
from evolve.tasks.catalog import find

TASKS = ("circle_packing", "cache_eviction")
#: How the record of a run begins that ended because its dollars were spent, which is an end like any other.
_OUT_OF_MONEY = "budget_usd is spent"


# The plan


def make_studies(options: argparse.Namespace) -> list[Study]:
    """Says which runs the study takes, a comparison for each task.

    Raises:
        ConfigError: If an option is refused.
    """
    if not is_model(options.arm):
        raise ConfigError(f"--arm must be a language model, PROVIDER/MODEL, such as openai/gpt-5-mini; got {options.arm!r}")
    names = [name.strip() for name in options.tasks.split(",") if name.strip()]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"--tasks must be distinct and at least one, with commas between them; got {options.tasks!r}")
    if options.seeds < 1 or options.steps < 1:
        raise ConfigError(f"--seeds and --steps must be >= 1, got {options.seeds} and {options.steps}")
    if not 0 < options.budget_usd < math.inf:
        raise ConfigError(f"--budget-usd must be finite and > 0, got {options.budget_usd}")
    strategies = [STRATEGY, *BASELINES.values()]
    each = options.budget_usd / (len(names) * len(strategies) * options.seeds)
    return [_study(name, strategies, each, options) for name in names]


def _study(name: str, strategies: Sequence[str], each_usd: float, options: argparse.Namespace) -> Study:
    task = find(name)
    shared = {"arms": [options.arm], "steps": options.steps, "budget_usd": each_usd}

    def resolve_one(variant: Variant, seed: int) -> RunConfig:
        return resolve(task, options={**shared, "strategy": variant.strategy, "seed": seed})

    study = make_study(task, parse_variants(strategies), range(options.seeds), resolve_one)
    if study.runs[0].config.max_seconds is not None:
        raise ConfigError(f"task {name} limits the seconds of its runs, and the study counts steps and dollars; take another task")
    return study


def least_budget(studies: Sequence[Study], expected: Sequence[Estimate]) -> float:
    """Returns the dollars that pay for every step of every run as expected, with room to reserve one call more."""
    return sum(len(study.runs) * (one.typical + one.worst_call) for study, one in zip(studies, expected, strict=True))


def plan_text(studies: Sequence[Study], options: argparse.Namespace) -> str:
    """Writes the statement: rules, and what this study is in particular."""
    runs = [run for study in studies for run in study.runs]
    n_pairs, n = len(studies) * options.seeds, len(BASELINES)
    lowest = min(1.0, n * sign_p(Pairs(n_pairs, 0, 0)))
    needed = pairs_needed(WORTH, n)
    lines = [
        "# The plan",
        "",
        f"- Model: `{options.arm}`, alone.",
        f"- Tasks: {', '.join(study.task.name for study in studies)}. Seeds: {', '.join(map(str, studies[0].seeds))}.",
        f"- Steps: {options.steps} a run.",
        f"- Runs: {len(runs)}, of at most {runs[0].config.budget_usd:.4g} usd each, {options.budget_usd:g} usd in all.",
        *(f"- {name}: `{STRATEGY}` ends with a better objective than `{other}`." for name, other in BASELINES.items()),
        f"- Primary outcome: the share of {n_pairs} pairs (a task, a seed) that `{STRATEGY}` wins, ties half.",
        f"- Test: exact sign test, two-sided, without ties, Holm's correction over {n} hypotheses.",
        f"- Supported: more pairs won than lost, and corrected p ≤ {LEVEL:g}.",
        f"- Not supported: more pairs lost, and corrected p ≤ {LEVEL:g}; or the chance of so few wins would be ≤ {LEVEL:g} if "
        f"{WORTH:.0%} of pairs were won in truth.",
        "- Undecided: neither.",
        "- Secondary, described and not tested together: the share on each task and by the area under the curve; by task, medians, "
        "intervals and paired tests.",
        f"- What it can show: with {n_pairs} pairs the smallest corrected p is {lowest:.2g}; an advantage in {WORTH:.0%} of pairs "
        f"needs about {needed} pairs to be found with a chance of {POWER:g}.",
    ]
    if lowest > LEVEL:
        lines.append(f"- So few pairs can support nothing, whatever they are: at least {fewest_pairs(n)} are needed.")
    return "\n".join(lines) + "\n"


def state(plan: str, output: Path) -> None:
    """Writes the plan before anything is asked.

    Raises:
        ConfigError: If the folder holds another one.
    """
    path = output / "plan.md"
    if path.exists() and path.read_text(encoding="utf-8") != plan:
        raise ConfigError(f"{path} states another study; ask for the same, or choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(plan, encoding="utf-8")


# The report


def conclude(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:  # Any: JSON values
    """Returns the hypotheses with their pairs, p-values and verdicts, as JSON has them."""
    by_task = {name: [count_pairs(one, other) for one in comparisons] for name, other in BASELINES.items()}
    pairs = {name: together(parts) for name, parts in by_task.items()}
    p_values = {name: sign_p(found) for name, found in pairs.items()}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return [
        {
            "hypothesis": name,
            "first": STRATEGY,
            "second": other,
            **pairs[name]._asdict(),
            "share": pairs[name].share,
            "p": p_values[name],
            "p_adjusted": adjusted[name],
            "by_task": {one.task: part.share for one, part in zip(comparisons, by_task[name], strict=True)},
            "by_task_area": {one.task: count_pairs(one, other, areas=True).share for one in comparisons},
            "verdict": judge(pairs[name], adjusted[name], len(BASELINES))._asdict(),
        }
        for name, other in BASELINES.items()
    ]


def verdict_text(found: Mapping[str, Any], n_tasks: int) -> str:  # Any: JSON values
    """Says in plain words what came of a hypothesis."""
    verdict = found["verdict"]
    seeds = "" if verdict["needed"] is None else f" ({math.ceil(verdict['needed'] / n_tasks)} seeds on as many tasks)"
    shares = [f"{task} {share:.0%} of pairs, {found['by_task_area'][task]:.0%} by area" for task, share in found["by_task"].items()]
    return (
        f"- **{found['hypothesis']}, {found['first']} ends better than {found['second']}: {verdict['finding']}.** It wins "
        f"{found['wins']}, loses {found['losses']} and ties {found['ties']} pairs ({found['share']:.0%}; p = {found['p']:.2g}, "
        f"corrected {found['p_adjusted']:.2g}): {verdict['why']}{seeds}. By task: {'; '.join(shares)}."
    )


def write_report(plan: str, comparisons: Sequence[Comparison], output: Path) -> str:
    """Writes ``report.md`` and ``report.json`` and returns the verdicts."""
    found = conclude(comparisons)
    lines = ["# Verdicts", "", *(verdict_text(one, len(comparisons)) for one in found), "", _spending(comparisons)]
    verdicts = "\n".join(lines)
    (output / "report.md").write_text("\n".join([plan, *map(as_markdown, comparisons), verdicts]) + "\n", encoding="utf-8")
    content = {
        "plan": plan,
        "usd": sum(run.usd for run in _runs(comparisons)),
        "hypotheses": found,
        "comparisons": [as_json(one) for one in comparisons],
    }
    (output / "report.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return verdicts


def _runs(comparisons: Sequence[Comparison]) -> list[RunResult]:
    return [run for one in comparisons for result in one.strategies for run in result.runs]


def _spending(comparisons: Sequence[Comparison]) -> str:
    runs = _runs(comparisons)
    early = sum(run.early for run in runs)
    return (
        f"Spent: {sum(run.usd for run in runs):.4f} usd. {early} of {len(runs)} runs ended at their dollars, before all of "
        "their steps, and count with the best they had."
    )


# The command


class _Unseen:
    """Watches nothing: a line for each run is enough."""

    def settled(self, *_: object) -> None:
        pass


@contextmanager
def _announced(run: StudyRun) -> Iterator[Watcher]:
    print(f"run {run.name}", file=sys.stderr, flush=True)
    yield _Unseen()


def compare_all(studies: Sequence[Study], where: Path) -> list[Comparison] | None:
    """Drives what is missing of all comparisons; returns None if that was interrupted.

    Raises:
        EvolveError: If a run cannot start or go on, or ended with steps and dollars left.
    """
    comparisons = []
    for study in studies:
        comparison = carry_out(study, where, watch=_announced)
        if comparison is None:
            return None
        _refuse_cut_short(comparison, where)
        comparisons.append(comparison)
    return comparisons


def _refuse_cut_short(comparison: Comparison, where: Path) -> None:
    with Archive.open(where) as archive:
        for run in (run for result in comparison.strategies for run in result.runs if run.early):
            session = archive.session(run.number)
            if session is None or not session.reason.startswith(_OUT_OF_MONEY):
                why = "it has not begun" if session is None else session.reason or session.status
                raise ArchiveError(f"run {run.name} ended after {run.steps} steps: {why}; the same command goes on")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the study and returns the exit status: 0 done, 1 it cannot go on, 2 wrong usage, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _options(given)
    try:
        done = _carry_out(options)
    except EvolveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        done = False
    if not done:
        command = shlex.join([sys.executable, __file__, *given])
        print(f"interrupted; nothing is lost. The same command goes on: {command}", file=sys.stderr)
    return 0 if done else 130


def _carry_out(options: argparse.Namespace) -> bool:
    """States the study and, unless only that is wanted, runs it; returns whether it was not interrupted."""
    studies = make_studies(options)
    plan = plan_text(studies, options)
    print(plan)
    _check_budget(studies, options)
    if options.dry_run:
        return True
    state(plan, options.output)
    comparisons = compare_all(studies, options.output / "evolve.db")
    if comparisons is None:
        return False
    print(write_report(plan, comparisons, options.output))
    return True


def _check_budget(studies: Sequence[Study], options: argparse.Namespace) -> None:
    """Says what is expected, and refuses a budget that does not pay for it.

    Raises:
        ConfigError: If it is too small, or the model's price is not known.
    """
    expected = [forecast(study.task, study.runs[0].config) for study in studies]
    calls = sum(len(study.runs) * one.calls for study, one in zip(studies, expected, strict=True))
    usd = sum(len(study.runs) * one.typical for study, one in zip(studies, expected, strict=True))
    print(f"Expected: about {calls:.0f} calls, {usd:.2f} usd in all if answers are as long as programs; reasoning costs more.\n")
    least = least_budget(studies, expected)
    if options.budget_usd < least:
        raise ConfigError(
            f"--budget-usd {options.budget_usd:g} is too small to mean anything: {math.ceil(100 * least) / 100:.2f} is the least "
            f"that is expected to pay for {options.steps} steps in each run; allow that, or take a cheaper model, fewer steps, or "
            "a lower max_tokens in the SPEC"
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", required=True, metavar="SPEC", help="the model, as `evolve run --arm` takes it")
    parser.add_argument("--budget-usd", required=True, type=float, metavar="X", help="dollars of the whole study")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where plan, archive and report go")
    parser.add_argument("--steps", type=int, default=40, help="of each run")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--tasks", default=",".join(TASKS), metavar="A,B", help="names or folders")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and what it may cost, and ask nobody")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
