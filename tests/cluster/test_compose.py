"""The image and the compose file, brought up for real: what docs/cluster.md says of them.

`make test-compose`; seven minutes on two busy processors, nearly three of them for the images. Needs a Docker engine with Compose
2, or root on Debian 12.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import engine_kit
import pytest

pytestmark = pytest.mark.docker
#: Enough for a minute, in which a second worker joins.
_STEPS = 1000
_OVERRIDE = ["-f", "docker-compose.yml", "-f", "deploy/compose.host.yml"]
#: What a worker's container is started with; `test_deploy_files.py` compares.
STRONG = ["seccomp=deploy/seccomp.json", "apparmor=unconfined", "systempaths=unconfined", "no-new-privileges"]


@dataclass(frozen=True)
class Cluster:
    """A project of Compose."""

    engine: engine_kit.Engine
    name: str
    environment: dict[str, str]
    files: Sequence[str] = ()

    def compose(self, *words: str, timeout_s: float = 240.0) -> str:
        return engine_kit.checked(self._command(*words), self.environment, timeout_s)

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Starts `evolve` in a container beside the cluster."""
        with subprocess.Popen(
            self._command("run", "--rm", "-T", "evolve", *words),
            env=self.environment,
            cwd=engine_kit.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def evolve(self, *words: str) -> Any:
        """Runs `evolve` in a container beside the cluster; returns the JSON that it prints."""
        return json.loads(self.compose("run", "--rm", "-T", "evolve", *words, "--json"))

    def containers(self, service: str) -> dict[str, str]:
        """The running containers of a service, oldest first, and how each is."""
        lines = self.engine.run(
            *("ps", "--filter", f"label=com.docker.compose.project={self.name}"),
            *("--filter", f"label=com.docker.compose.service={service}", "--format", "{{.Names}} {{.Status}}"),
        ).splitlines()
        return dict(line.split(" ", 1) for line in reversed(lines))

    def wait(self, service: str, count: int, within_s: float = 120.0) -> list[str]:
        """Waits until so many containers of a service are healthy; returns their names."""
        last = time.monotonic() + within_s
        while True:
            healthy = [name for name, status in self.containers(service).items() if "(healthy)" in status]
            if len(healthy) == count:
                return healthy
            assert time.monotonic() < last, f"{service}: {self.containers(service)}\n{self.compose('logs', '--tail=50')}"
            time.sleep(0.5)

    def _command(self, *words: str) -> list[str]:
        return [*self.engine.compose, *self.files, "--project-name", self.name, *words]


@pytest.fixture(scope="module")
def engine() -> Iterator[engine_kit.Engine]:
    if why := engine_kit.why_not():
        pytest.skip(why)
    with engine_kit.engine() as made:
        yield made


@pytest.fixture
def cluster(engine) -> Iterator[Cluster]:
    yield from _up(engine, "evolve-test", ())


@pytest.fixture
def cluster_on_host(engine) -> Iterator[Cluster]:
    yield from _up(engine, "evolve-test-host", _OVERRIDE)


def _up(engine: engine_kit.Engine, name: str, files: Sequence[str]) -> Iterator[Cluster]:
    ports = {name: str(_free_port()) for name in ("DASHBOARD_PORT", "CLIENT_PORT", "GCS_PORT", "POSTGRES_PORT")}
    keys = {name: secrets.token_hex(32) for name in ("RAY_AUTH_TOKEN", "POSTGRES_PASSWORD")}
    made = Cluster(engine, name, {**engine.environment, **ports, **keys, "WORKER_CPUS": "2"}, files)
    try:
        made.compose("up", "--detach", "--no-build")
        for service in ("head", "worker", "postgres"):
            made.wait(service, 1)
        yield made
    finally:
        made.compose("--profile", "tools", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_run_survives_the_loss_of_a_worker(cluster):
    """Scales while it runs, kills the worker it began with, and every step is in Postgres."""
    words = ["--name", "packing", "--json", "--executor", "ray://head:10001", "--isolation", "strong"]
    with cluster.begun("run", "circle_packing", "--steps", str(_STEPS), "--seed", "0", *words) as run:
        (first,) = cluster.containers("worker")
        said = _until_a_step(run)
        cluster.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "worker=2", "worker")
        cluster.wait("worker", 2)
        assert run.poll() is None, "the run ended before the second worker was there"
        cluster.engine.run("kill", first)
        out, err = run.communicate(timeout=240)
    assert run.returncode == 0, (said + err)[-3000:]
    report = json.loads(out)
    assert report["steps"] == {"asked": _STEPS, "done": _STEPS}
    assert report["isolation"] == "strong"
    assert len(report["hosts"]) == 2, report["hosts"]
    kept = cluster.evolve("show", "packing")
    assert (kept["status"], kept["outcomes"]) == ("finished", report["outcomes"])
    assert sum(kept["outcomes"].values()) == _STEPS


def _until_a_step(run: subprocess.Popen[str]) -> str:
    """Waits for the first step; returns what was printed until then."""
    said = ""
    for line in run.stderr:
        said += line
        if re.match(r"step [1-9]", line):
            return said
    return pytest.fail(f"the run ended with status {run.wait(10)}\n{said}")


def test_workers_join_a_head_that_was_restarted(cluster):
    (head,) = cluster.containers("head")
    cluster.engine.run("restart", "--time", "5", head)
    (worker,) = cluster.containers("worker")
    last = time.monotonic() + 120
    check = [*cluster.engine.docker, "exec", worker, "python", "/usr/local/lib/evolve-healthcheck.py"]
    # The new head does not know the worker's old node: once the check passes, there is a new one.
    while subprocess.run(check, env=cluster.environment, capture_output=True, check=False).returncode:
        assert time.monotonic() < last, cluster.compose("logs", "--tail=50", "worker")
        time.sleep(1)
    cluster.wait("head", 1)  # the worker can be first: the head opens its client server last
    report = cluster.evolve("run", "circle_packing", "--steps", "20", "--executor", "ray://head:10001")
    assert report["steps"]["done"] == 20


def test_engines_without_bridges_share_the_network_of_the_host(cluster_on_host):
    port = cluster_on_host.environment["CLIENT_PORT"]
    report = cluster_on_host.evolve("run", "circle_packing", "--steps", "40", "--executor", f"ray://127.0.0.1:{port}")
    assert (report["steps"]["done"], report["isolation"]) == (40, "strong")


def test_nobody_joins_without_the_token(cluster):
    (head,) = cluster.containers("head")
    script = "import ray; ray.init('head:6379')"
    for setting in ("RAY_AUTH_TOKEN=0123456789abcdef", "RAY_AUTH_MODE=disabled"):
        command = [*cluster.engine.docker, "exec", "-e", setting, head, "python", "-c", script]
        ran = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 1, ran.stderr
        assert "AuthToken" in ran.stderr or "Failed to connect" in ran.stderr


@pytest.mark.parametrize(("options", "level"), [(STRONG, "strong"), (STRONG[:2], "landlock"), ([], "landlock")])
def test_the_level_is_what_the_options_of_the_container_allow(engine, options, level):
    words = [word for option in options for word in ("--security-opt", option)]
    said = engine.run(
        *("run", "--rm", "--network", "none", "--cap-drop", "ALL", *words, engine_kit.IMAGE, "evolve"),
        *("run", "circle_packing", "--steps", "3", "--json"),
    )
    assert json.loads(said)["isolation"] == level
