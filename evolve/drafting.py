"""Has a language model write the program that a task begins with, from the task's description alone.

The model is told the background, the objective, which files are wanted and what ``evaluate.py`` says it calls. Its answer is
scored like any program; one that does not score is shown to it with what went wrong. Only a program that scores is written into
the folder, and no file is ever overwritten. Everything asked, answered and spent is in the folder's journal first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evolve.budget import Dollars
from evolve.config import RunConfig, make_executor
from evolve.draft_journal import Attempt, Journal
from evolve.edits import mutable_regions
from evolve.errors import BudgetExceeded, ConfigError, TaskError
from evolve.executors.base import Executor
from evolve.llm.base import Finish, ModelRequest
from evolve.llm.calling import Caller
from evolve.maker import Maker, check_models, model_specs
from evolve.mutation import Complaint
from evolve.mutators.asking import within_context
from evolve.mutators.languages import comment
from evolve.notation import EditRefused, read_files
from evolve.program import Evaluation, Files, Outcome, Reply
from evolve.prompts.render import Prompt
from evolve.rendering import render_files
from evolve.rng import generator
from evolve.tasks.base import Unfinished, check_source
from evolve.tasks.interface import calls, docstrings

_START, _END = "EVOLVE-BLOCK-START", "EVOLVE-BLOCK-END"
_UNFINISHED = {
    Finish.LENGTH: "the answer was cut off at its longest length of {max_tokens} tokens, so it is not whole; write a shorter "
    "program, and leave out explanations",
    Finish.REFUSED: "the answer was a refusal; this is a programming task, and the program is the user's own",
    Finish.EMPTY: "the answer was empty; write the files that are wanted",
}


class _Refused(Exception):
    """A reply makes no program; the message says why, for the model to read."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What came of asking a model for a program.

    Attributes:
        written: The files that were written; empty when no program scored.
        evaluation: Of the program that was written.
        attempts: What was tried, in order.
        usd: What it cost.
        reason: Why there is no program; empty when there is one.
        journal: Where everything is kept that was asked and answered.
        fixed: Files of the program in which nothing may change.
    """

    written: tuple[Path, ...]
    evaluation: Evaluation | None
    attempts: tuple[Attempt, ...]
    usd: float
    reason: str
    journal: Path
    fixed: tuple[str, ...] = ()


async def draft(
    unfinished: Unfinished,
    config: RunConfig,
    *,
    attempts: int = 3,
    watch: Callable[[Attempt], None] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Draft:
    """Has a model write the missing files of a task's program.

    Args:
        unfinished: The task, and which files are missing.
        config: Its one arm is the model; budget, isolation, prompts and patience count as in a run.
        attempts: Answers judged before it is given up.
        watch: Told of every attempt; None for nobody.
        environment: Where keys are read.

    Raises:
        ConfigError: If nothing is missing, the arm is no model or cannot be asked, or a file cannot be written.
        TaskError: If ``evaluate.py`` does not load.
        ModelError: If the model does not answer.
        ArchiveError: If the journal cannot be written.
    """
    maker = _checked(unfinished, config, environment)
    dollars = Dollars(config.budget_usd)
    # Before anything is asked: an evaluator that does not load costs nothing.
    async with make_executor(maker.task, config) as executor, _drafter(unfinished, maker, dollars, executor) as drafter:
        return await _until_it_scores(drafter, attempts, dollars, watch)


def _checked(unfinished: Unfinished, config: RunConfig, environment: Mapping[str, str]) -> Maker:
    """Refuses what no program can be written for, or no model could write.

    Raises:
        ConfigError: If nothing is missing, or the arm is no model or cannot be asked.
    """
    task, missing = unfinished
    if not missing:
        raise ConfigError(f"task {task.name}: nothing is missing: {', '.join(task.files)} exist, and nothing is overwritten")
    if task.folder is None:
        raise ConfigError(f"task {task.name} has no folder that a program could be written to")
    if len(config.arms) != 1 or not model_specs(config):
        raise ConfigError(f"a program is written by one language model, PROVIDER/MODEL; got --arm {' '.join(config.arms)}")
    return check_models(task, config, environment)


@contextlib.asynccontextmanager
async def _drafter(unfinished: Unfinished, maker: Maker, dollars: Dollars, executor: Executor) -> AsyncIterator[_Drafter]:
    """Puts together what makes attempts, and closes the model's connection in the end."""
    spec = maker.specs[0]
    journal = Journal(maker.task.folder or Path())
    caller = maker.caller(spec, dollars, journal)
    try:
        yield _Drafter(unfinished, maker, caller=caller, executor=executor, journal=journal)
    finally:
        await caller.close()


