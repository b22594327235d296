import dataclasses
import shlex
from pathlib import Path

import pytest

from evolve.config import RunConfig, make_embed, make_executor, make_order, resolve
from evolve.errors import ConfigError, TaskError
from evolve.executors.cluster import RayExecutor
from evolve.executors.local import LocalExecutor
from evolve.llm.agent_command import AgentCommand, Edits
from evolve.ordering import Asap, Strict
from evolve.program import Limits, Task
from evolve.provenance import repeat_command
from evolve.settings import build, plain
from evolve.strategies import make_search

TASK = Task("t", {"a.py": "x = 1\n"}, origin="bundled", run={"steps": 11, "islands": {"n_islands": 2}})


def test_later_sources_win_and_tables_are_merged(tmp_path):
    (tmp_path / "c.toml").write_text("seed = 3\n[islands]\ncapacity = 5\n")
    config = resolve(
        TASK, file=tmp_path / "c.toml", settings=["seed=4", "bandit.exploration=0.1"], options={"seed": 5, "lag": None}
    )
    assert (config.steps, config.seed, config.lag) == (11, 5, 4)
    assert (config.islands.n_islands, config.islands.capacity, config.bandit.exploration) == (2, 5, 0.1)


def test_a_mistake_in_the_tasks_run_table_names_the_task():
    with pytest.raises(ConfigError, match=r"task t, task\.toml \[run\]: unknown key 'step'; did you mean 'steps'"):
        resolve(Task("t", {"a.py": ""}, run={"step": 3}))


def test_a_configuration_survives_being_stored():
    config = resolve(TASK, settings=["order=asap", "novelty.max_similarity=0.99", "isolation=process"])
    assert build(RunConfig, plain(config), "stored") == config


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["lag=2", "arms=['local/literals']"],
        ["islands.n_islands=3", "novelty.max_similarity=0.9"],
        ["models=[{model='openai/m', settings={timeout_s=9}}]"],
        ["agents.a.command=['x', '--effort=\"{effort}\"']", "agents.b={command=['y'], output='json', paths={text='t'}}"],
    ],
)
def test_the_command_that_repeats_a_run_gives_its_configuration(settings):
    config = resolve(TASK, settings=settings)
    words = shlex.split(repeat_command(TASK, config))
    assert words[:3] == ["evolve", "run", "t"]
    pairs = list(zip(words[3::2], words[4::2], strict=True))
    arms = [value for option, value in pairs if option == "--arm"]
    options = {"steps": int(dict(pairs)["--steps"]), "seed": int(dict(pairs)["--seed"]), "arms": arms or None}
    again = resolve(TASK, settings=[value for option, value in pairs if option == "--set"], options=options)
    assert again == config


class Growing:
    """An executor of a cluster that grows."""

    slots = 2


def test_orders():
    assert isinstance(make_order(RunConfig(), Growing()), Strict)
    assert isinstance(make_order(resolve(TASK, settings=["order=asap"]), Growing()), Asap)


def test_steps_in_flight_follow_the_size_of_the_executor():
    executor = Growing()
    config = resolve(TASK, settings=["order=asap", "stages.proposals=3"])
    order = make_order(config, executor)
    assert (order.may_plan(5, 0), order.may_plan(6, 0)) == (True, False)
    executor.slots = 8
    assert (order.may_plan(11, 0), order.may_plan(12, 0)) == (True, False)


@pytest.mark.parametrize("name", ["ray", "10.0.0.1:6379", "ray://head.example:10001"])
def test_a_cluster_is_named_by_its_address(name):
    executor = make_executor(TASK, resolve(TASK, settings=["cluster.patience_s=5"], options={"executor": name, "workers": 3}))
    assert isinstance(executor, RayExecutor)
    assert executor.slots == 3


def test_evaluations_run_here_where_nothing_is_said():
    assert isinstance(make_executor(TASK, RunConfig()), LocalExecutor)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nonsense", "unknown executor 'nonsense'; .*a Ray cluster goes by HOST:PORT or ray://HOST:PORT"),
        ("rya", "did you mean 'ray'"),
        ("ray://head", "unknown executor 'ray://head'"),
        ("head:99999", "unknown executor 'head:99999'"),
    ],
)
def test_an_executor_that_there_is_not_is_refused_with_what_there_is(name, match):
    with pytest.raises(ConfigError, match=match):
        make_executor(TASK, RunConfig(executor=name))


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_patience_with_a_cluster_is_positive(seconds):
    with pytest.raises(ConfigError, match=r"cluster.*patience_s must be > 0"):
        resolve(TASK, settings=[f"cluster.patience_s={seconds}"])


