import json
import re

import numpy as np
import pytest

from evolve.evaluators.placement.recorded import step_loads

GOOD = [[1, 2], [3, 4]]


def written(path, text):
    file = path / "loads.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def history(*steps):
    return json.dumps({"load_history": [{"logical_expert_load": step} for step in steps]})


def test_loads_of_each_step_are_read_and_the_rest_is_passed_over(tmp_path):
    text = json.dumps(
        {
            "model": {"name": "some"},
            "load_history": [
                {"logical_expert_load": GOOD, "physical_expert_load": [[1, 1, 1]], "step": 7},
                {"logical_expert_load": [[5.0, 0], [0, 2**40]]},
            ],
        }
    )
    loads = step_loads(written(tmp_path, text))
    assert [load.tolist() for load in loads] == [GOOD, [[5, 0], [0, 2**40]]]
    assert {load.dtype for load in loads} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        ("[" * 200_000, "nested too deeply|not JSON"),
        ("[]", "expected an object with 'load_history', a list of steps that is not empty"),
        ("{}", "expected an object with 'load_history'"),
        ('{"load_history": []}', "a list of steps that is not empty"),
        ('{"load_history": {"0": []}}', "a list of steps that is not empty"),
        ('{"load_history": [3]}', "step 0 has no 'logical_expert_load'"),
        ('{"load_history": [{"logical_expert_loads": []}]}', "step 0 has no 'logical_expert_load'"),
        (
            '{"load_history": [{"logical_expert_load": [[1, NaN]]}]}',
            "step 0, layer 0, expert 1: expected a whole number .* got nan",
        ),
        ('{"load_history": [{"logical_expert_load": [[1, 1e999]]}]}', "layer 0, expert 1: .* got inf"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        step_loads(written(tmp_path, text))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ([[1, 2], [3, -4]], "step 1, layer 1, expert 1: expected a whole number from 0 to 2^40, got -4"),
        ([[1, 2], [3, 0.5]], "step 1, layer 1, expert 1: expected a whole number from 0 to 2^40, got 0.5"),
        ([[1, 2], [2**41, 0]], "step 1, layer 1, expert 0: expected a whole number from 0 to 2^40, got 2199023255552"),
        (
            [[1, 2], [10**30, 0]],
            "step 1, layer 1, expert 0: expected a whole number from 0 to 2^40, got 1000000000000000000000000000000",
        ),
        ([[1, None], [3, 4]], "step 1, layer 0, expert 1: expected a whole number from 0 to 2^40, got null"),
        ([[1, "2"], [3, 4]], "step 1, layer 0, expert 1: expected a whole number from 0 to 2^40, got '2'"),
        ([[True, False], [False, True]], "step 1, layer 0, expert 0: expected a whole number from 0 to 2^40, got True"),
        ([[1, 2], [3]], "step 1, layer 1 has 1 experts, but layer 0 has 2; expected the same in all"),
        ([[1, 2], 3], "step 1, layer 1: expected a list of the experts' loads, got 3"),
        ([[1, 2], []], "step 1, layer 1: expected a list of the experts' loads, got []"),
        ([[[1], [2]], [[3], [4]]], "step 1, layer 0, expert 0: expected a whole number from 0 to 2^40, got [1]"),
        ([], "step 1: expected 'logical_expert_load' to be a list of lists, one for each layer; got []"),
        (None, "step 1: expected 'logical_expert_load' to be a list of lists, one for each layer; got null"),
        ("x" * 100, f"one for each layer; got '{'x' * 39}…"),
        ([1, 2], "step 1, layer 0: expected a list of the experts' loads, got 1"),
        ([[1, 2]], "step 1 has 1 layers of 2 experts, but step 0 has 2 of 2; expected the same in all"),
        ([[1, 2, 3], [4, 5, 6]], "step 1 has 2 layers of 3 experts, but step 0 has 2 of 2"),
    ],
)
def test_a_step_with_a_fault_is_named_with_its_place(tmp_path, step, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        step_loads(written(tmp_path, history(GOOD, step, GOOD)))
