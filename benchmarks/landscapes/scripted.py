"""A model that follows a script: habits of changing a program, without a notion of what is good.

It errs as models do. Most children are worse or make no difference, some cannot be applied or crash, some repeat the parent in
other words, and a few edits come back again and again for the same parent. Told that a child repeats a known program, it makes a
larger change the next time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from benchmarks.landscapes.text import Call, Source, Vocabulary, read, written
from evolve.mutation import MutationFailed
from evolve.rng import generator

#: Different edits of one parent that come back again and again.
_FAVOURITES = 3
_VARIABLES = ("plan", "recipe", "p", "schedule", "builder", "out")
_COMMENTS = ("", "tuned by hand", "order matters here", "see the notes", "first things first", "keep this short")


@dataclass(frozen=True, slots=True)
class Habits:
    """How one arm answers: weights of its moves, and its failings.

    Attributes:
        name: Of the arm.
        tune: Weight of changing a number or a few.
        structural: Weight of adding, removing, replacing or moving a call, or of using another skeleton.
        cross: Weight of taking calls over from an inspiration.
        wild: Weight of writing a whole new program.
        copy: Weight of saying the same in other words.
        favourite: Share of children that are among the parent's few favourites.
        broken: Share of answers that cannot be applied.
        crashing: Share of children that crash.
    """

    name: str
    tune: float = 0.0
    structural: float = 0.0
    cross: float = 0.0
    wild: float = 0.0
    copy: float = 0.0
    favourite: float = 0.1
    broken: float = 0.04
    crashing: float = 0.04

    def __post_init__(self) -> None:
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"weights of {self.name} must be >= 0 and not all 0, got {self.weights}")
        for share in (self.favourite, self.broken, self.crashing):
            if not 0 <= share < 1:
                raise ValueError(f"shares of {self.name} must lie in [0, 1), got {share}")

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the moves, in the order of `_MOVES`."""
        return (self.tune, self.structural, self.cross, self.wild, self.copy)


HABITS = (
    Habits("tune", tune=0.6, structural=0.2, cross=0.05, copy=0.15),
    Habits("structural", tune=0.2, structural=0.6, cross=0.1, copy=0.1),
    Habits("cross", tune=0.2, structural=0.2, cross=0.5, copy=0.1),
    Habits("copycat", tune=0.15, structural=0.1, copy=0.75, favourite=0.25),
    Habits("wild", tune=0.1, structural=0.3, wild=0.6, broken=0.1, crashing=0.15),
)


class Asked(NamedTuple):
    """What the model is asked.

    Attributes:
        parent: Text to change.
        inspirations: Texts to learn from.
        complaints: Earlier attempts of the step that came to nothing.
        new_approach: Whether another architecture is wanted.
    """

    parent: str
    inspirations: tuple[str, ...] = ()
    complaints: int = 0
    new_approach: bool = False


def child(habits: Habits, vocabulary: Vocabulary, asked: Asked, rng: np.random.Generator) -> str:
    """Makes a child's text.

    Args:
        habits: The arm's.
        vocabulary: What programs may say.
        asked: The request.
        rng: The only source of chance.

    Raises:
        MutationFailed: If the answer is one that cannot be applied.
    """
    failing, repeating = rng.random(2)
    if failing < habits.broken:
        raise MutationFailed("the text to search for is not in the program")
    parent = read(asked.parent)
    if asked.new_approach:
        made = _other_skeleton(parent, vocabulary, rng)
    elif asked.complaints:
        made = _changed_mind(habits, parent, _inspirations(asked), vocabulary, rng)
    else:
        # A favourite depends on the parent alone: the same edit whenever it is asked for.
        favourite = generator(zlib.crc32(asked.parent.encode()), int(rng.integers(_FAVOURITES)), f"favourite/{habits.name}")
        chance = favourite if repeating < habits.favourite else rng
        made = _move(habits.weights, chance)(parent, _inspirations(asked), vocabulary, chance)
    text = written(made)
    return _crashing(text, made) if failing < habits.broken + habits.crashing else text


def _inspirations(asked: Asked) -> list[Source]:
    return [read(text) for text in asked.inspirations]


def _crashing(text: str, source: Source) -> str:
    """Lets a program use a name that it does not define."""
    return text.replace(
        f"    return {source.variable}\n", f"    {source.variable}.step(best_so_far)\n    return {source.variable}\n"
    )


# Moves

Move = Callable[[Source, list[Source], Vocabulary, np.random.Generator], Source]


def _move(weights: tuple[float, ...], rng: np.random.Generator) -> Move:
    shares = np.cumsum(weights) / sum(weights)
    return tuple(_MOVES.values())[int(np.searchsorted(shares, rng.random(), side="right"))]


def _changed_mind(
    habits: Habits, parent: Source, inspirations: list[Source], vocabulary: Vocabulary, rng: np.random.Generator
) -> Source:
    """Makes something else than a repetition: a move that is no copy, and a change of structure after it half of the time."""
    weights = (*habits.weights[:-1], 0.0)
    move = _move(weights, rng) if sum(weights) > 0 else _restructured
    made = move(parent, inspirations, vocabulary, rng)
    return _restructured(made, inspirations, vocabulary, rng) if rng.random() < 0.5 else made