def test_a_task_that_no_cluster_can_serve_is_refused_before_anything_starts():
    with pytest.raises(TaskError, match=r"limits\.gpus = 1\.5: a cluster gives out parts of one accelerator, or whole ones"):
        make_executor(dataclasses.replace(TASK, limits=Limits(gpus=1.5)), RunConfig(executor="ray"))


def test_workers_default_to_no_more_than_strict_order_can_use():
    assert RunConfig(lag=1).slots == 1
    assert RunConfig(workers=7).slots == 7


def test_embeddings_are_made_only_when_they_are_compared():
    assert make_embed(RunConfig(), make_search(TASK, RunConfig(), ["local/x"])) is None
    config = resolve(TASK, settings=["novelty.max_similarity=0.99"])
    embed = make_embed(config, make_search(TASK, config, ["local/x"]))
    fixed = "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"
    assert (embed({"a.py": "import a\n" + fixed}) == embed({"a.py": "import b\n" + fixed})).all()


def test_a_weight_of_no_arm_is_refused():
    config = resolve(TASK, options={"bandit": {"name": "fixed", "weights": {"local/nothing": 2.0}}})
    with pytest.raises(ConfigError, match="bandit: unknown arm 'local/nothing'; the arms are local/literals"):
        make_search(TASK, config, ["local/literals"])


def test_agents_are_tables_by_name_that_later_sources_add_to():
    table = {"agents": {"mine": {"command": ["my-agent"], "edits": "folder"}}}
    config = resolve(dataclasses.replace(TASK, run=table), settings=["agents.mine={command=['my-agent'], install='buy it'}"])
    assert config.agents["mine"] == AgentCommand(("my-agent",), install="buy it", edits=Edits.FOLDER)
    assert build(RunConfig, plain(config), "run") == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"m/n": {"command": ["x"]}}, "'m/n' cannot be written in agent/NAME"),
        ({"mine": {}}, "agents.mine: key 'command' is missing"),
        ({"mine": {"command": ["x"], "output": "jsn"}}, "agents.mine: output must be one of text, json; got 'jsn'"),
    ],
)
def test_agents_that_could_not_be_called_are_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        build(RunConfig, {"agents": table}, "run")


def test_paths_start_from_where_they_are_written(tmp_path, monkeypatch):
    for name in ("here", "task", "set"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "set" / "c.toml").write_text('prices = "p.toml"\n[prompts]\ntemplates = "words"\n')
    task = dataclasses.replace(TASK, folder=tmp_path / "task", run={"prices": "p.toml", "prompts": {"templates": "words"}})

    def paths(**more):
        config = resolve(task, **more)
        return [config.prices, config.prompts.templates]

    assert paths() == [f"{tmp_path}/task/p.toml", f"{tmp_path}/task/words"]
    assert paths(file=tmp_path / "set" / "c.toml") == [f"{tmp_path}/set/p.toml", f"{tmp_path}/set/words"]
    monkeypatch.chdir(tmp_path / "set")
    assert paths(file=Path("c.toml")) == [f"{tmp_path}/set/p.toml", f"{tmp_path}/set/words"]
    monkeypatch.chdir(tmp_path / "here")
    assert paths(settings=["prices=q.toml"]) == [f"{tmp_path}/here/q.toml", f"{tmp_path}/task/words"]
    assert paths(options={"prompts": {"templates": "../q"}}) == [f"{tmp_path}/task/p.toml", f"{tmp_path}/q"]


def test_the_command_that_repeats_a_run_finds_its_files_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve(TASK, settings=["prices=p.toml", "prompts.templates=words"])
    words = shlex.split(repeat_command(TASK, config))
    monkeypatch.chdir("/")
    assert resolve(TASK, settings=[words[at + 1] for at, word in enumerate(words) if word == "--set"]) == config
