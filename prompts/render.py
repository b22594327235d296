"""Writes prompts: what a model is told to change, what is known about it, and how to answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evolve.llm.base import Message, Role
from evolve.llm.specs import EditKind
from evolve.mutation import Complaint, MutationRequest
from evolve.program import Objective
from evolve.prompts.budget import CUTS, Detail, brief_detail, full_detail, typical_tokens
from evolve.prompts.config import PromptConfig
from evolve.prompts.fencing import fenced, shortened, visible
from evolve.prompts.parts import Part, Parts, effective_kind, initial
from evolve.prompts.templates import Templates

#: Beginnings of prompts that are remembered: each kind of edit has its own, full and brief.
_BEGINNINGS = 32
#: What servers add around each message to tell whose it is.
_TOKENS_PER_MESSAGE = 4


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
        self, request: MutationRequest, kind: EditKind, *, budget_tokens: int, brief: bool = False, chance: float | None = None
    ) -> Prompt:
        """Writes the prompt for one attempt at a step.

        Args:
            request: What is asked.
            kind: What the model is to write; what cannot be asked becomes a full rewrite (see `effective_kind`).
            budget_tokens: What the model's context leaves for the prompt; the configuration may allow less.
            brief: Whether the model is small; the configuration may decide otherwise.
            chance: In [0, 1): which of the template's directions the model is sent in, so that one parent brings forth different
                children; None sends it in none.

        Raises:
            ValueError: If not even the shortest prompt fits.
            ConfigError: If a template asks for something that it is not given.
        """
        brief = brief if self._config.brief is None else self._config.brief
        parts = Parts(request, effective_kind(request, kind), brief=brief)
        detail = brief_detail(self._config) if brief else full_detail(self._config)
        # A third of all that is filled in, and the same from step to step.
        system = self._beginning(tuple((part.template, tuple(part.context.items())) for part in parts.constant()))
        direction = self._direction(parts, request, kind, chance)
        writer = _Writer(self._templates, parts, request.complaints, system=system, direction=direction)
        return self._fitted(writer, detail, min(budget_tokens, self._config.max_tokens))

    def _filled(self, parts: tuple[tuple[str, tuple[tuple[str, object], ...]], ...]) -> str:
        return _joined(self._templates, [Part(template, dict(context)) for template, context in parts])

    def _direction(self, parts: Parts, request: MutationRequest, kind: EditKind, chance: float | None) -> str:
        """Chooses where a model is sent that is free to go anywhere; a retry is not sent elsewhere."""
        free = effective_kind(request, kind) in (EditKind.DIFF, EditKind.FULL) and not request.complaints
        if chance is None or not free:
            return ""
        directions = [line[2:] for line in self._templates.fill(parts.directions()).splitlines() if line.startswith("- ")]
        return directions[int(chance * len(directions))] if directions else ""

    def first_program(self, task_background: str, objective: Objective, files_hint: str) -> Prompt:
        """Writes the prompt for a task's first program, from its description alone.

        Args:
            task_background: What is to be solved, and how it is scored.
            objective: What counts.
            files_hint: Which files and functions are wanted.

        Raises:
            ValueError: If the prompt is longer than the configuration allows.
        """
        messages = (Message(Role.USER, self._templates.fill(initial(task_background, objective, files_hint)) + "\n"),)
        tokens = self._tokens(messages)
        if tokens > self._config.max_tokens:
            raise ValueError(_too_long(tokens, self._config.max_tokens))
        return Prompt(messages, (), tokens)

    def _fitted(self, writer: _Writer, detail: Detail, budget: int) -> Prompt:
        """Leaves out one thing after the other until the prompt fits."""
        dropped: tuple[str, ...] = ()
        messages = writer.messages(detail, dropped)
        for cut in CUTS:
            if self._tokens(messages) <= budget:
                break
            shorter = cut.apply(detail)
            # What is not there anyhow is not said to be left out.
            if writer.messages(shorter, dropped) != messages:
                detail, dropped = shorter, (*dropped, cut.name)
                messages = writer.messages(detail, dropped)
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
        return (self._system, *self._conversation(ask, detail))

    def _conversation(self, ask: str, detail: Detail) -> list[Message]:
        """Continues the request with earlier replies and what was wrong with each; of the latest at least the latter."""
        turns = [Message(Role.USER, ask)]
        for complaint in self._complaints[-max(1, detail.replies) :]:
            reply = visible(complaint.reply).strip() if detail.replies else ""
            shown = shortened(reply, detail.reply_chars)
            why = fenced(complaint.why, detail.complaint_chars)
            retry = self._templates.fill(self._parts.retry(why, reply_shown=bool(shown), reply_shortened=shown != reply))
            if shown:
                turns += [Message(Role.ASSISTANT, shown), Message(Role.USER, f"{retry}\n")]
            else:
                # Models expect the two sides to take turns.
                turns[-1] = Message(Role.USER, f"{turns[-1].text}\n{retry}\n")
        return turns


def _joined(templates: Templates, parts: Sequence[Part]) -> str:
    return "\n\n".join(filter(None, map(templates.fill, parts))) + "\n"
