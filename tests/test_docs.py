"""What the documents show works as shown."""

import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from evolve.config import RunConfig
from evolve.llm.agent_command import AgentCommand, Edits
from evolve.settings import build

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


@pytest.mark.parametrize("name", ["docs/first-tour.md", "docs/tasks.md", "README.md"])
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


def test_links_between_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("tasks/*/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
