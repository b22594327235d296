"""Language models as mutators: a prompt is rendered, a model asked, and its reply applied to the parent, strictly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from evolve.edits import mutable_regions
from evolve.llm.base import CallFailed, Failure, Finish, Message, ModelRequest, Role
from evolve.llm.calling import Called
from evolve.llm.grammar import diff_grammar, full_rewrite_grammar
from evolve.llm.specs import EditKind, ModelSpec
from evolve.mutation import MutationFailed, MutationRequest
from evolve.notation import EditRefused, apply_diff, apply_full
from evolve.program import Files, Program, Reply
from evolve.prompts.parts import effective_kind, mendable
from evolve.rendering import language

if TYPE_CHECKING:
    from evolve.prompts.render import Prompt  # it brings jinja2

#: How often a prompt that turns out too long for its model is shortened, and to what part of its length.
_SHORTENINGS = 4
_SHORTER = 0.7

_UNFINISHED = {
    Finish.LENGTH: "the answer was cut off at its longest length of {max_tokens} tokens, so it is not whole; answer more briefly: "
    "change less, and leave out explanations",
    Finish.REFUSED: "the answer was a refusal; this is a programming task on a program of the user's own",
    Finish.EMPTY: "nothing was changed: the answer was empty, or no file was edited; make the edit itself",
}


class _Written(NamedTuple):
    """A prompt, and the kind of edit that it asks for in the end."""

    prompt: Prompt
    kind: EditKind


class Asked(Protocol):
    """Stands between mutator and model (`evolve.llm.calling.Caller`)."""

    async def call(self, request: ModelRequest, step: int, attempt: int) -> Called:
        """Brings an answer, or raises `ModelError` when it gives up."""
        ...


class Prompting(Protocol):
    """Renders prompts (`evolve.prompts.Prompts`)."""

    def messages(
        self,
        request: MutationRequest,
        kind: EditKind,
        *,
        budget_tokens: int,
        brief: bool,
        chance: float | None,
        in_folder: bool,
    ) -> Prompt:
        """Renders the prompt of a request within a budget.

        Raises:
            ValueError: If even the least of it does not fit.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked.

    Attributes:
        spec: Which model, with its settings.
        prompt_tokens: The longest prompt, in tokens as they are estimated.
        brief: Whether prompts are fewer and simpler words, for small models.
        in_folder: Whether the model edits the program's files, as coding agents do, and its answer is made from them.
        answered: Finds what was answered to exactly the same request before, by its hash; None where nothing is looked up.
    """

    spec: ModelSpec
    prompt_tokens: int
    brief: bool = False
    in_folder: bool = False
    answered: Callable[[str], Reply | None] | None = None


class ModelReplies:
    """The half of a model's arm that reads replies: enough to repeat a run from its record, without key or network."""

    def __init__(self, name: str, kind: EditKind, max_tokens: int) -> None:
        self.name = name
        self._kind = kind
        self._max_tokens = max_tokens

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        raise MutationFailed("no reply is recorded for this attempt")

    def apply(self, reply: Reply, parent: Program) -> Files:
        finish = Finish(reply.finish)
        if finish is not Finish.STOP:
            raise MutationFailed(_UNFINISHED[finish].format(max_tokens=self._max_tokens))
        try:
            return apply_diff(reply.text, parent.files) if self._kind is EditKind.DIFF else apply_full(reply.text, parent.files)
        except EditRefused as refused:
            raise MutationFailed(str(refused)) from refused


