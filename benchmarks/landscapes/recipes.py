"""Composable steps whose worth hangs together, with numbers to tune: ``genes``, ``uneven``, and ``tiny`` at an awkward scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks.landscapes.base import Landscape
from benchmarks.landscapes.scripted import Habits
from benchmarks.landscapes.text import Call, Source, Span, Vocabulary


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One kind of step.

    Attributes:
        gain: What it adds with its numbers at their targets; below 0 it always harms.
        targets: Where its numbers are best, in the unit of their spans.
        needs: A step that must come before it, anywhere, or it harms as much as it would gain; empty for none.
        follows: A step right after which it gains `_BONUS` more; empty for none.
    """

    gain: float
    targets: tuple[float, ...]
    needs: str = ""
    follows: str = ""


#: Of a gain, what is there with the worst numbers.
_UNTUNED = 0.5
#: Distance from a target, as a share of the span, at which half of what tuning can bring is lost.
_WIDTH = 0.4
_BONUS = 0.3
_REPEATED = 0.05


@dataclass(frozen=True, slots=True)
class Recipe:
    """Scores a sequence of steps.

    Attributes:
        ingredients: By the name of the step.
        vocabulary: What their numbers may be.
    """

    ingredients: Mapping[str, Ingredient]
    vocabulary: Vocabulary

    def __call__(self, source: Source) -> float:
        """Sums what the steps bring; a name's later calls bring nothing and cost a little."""
        total, seen, before = 0.0, set[str](), ""
        for call in source.calls:
            if call.name in seen:
                total -= _REPEATED
            else:
                total += self._worth(call, seen, before)
            seen.add(call.name)
            before = call.name
        return total

    def _worth(self, call: Call, seen: set[str], before: str) -> float:
        ingredient = self.ingredients[call.name]
        if ingredient.gain < 0 or (ingredient.needs and ingredient.needs not in seen):
            return -abs(ingredient.gain)
        bonus = _BONUS if ingredient.follows and ingredient.follows == before else 0.0
        return ingredient.gain * (_UNTUNED + (1 - _UNTUNED) * self._tuning(call, ingredient)) + bonus

    def _tuning(self, call: Call, ingredient: Ingredient) -> float:
        """Product over numbers, 1 at the targets."""
        product = 1.0
        for number, target, span in zip(call.numbers, ingredient.targets, self.vocabulary.calls[call.name], strict=True):
            product /= 1.0 + ((number - target) / (_WIDTH * (span.high - span.low))) ** 2
        return product

    @property
    def optimum(self) -> float:
        """What a recipe comes to that has every step that gains, in an order that meets every need and earns every bonus.

        No recipe has more: each step is then worth the most that it can be, and nothing else adds.
        """
        gaining = [ingredient for ingredient in self.ingredients.values() if ingredient.gain > 0]
        return sum(ingredient.gain + _BONUS * bool(ingredient.follows) for ingredient in gaining)


_UNIT, _TEN = Span(0.0, 1.0), Span(0.0, 10.0)

_GENES = {
    "wash": Ingredient(0.6, (0.31,)),
    "mask": Ingredient(0.2, (0.74,)),
    "etch": Ingredient(1.0, (0.42, 6.2), needs="mask", follows="mask"),
    "heat": Ingredient(0.4, (7.7,)),
    "cool": Ingredient(0.8, (2.3, 0.66), needs="heat", follows="heat"),
    "coat": Ingredient(0.6, (0.87,)),
    "cure": Ingredient(1.0, (4.4, 0.18), needs="coat", follows="coat"),
    "grind": Ingredient(-0.5, (5.0,)),
    "spin": Ingredient(-0.2, (0.5, 5.0)),
}


def _numbers(ingredient: Ingredient) -> tuple[Span, ...]:
    return tuple(_TEN if target > 1 else _UNIT for target in ingredient.targets)


def _vocabulary(ingredients: Mapping[str, Ingredient], longest: int) -> Vocabulary:
    return Vocabulary(
        ("line",), {name: _numbers(ingredient) for name, ingredient in ingredients.items()}, ordered=True, longest=longest
    )


def _solution(ingredients: Mapping[str, Ingredient]) -> Source:
    """Every step that gains, in the order of the table, which meets needs and bonuses."""
    return Source("line", tuple(Call(name, made.targets) for name, made in ingredients.items() if made.gain > 0))


def genes() -> Landscape:
    """Which steps, in which order, and with which numbers: the plain case.

    Seven of nine steps gain, three of them harm unless another one comes before and earn a bonus right after it, and ten numbers
    are to be tuned. Almost every move towards the optimum pays by itself.
    """
    recipe = Recipe(_GENES, _vocabulary(_GENES, longest=12))
    return Landscape(
        "genes",
        recipe.vocabulary,
        Source("line", (Call("wash", (0.9,)), Call("spin", (0.2, 2.0)))),
        _solution(_GENES),
        recipe.optimum,
        recipe,
    )


#: One arm that can do it all, and seven of little use: half of what they say cannot be applied, most of the rest repeats.
_ABLE = Habits("able", tune=0.4, structural=0.4, cross=0.15, wild=0.05)
_UNABLE = tuple(
    Habits(f"unable-{number}", tune=0.1, structural=0.05, copy=0.6, wild=0.25, favourite=0.2, broken=0.5, crashing=0.2)
    for number in range(1, 8)
)


def uneven() -> Landscape:
    """The recipe of ``genes`` with arms of which only one is of use, as among models of very different strength.

    Whoever asks all arms alike spends seven steps of eight on those that hardly ever improve anything: choosing arms by what
    they brought pays here. On the other landscapes every arm has something that the others lack.
    """
    return replace(genes(), name="uneven", habits=(*_UNABLE[:4], _ABLE, *_UNABLE[4:]))


_TINY = {
    "wash": Ingredient(1.0, (0.31,)),
    "mask": Ingredient(0.5, (0.74,)),
    "etch": Ingredient(1.0, (0.42,), needs="mask"),
    "coat": Ingredient(1.0, (8.7,), needs="etch"),
    "cure": Ingredient(1.0, (4.4,), follows="coat"),
    "grind": Ingredient(-1.0, (5.0,)),
}

#: Where ``tiny`` lies, and what one unit of its recipe is worth there: ten thousand times what floating-point numbers resolve.
_OFFSET, _UNIT_OF_TINY = -1000.0, 1e-9


def tiny() -> Landscape:
    """Negative objectives of magnitude 1e3 whose differences are around 1e-9: selection must not depend on the scale.

    A recipe like that of ``genes``, smaller. What divides by the objective, or compares with a tolerance, sees a plateau.
    """
    recipe = Recipe(_TINY, _vocabulary(_TINY, longest=10))
    return Landscape(
        "tiny",
        recipe.vocabulary,
        Source("line", (Call("wash", (0.8,)), Call("grind", (2.0,)))),
        _solution(_TINY),
        _OFFSET + _UNIT_OF_TINY * recipe.optimum,
        lambda source: _OFFSET + _UNIT_OF_TINY * recipe(source),
    )
