import importlib
import re
import subprocess
import sys

import pytest
import typer

from evolve.cli.main import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_help_is_the_first_line_of_the_command(name):
    target = importlib.import_module(COMMANDS[name].module).COMMANDS[name]
    if not isinstance(target, typer.Typer):
        assert target.__doc__.splitlines()[0] == COMMANDS[name].line


def test_help_lists_every_command(cli):
    out = cli("--help").out
    for name in COMMANDS:
        assert re.search(rf"^\s+{name}\s", out, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(cli, name):
    assert "Usage: evolve " + name in cli(name, "--help").out


def test_no_command_shows_help_and_is_wrong_usage(cli):
    assert "Usage" in cli(status=2).err + cli(status=2).out


def test_an_unknown_command_is_wrong_usage(cli):
    assert "evlove" in cli("evlove", status=2).err


def test_an_unknown_option_is_wrong_usage(cli):
    assert "--no-such" in cli("runs", "--no-such", status=2).err


def test_version(cli):
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", cli("--version").out)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, cli, parabola):
    cli("run", parabola, "--steps", 60, "--quiet")
    command = f"{sys.executable} -m evolve.cli export --archive {tmp_path}/evolve.db | head -1"
    answer = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert answer.returncode == 0
    assert answer.stdout.startswith('{"step": 0')
    assert answer.stderr == ""
