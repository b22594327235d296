import pytest

from evolve.errors import TaskError
from evolve.evaluators import tools
from evolve.program import Build, Task

TASK = Task("t", {"a": ""}, build=Build(("no-such-compiler", "x")), command=("./program",), requires=("sh", "no-such-tool"))


def test_what_a_task_needs_are_its_commands_first_words_and_what_it_requires():
    assert tools.needed(TASK) == ("sh", "no-such-tool", "no-such-compiler")
    assert tools.needed(Task("t", {"a": ""}, command=("node", "a.js"))) == ("node",)
    assert tools.needed(Task("t", {"a.py": ""})) == ()


def test_what_is_missing_is_named_with_what_to_install():
    with pytest.raises(
        TaskError, match=r"task t needs no-such-tool and no-such-compiler, not found .* apt-get install no-such-tool"
    ):
        tools.require(TASK)
    assert "apt-get install nodejs" in tools.hint(["node"])


def test_a_task_whose_tools_are_there_is_fine():
    tools.require(Task("t", {"a": ""}, command=("sh", "a")))