async def _until_it_scores(drafter: _Drafter, attempts: int, dollars: Dollars, watch: Callable[[Attempt], None] | None) -> Draft:
    made: list[Attempt] = []
    reason = ""
    while len(made) < attempts and not drafter.written and not reason:
        try:
            made.append(await drafter.attempt())
        except BudgetExceeded as exceeded:
            reason = str(exceeded)
        else:
            if watch is not None:
                watch(made[-1])
            if made[-1].outcome is Outcome.EVALUATOR_FAILED:
                reason = (
                    f"evaluate.py failed on a program ({_last_line(made[-1].why)}): mend it (for an answer that does not count it "
                    "raises Invalid), and give the command again: the same answer is then scored again and not paid for again"
                )
    if not reason and not drafter.written:
        reason = f"none of {attempts} programs scored; the command goes on from there when it is given again"
    return Draft(
        drafter.written, drafter.evaluation, tuple(made), dollars.spent, reason, drafter.journal.path, drafter.fixed
    )  # fmt: skip


class _Drafter:
    """Makes attempts, one after the other; what it knows of earlier ones is in the journal."""

    def __init__(
        self,
        unfinished: Unfinished,
        maker: Maker,
        *,
        caller: Caller,
        executor: Executor,
        journal: Journal,
    ) -> None:
        self._task, self._missing = unfinished
        self._folder = self._task.folder or Path()
        self._seed = maker.config.seed
        self._caller = caller
        self._prompts = maker.prompts()
        self._asking = maker.asking(maker.specs[0], journal.answered)
        self._executor = executor
        self.journal = journal
        self._hint = files_hint(unfinished, (self._folder / "evaluate.py").read_text(encoding="utf-8"))
        self.written: tuple[Path, ...] = ()
        self.evaluation: Evaluation | None = None
        self.fixed: tuple[str, ...] = ()

    async def attempt(self) -> Attempt:
        """Asks once, scores what comes, and writes it into the folder if it has an objective.

        Raises:
            ModelError: If there is no answer.
        """
        number, question = self.journal.settled, self._question()
        reply = await self._reply(number, self.journal.complaints(question))
        try:
            files = self._files(reply)
        except _Refused as refused:
            made = Attempt(number, Outcome.EDIT_FAILED, str(refused), cost_usd=reply.cost_usd)
        else:
            evaluation = (await self._executor.evaluate(files, seed=self._seed)).evaluation
            why = "" if evaluation.ok else f"{evaluation.outcome}\n{evaluation.feedback}".rstrip()
            made = Attempt(number, evaluation.outcome, why, evaluation.objective, reply.cost_usd)
            if evaluation.ok:
                self._write(files, evaluation)
        # The program is not at fault when the evaluator fails: its reply waits for a mended one.
        if made.outcome is not Outcome.EVALUATOR_FAILED:
            self.journal.came_to(made, question, reply.request_sha256)
        return made

    def _question(self) -> str:
        """Identifies what is asked apart from earlier attempts: these are shown only while question and evaluator are the same."""
        asked = self._asking.key(self._asking.request(self._prompt((), self._asking.prompt_tokens).messages, None))
        return hashlib.sha256(f"{asked} {self._task.evaluator_sha256}".encode()).hexdigest()

    async def _reply(self, number: int, complaints: tuple[Complaint, ...]) -> Reply:
        """Takes up the reply to this very request if there is one that nothing has come of, else asks."""
        seed = int(generator(self._seed, number, "draft").integers(2**31))

        async def ask(prompt: Prompt) -> Reply:
            request = self._asking.request(prompt.messages, seed)
            return self.journal.answered(self._asking.key(request)) or await self._asked(request, number)

        def write(tokens: int) -> Prompt:
            return self._prompt(complaints, tokens)

        # Without earlier attempts there is nothing to leave out.
        return await within_context(write, ask, self._asking.prompt_tokens, shorten=bool(complaints))

    def _prompt(self, complaints: tuple[Complaint, ...], tokens: int) -> Prompt:
        task = self._task
        background = task.background.strip() or task.summary
        try:
            return self._prompts.first_program(
                background,
                task.objective,
                self._hint,
                paths=self._missing,
                complaints=complaints,
                budget_tokens=tokens,
                brief=self._asking.brief,
            )
        except ValueError as error:
            raise ConfigError(f"task {task.name}: the prompt does not fit: {error}") from error

    async def _asked(self, request: ModelRequest, number: int) -> Reply:
        called = await self._caller.call(request, 0, number)
        reply = self._asking.reply(called, request)
        self.journal.replied(number, self._caller.name, reply)
        return reply

    def _files(self, reply: Reply) -> Files:
        """Makes the whole program from a reply and the files that are there.

        Raises:
            _Refused: If the reply has none, or what it has does not parse.
        """
        finish = Finish(reply.finish)
        if finish is not Finish.STOP:
            raise _Refused(_UNFINISHED[finish].format(max_tokens=self._asking.spec.settings.max_tokens))
        given = {path: text for path, text in self._task.files.items() if path not in self._missing}
        try:
            new = {path: with_markers(path, text) for path, text in read_files(reply.text, self._missing, given).items()}
            files = {path: new.get(path, text) for path, text in self._task.files.items()}
            "".join(files.values()).encode()
            return check_source(files, self._task.name)
        except (EditRefused, TaskError) as error:
            raise _Refused(str(error)) from error
        except ValueError as error:  # markers that do not match; half a surrogate pair, which no file can hold
            raise _Refused(f"the files cannot be used: {error}") from error

    def _write(self, files: Files, evaluation: Evaluation) -> None:
        """Writes the files that were missing; each must still be.

        Raises:
            ConfigError: If one has appeared meanwhile, or cannot be written.
        """
        targets = {self._folder / path: files[path] for path in self._missing}
        for target, text in targets.items():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("x", encoding="utf-8", newline="\n") as file:
                    file.write(text)
            except FileExistsError as error:
                raise ConfigError(f"{target} has appeared meanwhile and is not overwritten; see {self.journal.path}") from error
            except OSError as error:
                raise ConfigError(f"{target} cannot be written: {error.strerror}; see {self.journal.path}") from error
        self.written, self.evaluation = tuple(targets), evaluation
        self.fixed = tuple(path for path, regions in mutable_regions(files).items() if not regions)


