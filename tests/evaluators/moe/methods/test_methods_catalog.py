import ast
import contextlib
import re
import subprocess
import sys

import pytest
from catalog_kit import PRESENT, VOCABULARY

from evolve.evaluators.moe.methods.catalog import METHODS, source_of
from evolve.evaluators.moe.vocabulary import HOOKS

A_SOURCE = re.compile(r"arXiv[:\s]*\d{4}\.\d{4,5}|kexue\.fm/archives/\d+")


def functions(name):
    return {node.name: node for node in ast.parse(source_of(name)).body if isinstance(node, ast.FunctionDef)}


def constants(name):
    """Literals that are bound to names at the top level."""
    found = {}
    for node in ast.parse(source_of(name)).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            with contextlib.suppress(ValueError):  # a quotient of numbers, which is nothing to tune
                found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def test_names_are_those_of_the_methods():
    assert all(name == method.name for name, method in METHODS.items())
    assert {name for name, method in METHODS.items() if method.leaks} == {"expert_choice"}
    assert {name for name, method in METHODS.items() if method.extra_compute} == {"sigma_schedule"}
    assert {name for name, method in METHODS.items() if method.unequal} == {"shiftadd_latency", "astrea_calibration"}


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="'swich'; did you mean 'switch'"):
        source_of("swich")


def test_hooks_are_read_from_the_program():
    assert METHODS["switch"].hooks == ("schedule", "loss")
    assert METHODS["deepseek_v3"].hooks == ("schedule", "score", "select", "gate", "loss", "update")


def test_listing_the_methods_brings_in_no_torch():
    code = (
        "import sys\nfrom evolve.evaluators.moe.methods.catalog import METHODS\n"
        "print(len(METHODS), METHODS['phi'].hooks, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "24 ('init', 'schedule', 'loss', 'update') False"


@pytest.mark.parametrize("name", PRESENT)
def test_a_method_stands_alone(name):
    for node in ast.walk(ast.parse(source_of(name))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= {"torch", "math"}
        elif isinstance(node, ast.ImportFrom):
            assert node.module in ("torch", "math", "__future__")


@pytest.mark.parametrize("name", PRESENT)
def test_a_method_says_where_it_was_published(name):
    text = ast.get_docstring(ast.parse(source_of(name)))
    assert text is not None
    assert A_SOURCE.search(text)
    numbers = re.findall(r"\d{4}\.\d{4,5}|archives/\d+", METHODS[name].source)
    assert any(number in text for number in numbers)


@pytest.mark.parametrize("name", PRESENT)
def test_hooks_ask_only_for_what_there_is(name):
    for hook, node in functions(name).items():
        if hook not in HOOKS:
            continue
        given = node.args
        others = (given.vararg, given.kwarg, *given.defaults, *given.posonlyargs, *given.kwonlyargs)
        assert not any(others), f"{hook} takes more than plain parameters"
        assert {argument.arg for argument in given.args} <= VOCABULARY[hook]


@pytest.mark.parametrize("name", PRESENT)
def test_what_can_be_tuned_is_there_and_starts_within_its_range(name):
    known = constants(name)
    for word, (low, high) in known["TUNABLE"].items():
        assert word.isupper()
        assert 0 < low <= known[word] <= high