class ModelMutator(ModelReplies):
    """One arm of a language model: the model, its settings, and the kind of edit it is asked for."""

    def __init__(self, name: str, kind: EditKind, caller: Asked, prompts: Prompting, asking: Asking) -> None:
        """Puts the parts together.

        Args:
            name: Of the arm.
            kind: What to ask for.
            caller: Brings the answers.
            prompts: Renders what is asked.
            asking: How.
        """
        super().__init__(name, kind, asking.spec.settings.max_tokens)
        self._caller = caller
        self._prompts = prompts
        self._asking = asking

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        seed, chance = int(rng.integers(2**31)), float(rng.random())
        tokens = self._asking.prompt_tokens
        for shortenings_left in reversed(range(_SHORTENINGS)):
            ask = self._write(request, self._kind, tokens, chance)
            try:
                return await self._reply(self._request(request, ask, seed), request, ask.kind)
            except CallFailed as failed:
                if failed.failure is not Failure.CONTEXT_OVERFLOW or not shortenings_left:
                    raise
                # Estimates of tokens are rough, and servers are started with less context than their model has.
                tokens = int(min(tokens, ask.prompt.tokens) * _SHORTER)
        raise AssertionError("the last try returns or raises")

    def _write(self, request: MutationRequest, kind: EditKind, tokens: int, chance: float) -> _Written:
        """Writes the prompt; where two programs do not fit, the parent alone is shown and rewritten."""
        kind = effective_kind(request, kind)
        try:
            prompt = self._prompts.messages(
                request,
                kind,
                budget_tokens=tokens,
                brief=self._asking.brief,
                chance=chance,
                in_folder=self._asking.in_folder,
            )
        except ValueError as error:
            if kind in (EditKind.CROSS, EditKind.REPAIR):
                return self._write(request, EditKind.FULL, tokens, chance)
            raise MutationFailed(f"the prompt does not fit: {error}") from error
        return _Written(prompt, kind)

    def _request(self, request: MutationRequest, ask: _Written, seed: int) -> ModelRequest:
        settings = self._asking.spec.settings
        return ModelRequest(
            messages=ask.prompt.messages,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            effort=settings.effort,
            seed=seed,
            files=request.parent.program.files,
            extra={"grammar": self._grammar(ask.kind, request.parent.program.files)} if settings.grammar else {},
        )

    def _grammar(self, kind: EditKind, files: Files) -> str:
        """Makes the grammar that a llama.cpp server holds the answer to."""
        regions = [files[path][region.start : region.end] for path, regions in mutable_regions(files).items() for region in regions]
        if kind is EditKind.DIFF:
            return diff_grammar([text.splitlines() for text in regions])
        path, whole = next(iter(files.items()))
        # Brief prompts of a program with one region ask for what stands in it, others for whole files.
        text = regions[0] if self._asking.brief and len(regions) == 1 else whole
        return full_rewrite_grammar(language(path), next((line.rstrip() for line in text.splitlines() if line.strip()), ""))

    async def _reply(self, asked: ModelRequest, request: MutationRequest, kind: EditKind) -> Reply:
        key = request_sha256(self._asking.spec, asked)
        known = self._asking.answered(key) if self._asking.answered is not None else None
        if known is not None:
            return Reply(
                known.text,
                prompt=written(asked.messages),
                finish=known.finish,
                request_sha256=key,
                parents=_donors(request, kind),
            )
        called = await self._caller.call(asked, request.step, request.attempt)
        return Reply(
            text=called.completion.text,
            parents=_donors(request, kind),
            prompt=written(asked.messages),
            tokens_in=called.usage.input,
            tokens_out=called.usage.output,
            cost_usd=called.cost_usd,
            latency_s=called.latency_s,
            finish=called.completion.finish.value,
            request_sha256=key,
        )


def _donors(request: MutationRequest, kind: EditKind) -> tuple[str, ...]:
    """Names the programs besides the parent that the answer may take source from."""
    if kind is EditKind.CROSS:
        return (request.inspirations[0].program.program_id,)
    mended = mendable(request) if kind is EditKind.REPAIR else None
    return () if mended is None else (mended.program.program_id,)


def written(messages: tuple[Message, ...]) -> str:
    """Writes a conversation as records hold it: JSON, a list of ``[role, text]``."""
    return json.dumps([[message.role.value, message.text] for message in messages], ensure_ascii=False)


def read(prompt: str) -> tuple[Message, ...]:
    """Reads what `written` wrote."""
    return tuple(Message(Role(role), text) for role, text in json.loads(prompt))


def request_sha256(spec: ModelSpec, request: ModelRequest) -> str:
    """Hashes exactly what a model is asked: the model, its server, the messages and every setting."""
    settings = [request.max_tokens, request.temperature, request.effort, request.seed, dict(request.extra)]
    text = json.dumps([spec.name, spec.url, written(request.messages), settings], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
