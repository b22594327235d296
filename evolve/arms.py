"""Makes a run's arms from their SPECs, and knows which of them can be pulled.

An arm is a mutator with its model, settings and edit kind. Local mutators and plug-ins are always ready; a model's arms share
one caller, whose breaker opens when the model is down, and are put aside when its next call could cost more than is left.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from evolve.budget import Dollars
from evolve.config import RunConfig, is_local
from evolve.errors import ConfigError, nearest_hint
from evolve.llm.calling import Caller, Ledger
from evolve.llm.specs import ModelSpec, parse_spec
from evolve.maker import Maker, forms
from evolve.mutation import Mutator
from evolve.mutators.local import applicable, local_mutators
from evolve.mutators.models import ModelMutator, ModelReplies
from evolve.outages import Outage
from evolve.plugins import installed, load
from evolve.program import Files, Reply, Task
from evolve.strength import Contender, by_strength

_NOTHING_LEFT = "the next call could cost more than what is left of the budget"


@dataclass(slots=True)
class Arms:
    """A run's arms.

    Attributes:
        mutators: By the names that plans use.
        callers: Of the arms that ask a model; arms of one model share theirs.
        ranks: The arms that a new approach may be asked of, the strongest first, in groups of like strength.
    """

    mutators: Mapping[str, Mutator]
    callers: Mapping[str, Caller] = field(default_factory=dict)
    ranks: Sequence[Sequence[str]] = ()
    _too_dear: set[str] = field(default_factory=set)

    def unavailable(self, asked: Mapping[str, int] = MappingProxyType({})) -> tuple[str, ...]:
        """Arms that cannot be pulled now, in order.

        Args:
            asked: How many steps wait for an arm's reply, where arms are to be passed over whose models have no free turn;
                they are not while no other arm is left.
        """
        down = {name for name in self.mutators if self._reason(name)}
        pulls = Counter[int]()
        for name in self.callers.keys() & asked.keys():
            pulls[id(self.callers[name].lane)] += asked[name]
        full = {name for name, caller in self.callers.items() if pulls[id(caller.lane)] >= caller.lane.concurrency}
        passed = down | full if len(down | full) < len(self.mutators) else down
        return tuple(name for name in self.mutators if name in passed)

    def outage_of(self, arm: str) -> Outage | None:
        """Why an arm cannot be pulled; None when it can."""
        reason = self._reason(arm)
        if not reason:
            return None
        caller = self.callers[arm]
        if arm in self._too_dear:
            return Outage(reason, 0.0, hopeless=True)
        return Outage(reason, caller.reopens_in_s, caller.hopeless, caller.probing)

    def outage(self) -> Outage | None:
        """Why no arm can be pulled; None while one can."""
        outages: dict[str, Outage] = {}
        for name in self.mutators:
            outage = self.outage_of(name)
            if outage is None:
                return None
            outages[name] = outage
        return Outage(
            "; ".join(dict.fromkeys(f"{self.callers[name].name}: {outage.reason}" for name, outage in outages.items())),
            min((outage.retry_in_s for outage in outages.values() if not outage.hopeless), default=0.0),
            all(outage.hopeless for outage in outages.values()),
            any(outage.probing for outage in outages.values()),
        )

    def healthy(self) -> bool:
        """Whether an arm can be pulled that is not on trial after its model was down."""
        return any(name not in self.callers or (self.callers[name].healthy and not self._reason(name)) for name in self.mutators)

    def put_aside(self, arm: str) -> bool:
        """Puts the arms of a model aside whose next call does not fit the budget; returns whether any paid arm is left."""
        caller = self.callers[arm]
        self._too_dear.update(name for name, other in self.callers.items() if other is caller)
        return any(name not in self._too_dear and not other.free for name, other in self.callers.items())

    def _reason(self, name: str) -> str:
        """Why an arm cannot be pulled; empty when it can."""
        caller = self.callers.get(name)
        if caller is None:
            return ""
        if name in self._too_dear:
            return _NOTHING_LEFT
        return "" if caller.available else caller.reason

    def stop(self) -> None:
        """Begins no further call, and ends the waits between calls."""
        for caller in self.callers.values():
            caller.stop()

    async def close(self) -> None:
        """Closes the models' connections."""
        for caller in {id(caller): caller for caller in self.callers.values()}.values():
            await caller.close()


