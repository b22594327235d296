"""Writes prompts: what a model is told to change, what is known about it, and how to answer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from evolve.llm.base import Message, Role
from evolve.llm.prices import typical_tokens
from evolve.llm.specs import DEFAULT_PROMPT, EditKind
from evolve.mutation import Complaint, MutationRequest, Scored
from evolve.program import Files, Objective, Task
from evolve.prompts.budget import CUTS, Detail, brief_detail, full_detail
from evolve.prompts.config import PromptConfig
from evolve.prompts.fencing import fenced, shortened, visible
from evolve.prompts.parts import Part, Parts, effective_kind, initial, initial_retry, judge, note
from evolve.prompts.templates import Templates
from evolve.prompts.views import Diff, difference

#: Beginnings of prompts that are remembered: each kind of edit has its own, full and brief, in each variant.
_BEGINNINGS = 32
#: Differences between programs that are remembered: those between ancestors are shown at every step of their offspring.
_DIFFS = 512
#: What servers add around each message to tell whose it is.
_TOKENS_PER_MESSAGE = 4
#: Unchanged lines around each change where there is no room for the program that a judge is to compare with.
_JUDGED_CONTEXTS = (20, 6, 2)


class Prompt(NamedTuple):
    """What a model is sent.

    Attributes:
        messages: System text, the request, and of earlier attempts each reply with what was wrong; the last is the user's.
        dropped: What was left out for length, in the order in which it went.
        tokens: Of all messages, estimated.
    """

    messages: tuple[Message, ...]
    dropped: tuple[str, ...]
    tokens: int


class Prompts:
    """Writes prompts from requests. The same request gives the same prompt, whatever was asked before."""

    def __init__(self, templates: Templates, config: PromptConfig, count: Callable[[str], int] = typical_tokens) -> None:
        """Keeps what all prompts of a run share.

        Args:
            templates: Their texts.
            config: What they hold.
            count: Counts or estimates the tokens of a text.
        """
        self._templates = templates
        self._config = config
        self._count = count
        self._beginning = functools.lru_cache(_BEGINNINGS)(self._filled)
        self._diff: Diff = functools.lru_cache(_DIFFS)(difference)

    @classmethod
    def of(cls, config: PromptConfig, task_templates: Path | None = None) -> Prompts:
        """Loads the templates that a run's configuration and its task ask for; those of the run count more.

        Raises:
            ConfigError: See `Templates.load`.
        """
        folders = [folder for folder in (task_templates, config.templates) if folder is not None]
        return cls(Templates.load(*folders), config)

    @property
    def templates(self) -> Templates:
        """The texts in use."""
        return self._templates

    def messages(
        self,
        request: MutationRequest,
        kind: EditKind,
        *,
        budget_tokens: int,
        brief: bool = False,
        chance: float | None = None,
        in_folder: bool = False,
        variant: str = DEFAULT_PROMPT,
    ) -> Prompt:
        """Writes the prompt for one attempt at a step.

        Args:
            request: What is asked.
            kind: What the model is to write; what cannot be asked becomes a full rewrite (see `effective_kind`).
            budget_tokens: What the model's context leaves for the prompt; the configuration may allow less.
            brief: Whether the model is small; the configuration may decide otherwise.
            chance: In [0, 1): which of the template's directions the model is sent in, so that one parent brings forth different
                children; None sends it in none.
            in_folder: Whether the model edits the program's files where it works, as coding agents do; never brief.
            variant: Of the system text; one of `Templates.variants`.

        Raises:
            ValueError: If not even the shortest prompt fits.
            ConfigError: If a template asks for something that it is not given.
        """
        # What cuts prompts for small models short, the program's other text first of all, says nothing to one that sees its files.
        brief = not in_folder and (brief if self._config.brief is None else self._config.brief)
        parts = Parts(request, effective_kind(request, kind), brief=brief, in_folder=in_folder, variant=variant, diff=self._diff)
        detail = brief_detail(self._config) if brief else full_detail(self._config)
        # A third of all that is filled in, and the same from step to step.
        system = self._beginning(tuple((part.template, tuple(part.context.items())) for part in parts.constant()))
        direction = self._direction(parts, request, kind, chance, brief=brief)
        writer = _Writer(self._templates, parts, request.complaints, system=system, direction=direction)
        return self._fitted(writer.messages, detail, min(budget_tokens, self._config.max_tokens))

    def _filled(self, parts: tuple[tuple[str, tuple[tuple[str, object], ...]], ...]) -> str:
        return _joined(self._templates, [Part(template, dict(context)) for template, context in parts])

    def _direction(self, parts: Parts, request: MutationRequest, kind: EditKind, chance: float | None, *, brief: bool) -> str:
        """Chooses where a model is sent that is free to go anywhere.

        A retry is to mend what was answered, so it is not sent elsewhere; that of a small model is another try at something else.
        """
        free = effective_kind(request, kind) in (EditKind.DIFF, EditKind.FULL) and (brief or not request.complaints)
        if chance is None or not free or request.new_approach:
            return ""
        directions = [line[2:] for line in self._templates.fill(parts.directions()).splitlines() if line.startswith("- ")]
        return directions[int(chance * len(directions))] if directions else ""

    def first_program(
        self,
        task_background: str,
        objective: Objective,
        files_hint: str,
        *,
        paths: Sequence[str] = (),
        complaints: Sequence[Complaint] = (),
        budget_tokens: int | None = None,
        brief: bool = False,
    ) -> Prompt:
        """Writes the prompt for a task's first program, from its description alone.

        Args:
            task_background: What is to be solved, and how it is scored.
            objective: What counts.
            files_hint: Which files and functions are wanted.
            paths: The files that are wanted, for what is said about earlier attempts.
            complaints: About earlier attempts, oldest first.
            budget_tokens: What the model's context leaves for the prompt; None leaves it to the configuration, which may also
                allow less.
            brief: Whether the model is small; the configuration may decide otherwise.

        Raises:
            ValueError: If not even the shortest prompt fits.
        """
        brief = brief if self._config.brief is None else self._config.brief
        ask = self._templates.fill(initial(task_background, objective, files_hint)) + "\n"

        def retry(why: str, *, shown: bool, cut: bool) -> str:
            part = initial_retry(objective, why, paths=paths, brief=brief, reply_shown=shown, reply_shortened=cut)
            return self._templates.fill(part)

        def write(detail: Detail, _: tuple[str, ...]) -> tuple[Message, ...]:
            return tuple(_conversation(ask, complaints, detail, retry))

        # There is no program to change otherwise: what was written is all there is to go on from.
        detail = dataclasses.replace(brief_detail(self._config), replies=1) if brief else full_detail(self._config)
        limit = self._config.max_tokens
        return self._fitted(write, detail, limit if budget_tokens is None else min(budget_tokens, limit))

    def note(
        self, task: Task, counted: str, best: Scored | None, changes: Sequence[tuple[Scored, Scored]], *, budget_tokens: int
    ) -> Prompt:
        """Writes the prompt that asks for notes on a run; changes are left out from the last on, and then the best program.

        Args:
            task: What is being solved.
            counted: What was counted of the run.
            best: Its best program.
            changes: Pairs of parent and child, what counts most first.
            budget_tokens: What the model's context leaves for the prompt; the configuration may allow less.

        Raises:
            ValueError: If not even the shortest prompt fits.
        """
        budget = min(budget_tokens, self._config.max_tokens)
        forms = [(best, changes[:count]) for count in range(len(changes), -1, -1)] + [(None, [])]
        for shown, kept in forms:
            messages = (Message(Role.USER, self._templates.fill(note(task, counted, shown, kept)) + "\n"),)
            tokens = self._tokens(messages)
            if tokens <= budget:
                return Prompt(messages, (), tokens)
        raise ValueError(_too_long(tokens, budget))

    def judge(self, known: Files, child: Files, *, budget_tokens: int) -> Prompt:
        """Writes the prompt that asks whether a child does the same as a known program; the known one is left out for length.

        Args:
            known: The text that may change of the known program, in the order in which it is shown.
            child: That of the child.
            budget_tokens: What the model's context leaves for the prompt; the configuration may allow less.

        Raises:
            ValueError: If not even what differs fits.
        """
        budget = min(budget_tokens, self._config.max_tokens)
        for context in (None, *_JUDGED_CONTEXTS):
            messages = (Message(Role.USER, self._templates.fill(judge(known, child, context)) + "\n"),)
            tokens = self._tokens(messages)
            if tokens <= budget:
                return Prompt(messages, () if context is None else ("the known program",), tokens)
        raise ValueError(_too_long(tokens, budget))

    def _fitted(self, write: Callable[[Detail, tuple[str, ...]], tuple[Message, ...]], detail: Detail, budget: int) -> Prompt:
        """Leaves out one thing after the other until the prompt fits."""
        dropped: tuple[str, ...] = ()
        messages = write(detail, dropped)
        for cut in CUTS:
            if self._tokens(messages) <= budget:
                break
            shorter = cut.apply(detail)
            # What is not there anyhow is not said to be left out.
            if write(shorter, dropped) != messages:
                detail, dropped = shorter, (*dropped, cut.name)
                messages = write(detail, dropped)
        tokens = self._tokens(messages)
        if tokens > budget:
            raise ValueError(_too_long(tokens, budget))
        return Prompt(messages, dropped, tokens)

    def _tokens(self, messages: Sequence[Message]) -> int:
        return sum(self._count(message.text) + _TOKENS_PER_MESSAGE for message in messages)


def _too_long(tokens: int, budget: int) -> str:
    return (
        f"the shortest prompt takes about {tokens} tokens, but {budget} are allowed; raise prompts.max_tokens, choose a model with "
        "a longer context, ask for shorter answers, or shorten the program or the task's background"
    )


class _Retry(Protocol):
    """Writes what is said about a reply: what was wrong with it, fenced, while it is shown or not, or its middle cut out."""

    def __call__(self, why: str, *, shown: bool, cut: bool) -> str: ...


def _conversation(ask: str, complaints: Sequence[Complaint], detail: Detail, retry: _Retry) -> list[Message]:
    """Continues a request with earlier replies and what was wrong with each; of the latest at least the latter.

    Args:
        ask: The request.
        complaints: About earlier replies, oldest first.
        detail: How much of them is shown.
        retry: Writes what is said about a reply.
    """
    turns = [Message(Role.USER, ask)]
    for complaint in complaints[-max(1, detail.replies) :]:
        reply = visible(complaint.reply).strip() if detail.replies else ""
        shown = shortened(reply, detail.reply_chars)
        said = retry(fenced(complaint.why, detail.complaint_chars), shown=bool(shown), cut=shown != reply)
        if shown:
            turns += [Message(Role.ASSISTANT, shown), Message(Role.USER, f"{said}\n")]
        else:
            # Models expect the two sides to take turns.
            turns[-1] = Message(Role.USER, f"{turns[-1].text}\n{said}\n")
    return turns


class _Writer:
    """Writes the messages of one request at any detail."""

    def __init__(self, templates: Templates, parts: Parts, complaints: Sequence[Complaint], *, system: str, direction: str) -> None:
        self._direction = direction
        self._templates = templates
        self._parts = parts
        self._complaints = complaints
        self._system = Message(Role.SYSTEM, system)

    def messages(self, detail: Detail, dropped: tuple[str, ...]) -> tuple[Message, ...]:
        note = [self._parts.left_out(dropped)] if dropped else []
        ask = _joined(self._templates, [*self._parts.changing(detail), *note, self._parts.ask(self._direction)])
        return (self._system, *_conversation(ask, self._complaints, detail, self._retry))

    def _retry(self, why: str, *, shown: bool, cut: bool) -> str:
        return self._templates.fill(self._parts.retry(why, reply_shown=shown, reply_shortened=cut))


def _joined(templates: Templates, parts: Sequence[Part]) -> str:
    return "\n\n".join(filter(None, map(templates.fill, parts))) + "\n"
