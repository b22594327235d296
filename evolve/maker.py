"""Makes what stands between a mutator and a model, from the SPECs of a run's arms: callers, prompts, how models are asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evolve.budget import Dollars
from evolve.config import RunConfig
from evolve.errors import ConfigError, nearest_hint
from evolve.llm.agent_command import Edits, command_of
from evolve.llm.base import LanguageModel
from evolve.llm.calling import Caller, Ledger
from evolve.llm.clients import check_client, make_client
from evolve.llm.embedders import LocalEmbedder, check_embedder, embedder_name, parse_embedder
from evolve.llm.pacing import Lane
from evolve.llm.prices import Price, PriceTable, lookup, price_table, require_price
from evolve.llm.specs import DEFAULT_PROMPT, EditKind, ModelSettings, ModelSpec, is_model, parse_spec
from evolve.mutators.asking import Asking
from evolve.program import Reply, Task
from evolve.rng import generator
from evolve.vectors import ServedVectors, Shelf, ThreadedVectors, Vectors, longest_piece

if TYPE_CHECKING:
    from evolve.prompts.render import Prompts

#: Models with less context than this are given brief prompts.
_SMALL_CONTEXT = 16_384
#: Tokens of context left free beside prompt and answer, for what a server's own template adds.
_MARGIN = 256


class Form(NamedTuple):
    """One way to ask a model, which is an arm of its own.

    Attributes:
        name: Of the arm.
        kind: Of the edit that is asked for.
        variant: Of the system text.
    """

    name: str
    kind: EditKind
    variant: str


def forms(spec: ModelSpec) -> list[Form]:
    """Lists the ways in which a SPEC has its model asked."""
    variants = spec.settings.prompts
    return [Form(arm_name(spec, kind, variant), kind, variant) for kind in spec.kinds for variant in variants]


def arm_name(spec: ModelSpec, kind: EditKind, variant: str = DEFAULT_PROMPT) -> str:
    """Names the arm that asks a model for one kind of edit; the variant of the prompt is told where the SPEC names any."""
    named = spec.settings.prompts != (DEFAULT_PROMPT,)
    return f"{spec.label}/{kind}{f'/{variant}' if named else ''}"


def model_specs(config: RunConfig) -> list[ModelSpec]:
    """Lists the language models among a run's arms.

    Raises:
        ConfigError: If a SPEC is malformed.
    """
    return [parse_spec(text, config.models) for text in config.arms if is_model(text)]


def note_spec(config: RunConfig) -> ModelSpec | None:
    """Reads which language model writes notes on a run; None where none does.

    Raises:
        ConfigError: If its SPEC is malformed, or names a coding agent, which edits programs.
    """
    if config.insight.model is None or not config.insight.every:
        return None
    return _speaking(config.insight.model, config, "insight.model", "notes are written")


def _speaking(text: str, config: RunConfig, setting: str, deed: str) -> ModelSpec:
    """Reads the SPEC of a model that answers in words, as coding agents do not.

    Raises:
        ConfigError: If it is malformed, or names a coding agent.
    """
    spec = parse_spec(text, config.models)
    if spec.provider == "agent":
        raise ConfigError(f"{setting}: {spec.name} is a coding agent; {deed} by a model, PROVIDER/MODEL")
    return spec


#: Settings of a model that edits programs.
_OF_EDITS = ("kinds", "prompts", "grammar")


def judge_spec(config: RunConfig) -> ModelSpec | None:
    """Reads which language model judges borderline children; None where none does.

    Raises:
        ConfigError: If its SPEC is malformed, names a coding agent, which edits programs, or holds a setting of edits.
    """
    if config.novelty.judge is None:
        return None
    spec = _speaking(config.novelty.judge, config, "novelty.judge", "children are judged")
    usual = ModelSettings()
    for name in _OF_EDITS:
        if getattr(spec.settings, name) != getattr(usual, name):
            raise ConfigError(f"novelty.judge: {spec.name}: {name} says nothing to a judge, which edits nothing; leave it out")
    return spec


class Maker:
    """Makes what stands between a mutator and a model, for one task and one configuration; reads prices and templates once.

    Attributes:
        task: What is being solved.
        config: The run's configuration.
        specs: The language models among its arms.
        note_spec: The language model that writes notes on the run; None where none does.
        judge_spec: The language model that judges borderline children; None where none does.
        embedder: What embeds programs; None is the built-in embedder.
    """

    def __init__(self, task: Task, config: RunConfig, environment: Mapping[str, str] = os.environ) -> None:
        """Reads the price tables, if any model is to be asked.

        Args:
            task: What is being solved.
            config: The run's configuration.
            environment: Where keys, and a price table of the user's own, are looked up.

        Raises:
            ConfigError: If a SPEC is malformed, or a price table is broken.
        """
        self.task = task
        self.config = config
        self.specs = model_specs(config)
        self.note_spec = note_spec(config)
        self.judge_spec = judge_spec(config)
        self.embedder = parse_embedder(config.novelty.embedder, config.models)
        self._environment = environment
        priced = self.asked or isinstance(self.embedder, ModelSpec)
        self._table = price_table(config.prices, environment) if priced else PriceTable({})
        self._prompts: Prompts | None = None
        self._lanes: dict[tuple[str, str, str | None], Lane] = {}

    @property
    def asked(self) -> list[ModelSpec]:
        """Every language model that a run asks."""
        return [*self.specs, *(spec for spec in (self.note_spec, self.judge_spec) if spec is not None)]

    def prompts(self) -> Prompts:
        """Loads the templates that the task and the configuration ask for, when it is first asked for them.

        Raises:
            ConfigError: If one is broken.
        """
        if self._prompts is None:
            from evolve.prompts.render import Prompts  # jinja2, which runs without models do without
            from evolve.prompts.templates import Templates

            folders = [str(folder) for folder in (self.task.prompts, self.config.prompts.templates) if folder is not None]
            self._prompts = Prompts(Templates.load(*folders), self.config.prompts)
        return self._prompts

    def prompt_versions(self) -> dict[str, str]:
        """Hashes the text of the prompts that a run sends; empty for a run without models.

        Raises:
            ConfigError: If a template is broken.
        """
        return {"prompts": self.prompts().templates.sha256[:16]} if self.asked else {}

    def check(self) -> None:
        """Refuses models that could not be asked. No client is made, so there is none to close.

        Raises:
            ConfigError: If a model's key is missing, its price is unknown under a dollar budget, or its context is too small; if
                a template is broken or unknown, or the arm for new approaches is.
        """
        if self.asked:
            self.prompts()
        self._check_strongest()
        check_embedder(self.embedder, self._environment)
        if isinstance(self.embedder, ModelSpec) and self.config.budget_usd is not None:
            require_price(self.embedder, lookup(self.embedder, self._table), self._table)
        for spec in self.asked:
            self.prompts().templates.check_variants(spec.settings.prompts, f"model {spec.label}")
            check_client(spec, self._environment, agents=self.config.agents)
            self.asking(spec)
            if self.config.budget_usd is not None:
                require_price(spec, lookup(spec, self._table), self._table)

    def _check_strongest(self) -> None:
        """Refuses a beginning of arms' names that no model's arm begins with."""
        wanted = self.config.stagnation.arm
        names = [form.name for spec in self.specs for form in forms(spec)]
        if wanted and not any(name.startswith(wanted) for name in names):
            known = nearest_hint(wanted, names) if names else "no arm of this run asks a model"
            raise ConfigError(f"stagnation.arm: no arm that asks a model begins with {wanted!r}; {known}")

    def price(self, spec: ModelSpec) -> Price | None:
        """Looks up what a model costs; None where nobody says."""
        return lookup(spec, self._table).price

    def caller(
        self, spec: ModelSpec, dollars: Dollars, ledger: Ledger, hidden: Sequence[Path] = (), *, waits: bool = True
    ) -> Caller:
        """Makes what calls a model; it is to be closed in the end.

        Args:
            spec: The model and how it is asked.
            dollars: What calls are paid from.
            ledger: Takes down every call.
            hidden: Files and folders besides the task's that no coding agent may read.
            waits: Whether its calls wait while the model is down, or are put off at once.

        Raises:
            ConfigError: If the key is missing, or the price is unknown under a dollar budget.
        """
        # Whoever reads how children are scored can write for the score alone.
        unseen = [*hidden, *([self.task.folder] if self.task.folder is not None else [])]
        client = make_client(spec, self._environment, agents=self.config.agents, hidden=unseen)
        return self._calling(client, spec, dollars, ledger, waits=waits)

    def vectors(self, dollars: Dollars, ledger: Ledger, shelf: Shelf) -> Vectors | None:
        """Makes what embeds programs; it is to be closed in the end. None is the built-in embedder.

        Args:
            dollars: What calls are paid from.
            ledger: Takes down every call.
            shelf: Where vectors are kept.

        Raises:
            ConfigError: If its key is missing, or its price is unknown under a dollar budget.
        """
        if isinstance(self.embedder, LocalEmbedder):
            return ThreadedVectors(self.embedder.name, self.embedder.make, shelf)
        if self.embedder is None:
            return None
        from evolve.llm.embedding_model import EmbeddingModel  # the SDK takes a second to import

        spec = self.embedder
        # A run goes on without: nobody waits while the model is down.
        caller = self._calling(EmbeddingModel(spec, spec.key(self._environment)), spec, dollars, ledger, waits=False)
        return ServedVectors(embedder_name(spec), caller, shelf, longest_piece(lookup(spec, self._table).context))

    def _calling(self, client: LanguageModel, spec: ModelSpec, dollars: Dollars, ledger: Ledger, *, waits: bool) -> Caller:
        facts = lookup(spec, self._table)
        price = facts.price if dollars.cap is None else require_price(spec, facts, self._table)
        rng = generator(self.config.seed, 0, f"pauses of {spec.label}")
        lane = self._lane(spec)
        return Caller(client, spec, price, dollars, ledger, rng=rng, config=self.config.calls, waits=waits, lane=lane)

    def _lane(self, spec: ModelSpec) -> Lane:
        if spec.server not in self._lanes:
            sharing = [other.settings for other in [spec, *self.asked] if other.server == spec.server]
            self._lanes[spec.server] = Lane.of(sharing)
        return self._lanes[spec.server]

    def asking(self, spec: ModelSpec, answered: Callable[[str], Reply | None] | None = None) -> Asking:
        """Says how a model is asked: what room its context leaves, and whether it is small.

        Raises:
            ConfigError: If the longest answer leaves no room for a prompt.
        """
        config, context = self.config, lookup(spec, self._table).context
        room = config.prompts.max_tokens
        if context is not None:
            room = min(room, context - spec.settings.max_tokens - _MARGIN)
        if room < 1:
            raise ConfigError(
                f"model {spec.name}: max_tokens={spec.settings.max_tokens} leaves no room for a prompt in its context of {context} "
                f"tokens; write {spec.name}[max_tokens={max(256, (context or 0) // 4)}]"
            )
        brief = config.prompts.brief
        small = context is not None and context <= _SMALL_CONTEXT
        in_folder = spec.provider == "agent" and command_of(spec, config.agents).edits is Edits.FOLDER
        return Asking(spec, room, small if brief is None else brief, in_folder, answered)


def check_models(task: Task, config: RunConfig, environment: Mapping[str, str] = os.environ) -> Maker:
    """Refuses models that could not be asked, and templates that could not be filled in, before anything is on disk.

    Args:
        task: What is being solved.
        config: The run's configuration.
        environment: Where keys are read.

    Returns:
        What it has read to find out: prices and templates are those that were checked, also if files change from now on.

    Raises:
        ConfigError: If a key is missing, a price is unknown under a dollar budget, or a template is broken.
    """
    maker = Maker(task, config, environment)
    maker.check()
    return maker