def make_mutators(task: Task, config: RunConfig) -> dict[str, Mutator]:
    """Makes a run's arms without connections: models' arms read recorded replies and are never asked.

    Raises:
        ConfigError: If a SPEC names nothing known.
    """
    return _mutators(
        task.files,
        config,
        lambda spec: [
            ModelReplies(form.name, form.kind, spec.settings.max_tokens) for form in forms(spec)
        ],
    )  # fmt: skip


@contextlib.asynccontextmanager
async def open_arms(
    maker: Maker,
    *,
    dollars: Dollars,
    ledger: Ledger,
    answered: Callable[[str], Reply | None] | None = None,
    hidden: Sequence[Path] = (),
) -> AsyncIterator[Arms]:
    """Makes a run's arms and closes their connections in the end.

    Args:
        maker: Of the run's task and configuration.
        dollars: What models' calls are paid from.
        ledger: Takes down every call.
        answered: Finds what was answered to exactly the same request before.
        hidden: Files and folders besides the task's that no coding agent may read.

    Raises:
        ConfigError: If a SPEC names nothing known, a key or an agent's command is missing, a template is broken, or a price is
            unknown under a dollar budget.
    """
    callers: dict[str, Caller] = {}
    contenders: list[Contender] = []

    def asked(spec: ModelSpec) -> list[Mutator]:
        caller = maker.caller(spec, dollars, ledger, hidden, waits=False)
        asking = maker.asking(spec, answered)
        callers.update({form.name: caller for form in forms(spec)})
        contenders.extend(Contender(form.name, form.kind, maker.price(spec)) for form in forms(spec))
        return [ModelMutator(form.name, form.kind, caller, maker.prompts(), asking, variant=form.variant) for form in forms(spec)]

    mutators = _mutators(maker.task.files, maker.config, asked)
    arms = Arms(mutators, callers, by_strength(contenders, maker.config.stagnation.arm))
    try:
        yield arms
    finally:
        await arms.close()


def _mutators(files: Files, config: RunConfig, models: Callable[[ModelSpec], Sequence[Mutator]]) -> dict[str, Mutator]:
    """Makes the mutators that SPECs name: ``local`` for all free ones, ``local/NAME`` for one, a model, or a plug-in's name.

    Args:
        files: The initial program: ``local`` leaves out what could change nothing in its languages.
        config: The run's configuration.
        models: Makes the arms of a model.
    """
    local = {mutator.name: mutator for mutator in local_mutators()}
    plugins = installed("evolve.mutators")
    arms: dict[str, Mutator] = {}
    for spec in config.arms:
        if spec == "local":
            made: Sequence[Mutator] = applicable([*local.values()], files)
        elif spec in local:
            made = [local[spec]]
        elif spec in plugins:
            made = [_plugged(spec, load(plugins[spec]))]
        elif "/" in spec and not spec.startswith("local/"):
            made = models(parse_spec(spec, config.models))
        else:
            raise ConfigError(f"unknown arm {spec!r}; {nearest_hint(spec, ['local', *local, *plugins])}")
        twice = [mutator.name for mutator in made if mutator.name in arms and not is_local(mutator.name)]
        if twice:
            raise ConfigError(
                f"arm {twice[0]!r} is named twice: SPECs that differ in the path of their URL alone, or in nothing, make one arm; "
                "leave one out, or give it another setting"
            )
        arms.update({mutator.name: mutator for mutator in made})
    return arms


def _plugged(name: str, factory: object) -> Mutator:
    """Calls a plug-in's factory: a class or function without arguments that makes a `Mutator`."""
    if not callable(factory):
        raise ConfigError(f"plug-in arm {name!r} must be a class or function that makes a mutator, got {factory!r}")
    made: Mutator = factory()
    return made
