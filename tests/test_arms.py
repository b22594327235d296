from dataclasses import replace
from types import SimpleNamespace

import pytest

from evolve.arms import Arms, make_mutators
from evolve.config import RunConfig
from evolve.errors import ConfigError
from evolve.program import Task
from evolve.settings import build

TASK = Task("t", {"a.py": "x = 1"})


def names(*arms: str, task: Task = TASK) -> list[str]:
    return list(make_mutators(task, RunConfig(arms=arms)))


def test_local_names_every_free_arm_and_one_can_be_had_alone():
    assert names("local") == ["local/literals", "local/statements", "local/recombine"]
    assert names("local/recombine", task=replace(TASK, files={"a.c": "x"})) == ["local/recombine"]


def test_a_model_is_an_arm_for_each_kind_of_edit():
    assert names("anthropic/claude-x[temperature=0.5]") == [
        f"anthropic/claude-x[temperature=0.5]/{kind}" for kind in ("diff", "full", "cross", "repair")
    ]


def test_an_agent_is_one_arm_that_edits_whole_programs_unless_others_are_asked_for():
    assert names("agent/codex") == ["agent/codex/full"]
    assert names("agent/codex[kinds=full+repair]") == [f"agent/codex[kinds=full+repair]/{kind}" for kind in ("full", "repair")]


def test_an_agents_settings_in_a_table_leave_it_one_arm():
    config = build(RunConfig, {"arms": ["agent/x"], "models": [{"model": "agent/x", "settings": {"timeout_s": 9}}]}, "run")
    assert list(make_mutators(TASK, config)) == ["agent/x/full"]


def test_the_same_model_with_other_settings_or_at_another_server_is_another_arm():
    found = names(
        "openai/m[kinds=full]@http://127.0.0.1:1/v1", "openai/m[kinds=full]@http://127.0.0.1:2/v1", "openai/m[kinds=full]"
    )
    assert found == ["openai/m[kinds=full]@127.0.0.1:1/full", "openai/m[kinds=full]@127.0.0.1:2/full", "openai/m[kinds=full]/full"]


def test_settings_of_a_model_may_stand_in_the_configuration():
    config = build(RunConfig, {"arms": ["openai/m"], "models": [{"model": "openai/m", "settings": {"kinds": ["full"]}}]}, "run")
    assert list(make_mutators(TASK, config)) == ["openai/m/full"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("locla", "unknown arm 'locla'; did you mean 'local'"),
        ("local/literal", "unknown arm 'local/literal'; did you mean 'local/literals'"),
        ("opnai/gpt", "unknown provider 'opnai'; did you mean 'openai'"),
        ("openai/gpt[temprature=1]", "unknown setting 'temprature'; did you mean 'temperature'"),
        ("openai/gpt[temperature]", "setting 'temperature' has no value"),
        ("openai/gpt[temperature=hot]", "temperature must be a number, got 'hot'"),
        ("openai/gpt[kinds=diff+fall]", "kinds\\[1\\] must be one of diff, full, cross, repair; got 'fall'"),
        ("openai/gpt]", "is not PROVIDER/MODEL"),
    ],
)
def test_what_names_nothing_is_refused_with_the_nearest_word(spec, message):
    with pytest.raises(ConfigError, match=message):
        names(spec)


def test_two_specs_that_would_make_one_arm_are_refused():
    with pytest.raises(ConfigError, match="is named twice"):
        names("openai/m[kinds=full]@http://127.0.0.1:1/v1", "openai/m[kinds=full]@http://127.0.0.1:1/other/v1")


class FakeCaller:
    """What arms see of a model's caller."""

    def __init__(self, concurrency=1, *, available=True, hopeless=False, free=False):
        self.name = "openai/m"
        self.lane = SimpleNamespace(concurrency=concurrency)
        self.free = free
        self.available = available
        self.reason = "" if available else "unreachable"
        self.reopens_in_s = 0.0 if available else 5.0
        self.hopeless = hopeless
        self.probing = False
        self.healthy = available


def arms_of(**callers):
    return Arms({"local/literals": None, **dict.fromkeys(callers)}, callers)


def test_an_arm_is_passed_over_while_its_model_has_no_free_turn():
    model = FakeCaller(concurrency=2)
    arms = arms_of(full=model, diff=model)
    assert arms.unavailable() == ()
    assert arms.unavailable({"full": 1}) == ()
    assert arms.unavailable({"full": 1, "diff": 1}) == ("full", "diff")
    assert arms.unavailable({"local/literals": 9}) == ()


def test_no_arm_is_passed_over_while_no_other_is_left():
    model, down = FakeCaller(), FakeCaller(available=False)
    arms = Arms({"full": None, "down": None}, {"full": model, "down": down})
    assert arms.unavailable({"full": 1}) == ("down",)


def test_an_arm_whose_model_is_down_says_why_and_until_when():
    arms = arms_of(down=FakeCaller(available=False), full=FakeCaller())
    assert arms.outage_of("down") == ("unreachable", 5.0, False, False)
    assert arms.outage_of("full") is None
    assert arms.outage_of("local/literals") is None
    assert arms.outage() is None


def test_there_is_hope_while_one_of_the_arms_may_come_back():
    gone, down = FakeCaller(available=False, hopeless=True), FakeCaller(available=False)
    assert not Arms({"a": None, "b": None}, {"a": gone, "b": down}).outage().hopeless
    assert Arms({"a": None}, {"a": gone}).outage().hopeless


def test_a_free_model_is_no_paid_arm_that_is_left():
    paid, free = FakeCaller(), FakeCaller(free=True)
    arms = Arms({"paid": None, "free": None}, {"paid": paid, "free": free})
    assert not arms.put_aside("paid")
    assert arms.unavailable() == ("paid",)
    other = FakeCaller()
    assert Arms({"paid": None, "other": None}, {"paid": paid, "other": other}).put_aside("paid")