def _tuned(parent: Source, _: list[Source], vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    """Moves one number, or up to three, by steps of any size from a hundredth of what is allowed."""
    places = [(place, index) for place, call in enumerate(parent.calls) for index in range(len(call.numbers))]
    if not places:
        return _restructured(parent, [], vocabulary, rng)
    count = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
    size = 10 ** rng.uniform(-2.0, -0.3)
    made = parent
    for number in rng.choice(len(places), min(count, len(places)), replace=False):
        place, index = places[int(number)]
        call = made.calls[place]
        span = vocabulary.calls[call.name][index]
        numbers = [*call.numbers]
        numbers[index] = span.moved(numbers[index], size, rng)
        made = made.with_call(place, Call(call.name, tuple(numbers)))
    return made


def _restructured(parent: Source, _: list[Source], vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    """Adds, removes, replaces, redraws or moves a call, or uses another skeleton."""
    # Models add far more than they remove.
    kinds = ["add"] * 3 * (len(parent.calls) < vocabulary.longest)
    kinds += ["remove", "replace", "redraw"] if parent.calls else []
    kinds += ["move"] if vocabulary.ordered and len(parent.calls) > 1 else []
    kinds += ["skeleton"] if len(vocabulary.skeletons) > 1 else []
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "skeleton":
        return replace(parent, skeleton=_another(parent.skeleton, vocabulary, rng))
    calls = list(parent.calls)
    place = int(rng.integers(len(calls) + 1)) if kind == "add" else int(rng.integers(len(calls)))
    if kind == "add":
        calls.insert(place, _fresh(calls, vocabulary, rng))
    elif kind == "redraw":
        calls[place] = vocabulary.draw(calls[place].name, rng)
    else:
        gone = calls.pop(place)
        if kind == "replace":
            calls.insert(place, _fresh([*calls, gone], vocabulary, rng))
        elif kind == "move":
            calls.insert(int(rng.integers(len(calls) + 1)), gone)
    return replace(parent, calls=tuple(calls))


def _fresh(calls: list[Call], vocabulary: Vocabulary, rng: np.random.Generator) -> Call:
    """Draws a call, of a name that is not in use yet where there is one."""
    used = {call.name for call in calls}
    names = [name for name in vocabulary.calls if name not in used] or list(vocabulary.calls)
    return vocabulary.draw(names[int(rng.integers(len(names)))], rng)


def _crossed(parent: Source, inspirations: list[Source], vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    """Takes about half of an inspiration's calls over: each in place of its own of that name, or behind what it follows."""
    if not inspirations:
        return _restructured(parent, [], vocabulary, rng)
    other = inspirations[int(rng.integers(len(inspirations)))]
    calls = list(parent.calls)
    before: str | None = None
    for call in other.calls:
        names = [mine.name for mine in calls]
        if rng.random() < 0.5:
            if call.name in names:
                calls[names.index(call.name)] = call
            elif len(calls) < vocabulary.longest:
                calls.insert(names.index(before) + 1 if before in names else 0, call)
        before = call.name
    skeleton = other.skeleton if rng.random() < 0.3 else parent.skeleton
    return replace(parent, skeleton=skeleton, calls=tuple(calls))


def _anew(parent: Source, _: list[Source], vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    """Writes a whole new program of about the parent's length."""
    count = min(max(2, len(parent.calls) + int(rng.integers(-1, 3))), vocabulary.longest, len(vocabulary.calls))
    names = [list(vocabulary.calls)[int(index)] for index in rng.choice(len(vocabulary.calls), count, replace=False)]
    skeleton = vocabulary.skeletons[int(rng.integers(len(vocabulary.skeletons)))]
    variable = _VARIABLES[int(rng.integers(len(_VARIABLES)))]
    return Source(skeleton, tuple(vocabulary.draw(name, rng) for name in names), variable)


def _copied(parent: Source, _: list[Source], vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    """Says the same in other words: renames, reorders where that does not matter, comments, or moves a number a little."""
    kind = int(rng.integers(4))
    if kind == 0:
        return replace(parent, variable=_VARIABLES[int(rng.integers(len(_VARIABLES)))])
    if kind == 1:
        return replace(parent, comment=_COMMENTS[int(rng.integers(len(_COMMENTS)))])
    if kind == 2 and not vocabulary.ordered:
        return replace(parent, calls=tuple(parent.calls[int(index)] for index in rng.permutation(len(parent.calls))))
    return _jittered(parent, vocabulary, rng)


def _jittered(parent: Source, vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    places = [place for place, call in enumerate(parent.calls) if any(not span.whole for span in vocabulary.calls[call.name])]
    if not places:
        return parent
    place = places[int(rng.integers(len(places)))]
    call = parent.calls[place]
    spans = vocabulary.calls[call.name]
    numbers = (number if span.whole else span.moved(number, 1e-3, rng) for number, span in zip(call.numbers, spans, strict=True))
    return parent.with_call(place, Call(call.name, tuple(numbers)))


def _another(skeleton: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    others = [name for name in vocabulary.skeletons if name != skeleton]
    return others[int(rng.integers(len(others)))] if others else skeleton


def _other_skeleton(parent: Source, vocabulary: Vocabulary, rng: np.random.Generator) -> Source:
    return replace(_anew(parent, [], vocabulary, rng), skeleton=_another(parent.skeleton, vocabulary, rng))


_MOVES: Mapping[str, Move] = MappingProxyType(
    {"tune": _tuned, "structural": _restructured, "cross": _crossed, "wild": _anew, "copy": _copied}
)
