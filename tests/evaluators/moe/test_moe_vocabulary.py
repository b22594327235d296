from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.vocabulary import HOOKS, PER_TOKEN, Array, hooks_of


def test_hooks_are_read_with_what_they_ask_for():
    source = """
import torch
COEFFICIENT = 0.1
def helper(x, *more, **others): return x
def loss(load, *, probability): return (load * probability).sum()
def update(): pass
class Other:
    def score(self): pass
"""
    assert hooks_of(source) == {"loss": ("load", "probability"), "update": ()}


def test_a_program_without_hooks_is_one():
    assert hooks_of("") == {}


def test_of_two_functions_of_a_name_the_last_one_counts_as_in_python():
    assert hooks_of("def loss(load): pass\ndef loss(mask): pass") == {"loss": ("mask",)}


@pytest.mark.parametrize(
    "source", ["def loss(load) return", "x = '\ud800'", "\0", "(" * 5000, "-" * 100_000 + "1", "x = 1" + "0" * 5000, "\tx\n  y"]
)
def test_what_is_not_python_is_invalid(source):
    with pytest.raises(Invalid, match="the program cannot be read: "):
        hooks_of(source)


@pytest.mark.parametrize(
    "source",
    [
        "loss = lambda load: load.sum()",
        "async def loss(load): pass",
        "class loss: pass",
        "import numpy as loss",
        "from numpy import sum as loss",
        "import functools\n@functools.cache\ndef loss(load): pass",
        "x, (loss, y) = 1, (2, 3)",
        "loss: float = 1.0",
        "loss += 1",
        "for loss in range(3): pass",
        "with open('f') as loss: pass",
        "if True:\n    loss = print",
        "(loss := print)",
        "def loss(load): pass\nloss = print",
    ],
)
def test_a_hook_that_is_no_plain_function_is_invalid(source):
    with pytest.raises(Invalid, match="loss must be a function, written with def at the top level and without decorators"):
        hooks_of(source)


@pytest.mark.parametrize(
    "source",
    [
        "if True:\n    def loss(load): pass",
        "try:\n    def loss(load): pass\nfinally:\n    pass",
        "try:\n    pass\nexcept ValueError as loss:\n    pass",
        "for x in []:\n    class loss: pass",
        "while x:\n    import numpy as loss",
        "match 1:\n    case loss: pass",
    ],
)
def test_a_hook_that_is_defined_inside_another_statement_is_not_overlooked(source):
    # It would be there once the program is loaded, and never be called: better said than scored.
    with pytest.raises(Invalid, match="loss must be a function, written with def at the top level"):
        hooks_of(source)


@pytest.mark.parametrize(
    "source",
    [
        "def helper():\n    loss = 1",
        "class Helper:\n    loss = 1",
        "if True:\n    def helper():\n        loss = 1",
        "losses = [loss for loss in ()]",
        "helper = lambda loss: loss",
    ],
)
def test_names_of_hooks_are_free_within_other_functions(source):
    assert hooks_of(source) == {}


@pytest.mark.parametrize("parameters", ["*load", "**load", "load, /", "*, load, **others"])
def test_inputs_have_to_be_named(parameters):
    with pytest.raises(Invalid, match="loss must name its inputs, without"):
        hooks_of(f"def loss({parameters}): pass")


def test_asking_for_what_there_is_not_says_what_there_is():
    with pytest.raises(Invalid, match="schedule asks for logits, epoch; it may ask for: step, steps, layers, experts, k"):
        hooks_of("def schedule(logits, step, epoch): pass")


@pytest.mark.parametrize("hook", PER_TOKEN)
@pytest.mark.parametrize("name", ["mask_of_others", "tokens", "load", "counts"])
def test_hooks_of_tokens_get_no_loads_and_no_text(hook, name):
    with pytest.raises(Invalid, match=f"{hook} asks for {name}"):
        hooks_of(f"def {hook}({name}): pass")


def test_a_task_may_leave_only_some_hooks_to_programs():
    assert hooks_of("def loss(load): pass", ["loss"]) == {"loss": ("load",)}
    with pytest.raises(Invalid, match="the program defines update; this task leaves to it: loss, schedule"):
        hooks_of("def update(bias, memory): pass", ["loss", "schedule"])


@pytest.mark.parametrize("depth", [100, 300, 900, 2000])
@pytest.mark.parametrize(("head", "more", "tail"), [("x = ", "-", "1"), ("if x: pass\n", "elif x: pass\n", ""), ("x", ".x", "()")])
def test_deep_programs_are_read_or_refused(head, more, tail, depth):
    with suppress(Invalid):  # whether it can be read is Python's business
        assert hooks_of(head + depth * more + tail) == {}


@given(st.text(max_size=60) | st.sampled_from(list(HOOKS)).map(lambda name: f"def {name}("))
def test_any_text_is_read_or_refused(source):
    with suppress(Invalid):
        assert set(hooks_of(source)) <= set(HOOKS)


@pytest.mark.parametrize("name", catalog.METHODS)
def test_published_methods_keep_to_the_vocabulary(name):
    assert set(hooks_of(catalog.source_of(name))) == set(catalog.METHODS[name].hooks)


def test_shapes_follow_the_letters():
    sizes = {"L": 2, "M": 3, "E": 5}
    assert Array("LME").shape(sizes) == (2, 3, 5)
    assert Array("").shape(sizes) == ()


def test_nothing_that_is_differentiated_is_a_count():
    for hook in HOOKS.values():
        assert all(array.dtype == "float32" for array in hook.inputs.values() if array and array.differentiated)
