"""What the documents show works as shown."""

import dataclasses
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evolve.archive.cvt import CvtConfig
from evolve.archive.front import FrontConfig
from evolve.archive.grid import GridConfig
from evolve.archive.islands import IslandConfig
from evolve.config import RunConfig
from evolve.llm.agent_command import AgentCommand, Edits
from evolve.llm.call_config import CallConfig
from evolve.llm.prices import Price, price_table, shipped
from evolve.llm.specs import PROVIDERS, ModelSettings, parse_spec
from evolve.maker import model_specs
from evolve.settings import build, plain

ROOT = Path(__file__).parent.parent


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_first_tour_runs_as_written(tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MPLCONFIGDIR": str(tmp_path)}
    environment.pop("EVOLVE_ARCHIVE", None)
    commands = [
        line[2:] for block in blocks("docs/first-tour.md", "console") for line in block.splitlines() if line.startswith("$ ")
    ]
    assert len(commands) >= 15
    for command in commands:
        answer = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    assert (tmp_path / "result" / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name",
    [
        "docs/coding-agents.md",
        "docs/comparing.md",
        "docs/first-tour.md",
        "docs/models.md",
        "docs/placement.md",
        "docs/populations.md",
        "docs/strategies.md",
        "docs/tasks.md",
        "README.md",
    ],
)
def test_python_examples_run_as_written(tmp_path, name):
    for block in blocks(name, "python"):
        if "import torch" in block and importlib.util.find_spec("torch") is None:
            continue
        answer = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


def test_the_agent_that_is_shown_can_be_configured_and_every_key_of_one_is_listed():
    [example] = blocks("docs/coding-agents.md", "toml")
    config = build(RunConfig, tomllib.loads(example), "docs/coding-agents.md")
    assert config.agents["mine"].edits is Edits.FOLDER
    page = (ROOT / "docs" / "coding-agents.md").read_text()
    assert [field.name for field in dataclasses.fields(AgentCommand) if f"`{field.name}`" not in page] == []


def test_the_command_line_reference_is_not_stale():
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    make_cli = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_cli)
    assert (ROOT / "docs" / "cli.md").read_text() == make_cli.page(), "run: .venv/bin/python docs/make_cli.py"


def table(name: str, heading: str) -> dict[str, str]:
    """The first two columns of the table with a heading."""
    rows = (ROOT / name).read_text().partition(f"\n| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return {first.strip(" `"): second.strip(" `") for _, first, second, *_ in (row.split("|") for row in rows)}


def shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def test_every_setting_of_a_model_is_told_with_its_default():
    told = table("docs/models.md", "setting")
    assert list(told) == [field.name for field in dataclasses.fields(ModelSettings)]
    for field in dataclasses.fields(ModelSettings):
        if field.default is not None and field.name not in ("kinds", "prompts"):
            assert told[field.name] == shown(field.default), field.name
    assert (told["prompts"],) == ModelSettings().prompts


def test_every_setting_of_calls_is_told_with_its_default():
    assert table("docs/models.md", "`[calls]`") == {
        field.name: shown(field.default) for field in dataclasses.fields(CallConfig)
    }  # fmt: skip


def test_specs_are_written_as_they_are_read():
    text = (ROOT / "docs" / "models.md").read_text()
    specs = re.findall(rf"`((?:{'|'.join(PROVIDERS)})/[^`\s]+)`", text) + re.findall(r"--arm '([^']+)'", text)
    assert len(specs) >= 10
    for spec in specs:
        assert parse_spec(spec.replace("HOST:PORT", "127.0.0.1:8000")).model


def test_configurations_are_read_as_written(tmp_path):
    settings, prices, patience = blocks("docs/models.md", "toml")
    config = build(RunConfig, tomllib.loads(settings), "docs/models.md")
    assert [spec.settings.max_tokens for spec in model_specs(config)] == [6000, 6000]
    assert build(RunConfig, tomllib.loads(patience), "docs/models.md").calls.give_up_s == 600
    (tmp_path / "own.toml").write_text(prices)
    own = price_table(str(tmp_path / "own.toml"))
    assert own.find(["openai/gpt-5-mini"]).price == Price(0.2, 0.02, 1.6)
    assert own.find(["openai/gpt-5-mini"]).context == shipped().find(["openai/gpt-5-mini"]).context
    assert own.find(["openrouter/deepseek/deepseek-v4-pro"]).max_output == 32_000


def test_every_setting_of_a_population_is_told_with_its_default():
    page = (ROOT / "docs" / "populations.md").read_text()
    unset = {"None": "never", "{}": "learnt"}
    assert "| `n_islands` | 1; of `shinka` and `adaptive` 2 |" in page  # None leaves it to the strategy
    for config in (IslandConfig(), GridConfig(), CvtConfig(), FrontConfig()):
        for name, value in plain(config).items():
            if name == "n_islands":
                continue
            text = f"`{json.dumps(value)}`" if isinstance(value, str | list) else unset.get(str(value), str(value))
            assert f"| `{name}` | {text} |" in page, f"{type(config).__name__}.{name}"


def test_links_between_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("tasks/*/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
