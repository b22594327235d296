"""Language models as mutators: a prompt is rendered, a model asked, and its reply applied to the parent, strictly."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from evolve.edits import mutable_regions
from evolve.llm.base import Finish, ModelRequest
from evolve.llm.calling import Called
from evolve.llm.grammar import diff_grammar, full_rewrite_grammar
from evolve.llm.specs import DEFAULT_PROMPT, EditKind
from evolve.mutation import MutationFailed, MutationRequest
from evolve.mutators.asking import Asking, within_context, written
from evolve.notation import EditRefused, apply_diff, apply_full
from evolve.program import Files, Program, Reply
from evolve.prompts.parts import effective_kind, mendable
from evolve.rendering import language

if TYPE_CHECKING:
    from evolve.prompts.render import Prompt  # it brings jinja2

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

    @property
    def tokens(self) -> int:
        """Of the prompt, as they are estimated."""
        return self.prompt.tokens


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
        variant: str,
    ) -> Prompt:
        """Renders the prompt of a request within a budget.

        Raises:
            ValueError: If even the least of it does not fit.
        """
        ...


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

    def __init__(
        self, name: str, kind: EditKind, caller: Asked, prompts: Prompting, asking: Asking, *, variant: str = DEFAULT_PROMPT
    ) -> None:
        """Puts the parts together.

        Args:
            name: Of the arm.
            kind: What to ask for.
            caller: Brings the answers.
            prompts: Renders what is asked.
            asking: How.
            variant: Of the system text.
        """
        super().__init__(name, kind, asking.spec.settings.max_tokens)
        self._caller = caller
        self._prompts = prompts
        self._asking = asking
        self._variant = variant

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        seed, chance = int(rng.integers(2**31)), float(rng.random())

        def write(tokens: int) -> _Written:
            return self._write(request, self._kind, tokens, chance)

        async def ask(written: _Written) -> Reply:
            return await self._reply(self._request(request, written, seed), request, written.kind)

        return await within_context(write, ask, self._asking.prompt_tokens)

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
                variant=self._variant,
            )
        except ValueError as error:
            if kind in (EditKind.CROSS, EditKind.REPAIR):
                return self._write(request, EditKind.FULL, tokens, chance)
            raise MutationFailed(f"the prompt does not fit: {error}") from error
        return _Written(prompt, kind)

    def _request(self, request: MutationRequest, ask: _Written, seed: int) -> ModelRequest:
        files = request.parent.program.files
        extra = {"grammar": self._grammar(ask.kind, files)} if self._asking.spec.settings.grammar else {}
        return self._asking.request(ask.prompt.messages, seed, files=files, extra=extra)

    def _grammar(self, kind: EditKind, files: Files) -> str:
        """Makes the grammar that a llama.cpp server holds the answer to."""
        regions = [files[path][region.start : region.end] for path, regions in mutable_regions(files).items() for region in regions]
        if kind is EditKind.DIFF:
            return diff_grammar([text.splitlines() for text in regions])
        path, whole = next(iter(files.items()))
        # Brief prompts of a program with one region ask for what stands in it, others for whole files.
        region = self._asking.brief and len(regions) == 1
        lines = (regions[0] if region else whole).splitlines()
        return full_rewrite_grammar(language(path), next((line.rstrip() for line in lines if line.strip()), ""), markers=not region)

    async def _reply(self, asked: ModelRequest, request: MutationRequest, kind: EditKind) -> Reply:
        donors = _donors(request, kind)
        if self._asking.answered is not None:
            key = self._asking.key(asked)
            known = self._asking.answered(key)
            if known is not None:
                return Reply(known.text, prompt=written(asked.messages), finish=known.finish, request_sha256=key, parents=donors)
        called = await self._caller.call(asked, request.step, request.attempt)
        return self._asking.reply(called, asked, donors)


def _donors(request: MutationRequest, kind: EditKind) -> tuple[str, ...]:
    """Names the programs besides the parent that the answer may take source from."""
    if kind is EditKind.CROSS:
        return (request.inspirations[0].program.program_id,)
    mended = mendable(request) if kind is EditKind.REPAIR else None
    return () if mended is None else (mended.program.program_id,)