def files_hint(unfinished: Unfinished, evaluator: str) -> str:
    """Says which files are wanted and what is done with them.

    Of the evaluator's source, only docstrings and the names of what it calls are told (see `evolve.tasks.interface`).

    Args:
        unfinished: The task, and which of its files are missing.
        evaluator: Text of ``evaluate.py``.
    """
    task, missing = unfinished
    entry = next(iter(task.files))
    parts = [f"{_named(missing)}."]
    if len(task.files) > 1:
        parts.append(f"The program consists of {_named(tuple(task.files))}; what is called or run is in `{entry}`.")
    if called := calls(evaluator):
        parts.append(f"The evaluator calls {', '.join(f'`{name}`' for name in called)}. `...` stands for arguments without a name.")
    if task.build is not None:
        parts.append(f"It is built by `{' '.join(task.build.command)}`.")
    if task.command:
        parts.append(f"It is run by `{' '.join(task.command)}`.")
    parts.append(f"One evaluation may take {task.limits.timeout_s:g} CPU seconds and {task.limits.memory_mb} MB of memory.")
    if said := docstrings(evaluator):
        parts.append("The evaluator says of itself:\n\n" + "\n\n".join(said))
    if given := {path: text for path, text in task.files.items() if path not in missing}:
        parts.append(f"There already, and to stay as they are:\n\n{render_files(given)}")
    return "\n\n".join(parts)


def _named(paths: tuple[str, ...]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def with_markers(path: str, text: str) -> str:
    """Marks all of a file as what may change, unless it is marked already; a ``#!`` line stays first.

    Markers with nothing between them are taken away first. A file whose ending says nothing of its comments stays without.

    Raises:
        ValueError: If its markers do not match.
    """
    regions = mutable_regions({path: text})[path]
    if regions[0].start > 0:
        if any(text[region.start : region.end].strip() for region in regions):
            return text
        text = "".join(line for line in text.splitlines(keepends=True) if _START not in line and _END not in line)
    start, end = comment(path, _START), comment(path, _END)
    if not start:
        return text
    first, line_end, rest = text.partition("\n") if text.startswith("#!") else ("", "", text)
    return f"{first}{line_end}{start}\n{rest}{end}\n"


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]
