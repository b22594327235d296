"""The skill for coding agents shows commands that exist, in the form that agents read."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from evolve.cli.main import build_app

ROOT = Path(__file__).parent.parent
SKILL = ROOT / "skills" / "evolve" / "SKILL.md"


def commands() -> list[str]:
    text = SKILL.read_text()
    fenced = [line for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    inline = re.findall(r"`(evolve [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [*fenced, *inline]


def missing(line: str) -> set[str]:
    """Parts of a command line that the command line does not have, such as ``steer`` or ``run --budget-usd``."""
    program, name, *words = shlex.split(line)
    assert program == "evolve", line
    # Typer brings a click of its own or uses the installed one, so neither is imported here.
    found = typer.main.get_command(build_app(None)).commands.get(name)
    if found is None:
        return {name}
    while hasattr(found, "commands"):
        name = words.pop(0)
        found = found.commands[name]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    lacking = {f"{name} {word}" for word in words if word.startswith("-") and word not in known}
    if not lacking:
        found.make_context(name, list(words), resilient_parsing=True).close()
    return lacking


@pytest.mark.parametrize("line", commands())
def test_every_command_line_parses(line):
    assert missing(line) == set()


def test_a_mistyped_option_is_found():
    assert missing("evolve run task --stepz 3") == {"run --stepz"}
    assert missing("evolve rum task") == {"rum"}


def test_the_front_matter_is_what_agents_read():
    front = yaml.safe_load(SKILL.read_text().split("---\n")[1])
    assert front["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", front["name"])
    assert 0 < len(front["description"]) <= 1024
    assert len(front["compatibility"]) <= 500


def test_the_files_that_it_describes_are_those_of_a_new_task(tmp_path):
    made = CliRunner().invoke(build_app("task"), ["task", "new", "my_task", "--in", str(tmp_path)])
    assert made.exit_code == 0, made.output
    described = set(re.findall(r"^\d\. `([\w.]+)`", SKILL.read_text(), re.M))
    assert described == {path.name for path in (tmp_path / "my_task").iterdir() if path.is_file()} - {"README.md"}
