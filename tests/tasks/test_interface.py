import pytest

from evolve.tasks.catalog import bundled_folders
from evolve.tasks.interface import calls, docstrings


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('program.call("pack", CIRCLES)', ["pack(circles)"]),
        ('program.call("plan", instance.places, 3, *more)', ["plan(places, ..., *more)"]),
        ('program.call("f", 41.5, key="secret", answers={"a": 42})', ["f(..., key=..., answers=...)"]),
        ('program.call("find", 0.0, callbacks={"measure": Callback(m, max_calls=3)})', ["find(..., measure=...)"]),
        ('program.call("find", callbacks=lent)', ["find(**...)"]),
        ('hooks.bind("update", inputs={"bias": row, "load": row}, outputs={"bias": row})', ["update(bias=..., load=...)"]),
        ('hooks.bind_loss("loss", {"x": spec}, differentiate=["x"])', ["loss(x=...)"]),
        ('hooks.bind_tensors("score", inputs={"x": spec}, outputs={"y": spec}, differentiate=["x"])', ["score(x=...)"]),
        ('hooks.bind("update", specs(), {})', ["update(**...)"]),
        ('program.call("b", 1)\nprogram.call("a")\nprogram.call("b", 2)', ["b(...)", "a()"]),
        ("program.call(name)\nprogram.execute()\nother.call('not a name')\ncall('f')", []),
        ("def f(:", []),
        ("def holdout(program):\n    program.call('held_out')\n", []),
        ("def paired(program, seed):\n    program.call('measured')\n", []),
    ],
)
def test_calls_are_named_without_what_they_are_given(source, found):
    assert calls(source) == found


def test_docstrings_are_those_that_an_author_wrote_for_readers():
    source = (
        '"""Module."""\ndef evaluate(program):\n    """Scores."""\ndef smoke(program):\n    """Tries."""\n'
        'def holdout(program):\n    """Secret."""\ndef helper():\n    """Helps."""\n'
    )
    assert docstrings(source) == ["Module.", "Scores.", "Tries."]
    assert docstrings("x = 1") == docstrings("def f(:") == []


def test_a_bundled_task_says_what_it_calls():
    source = (bundled_folders()["circle_packing"] / "evaluate.py").read_text()
    assert calls(source) == ["pack(circles)"]
