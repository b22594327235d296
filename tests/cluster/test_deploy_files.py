"""What can be said of the image, the compose file and the Slurm script without an engine or a cluster."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def test_the_compose_file_holds_no_secret_and_asks_for_each():
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert asked == {"RAY_AUTH_TOKEN", "POSTGRES_PASSWORD"}
    for service in yaml.safe_load(COMPOSE)["services"].values():
        for name, value in service["environment"].items():
            if re.search("KEY|TOKEN|PASSWORD", name):
                assert value is None or value.startswith("${"), name


def test_the_example_of_settings_names_every_secret_and_holds_none():
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.endswith("=") for line in lines)
    assert {line[:-1] for line in lines} >= {"RAY_AUTH_TOKEN", "POSTGRES_PASSWORD"}
    ignored = (ROOT / ".gitignore").read_text().split()
    assert ".env" in ignored


def test_everything_that_is_installed_gets_into_the_image():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = set(project["tool"]["setuptools"]["package-dir"].values())
    assert allowed >= folders | {"pyproject.toml", "constraints.txt", project["project"]["readme"], "LICENSE"}
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_workers_and_nobody_else_get_what_the_sandbox_needs():
    services = yaml.safe_load(COMPOSE)["services"]
    assert "systempaths=unconfined" in services["worker"]["security_opt"]
    for name in ("head", "evolve"):
        assert services[name]["security_opt"] == ["no-new-privileges"]
    assert all("privileged" not in service and "cap_add" not in service for service in services.values())


def test_the_filter_of_system_calls_leaves_those_that_make_a_sandbox():
    filter_ = json.loads((ROOT / "deploy" / "seccomp.json").read_text())
    (refused,) = filter_["syscalls"]
    needed = {"clone", "clone3", "unshare", "setns", "mount", "umount2", "pivot_root", "seccomp", "landlock_restrict_self"}
    assert filter_["defaultAction"] == "SCMP_ACT_ALLOW"
    assert not needed & set(refused["names"])


@pytest.fixture
def healthcheck():
    spec = importlib.util.spec_from_file_location("healthcheck", ROOT / "deploy" / "healthcheck.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_container_without_a_node_is_not_healthy(healthcheck, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "cmdline").write_bytes(b"ray\0start\0")
    assert healthcheck.main([], tmp_path) == "no raylet runs in this container"


def test_the_slurm_script_is_a_shell_script():
    checked = subprocess.run(["bash", "-n", str(ROOT / "deploy" / "slurm.sbatch")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
