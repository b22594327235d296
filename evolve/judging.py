"""Has a language model judge whether a borderline child does the same as the nearest known program.

Nothing depends on there being an answer: a child that nobody judged is new. What was answered, or why nothing was, is recorded
with the child's screen, so that resuming and repeating a run do the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from evolve.archive.records import Judgement, Likeness
from evolve.edits import mutable_text
from evolve.errors import ModelError
from evolve.llm.base import Finish
from evolve.llm.calling import Caller
from evolve.llm.stopping import Stopping
from evolve.mutators.asking import Asking, within_context
from evolve.program import Files, Reply
from evolve.prompts.fencing import one_line
from evolve.prompts.views import in_order
from evolve.rng import derived_seed

if TYPE_CHECKING:
    from evolve.prompts.render import Prompt, Prompts  # they bring jinja2

logger = logging.getLogger(__name__)

#: Of a reason: it is one line of a prompt.
_WHY_CHARS = 220
#: A line that is a verdict: the word first, and nothing else on it but a reason behind a mark.
_VERDICT = re.compile(
    r"[\s>*_`#-]*+(?:verdict[\s*_`]*+:[\s*_`]*+)?(same|different)[\s*_`]*+(?:[.]\s*|[:,;\u2013\u2014-]\s*(.*))?", re.IGNORECASE
)


class Judge(Protocol):
    """What steps have borderline children judged by."""

    async def judge(self, known: Files, child: Files, step: int, attempt: int) -> Judgement:
        """Judges whether a child does the same as a known program.

        Args:
            known: The known program.
            child: The child.
            step: The step that made it.
            attempt: Which of the step's attempts.

        Returns:
            What was found, or why nothing was; the caller records it, without a pause.

        Raises:
            Stopping: If the run is stopping.
        """
        ...

    def stop(self) -> None:
        """Begins no further call."""
        ...


class RecordedJudge:
    """Knows what a run's children were found to be, and asks nobody."""

    def __init__(self, judgements: Mapping[tuple[int, int], Judgement]) -> None:
        """Keeps the record.

        Args:
            judgements: By step and attempt.
        """
        self._judgements = judgements

    async def judge(self, known: Files, child: Files, step: int, attempt: int) -> Judgement:
        found = self._judgements.get((step, attempt))
        return found or Judgement(step, attempt, Likeness.UNKNOWN, error="no judgement of this attempt is recorded")

    def stop(self) -> None:
        pass


class ModelJudge:
    """Has a language model judge."""

    def __init__(self, seed: int, *, caller: Caller, prompts: Prompts, asking: Asking) -> None:
        """Asks nobody yet.

        Args:
            seed: The run's seed.
            caller: Brings the answers.
            prompts: Renders what is asked.
            asking: How.
        """
        self._seed = seed
        self._caller = caller
        self._prompts = prompts
        self._asking = asking
        self._warned = False

    async def judge(self, known: Files, child: Files, step: int, attempt: int) -> Judgement:
        try:
            reply = await self._ask(known, child, step, attempt)
        except Stopping:
            raise
        except ModelError as error:
            return self._unknown(Judgement(step, attempt, Likeness.UNKNOWN, source=self._caller.name, error=str(error)))
        whole = Finish(reply.finish) in (Finish.STOP, Finish.LENGTH)
        answer = read(reply.text) if whole else None
        judgement = Judgement(
            step=step,
            attempt=attempt,
            found=Likeness.UNKNOWN if answer is None else answer.found,
            why="" if answer is None else answer.why,
            source=self._caller.name,
            prompt=reply.prompt,
            reply=reply.text,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            latency_s=reply.latency_s,
            error="" if answer is not None else f"the answer is neither SAME nor DIFFERENT ({reply.finish})",
        )
        return judgement if answer is not None else self._unknown(judgement)

    async def _ask(self, known: Files, child: Files, step: int, attempt: int) -> Reply:
        before, after = mutable_text(known), mutable_text(child)
        seed = derived_seed(self._seed, step, f"judge/{attempt}")

        def prompt(tokens: int) -> Prompt:
            try:
                return self._prompts.judge(before, in_order(after, before), budget_tokens=tokens)
            except ValueError as error:
                raise ModelError(f"the prompt for a judge does not fit: {error}") from error

        async def ask(prompt: Prompt) -> Reply:
            request = self._asking.request(prompt.messages, seed)
            return self._asking.reply(await self._caller.call(request, step, attempt), request)

        return await within_context(prompt, ask, self._asking.prompt_tokens)

    def _unknown(self, judgement: Judgement) -> Judgement:
        if not self._warned:
            logger.warning(
                "step %d: %s: %s; this child passes for new, and so do others that are not judged: evolve show counts them",
                judgement.step,
                self._caller.name,
                judgement.error,
            )
        self._warned = True
        return judgement

    def stop(self) -> None:
        self._caller.stop()


class Answer(NamedTuple):
    """What a judge said, and why in a line."""

    found: Likeness
    why: str


def read(text: str) -> Answer | None:
    """Reads a judge's answer; None where no line is a verdict, or two of them are and differ."""
    lines = [match for line in text.splitlines() if (match := _VERDICT.fullmatch(line)) is not None]
    if len({match[1].lower() for match in lines}) != 1:
        return None
    why = next((match[2] for match in lines if match[2]), "")
    return Answer(Likeness(lines[0][1].lower()), one_line(why.strip(" *_`"), _WHY_CHARS))
