"""Fixtures that several folders of tests share."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from postgres_kit import postgres, postgres_url, where  # noqa: F401 - fixtures

try:
    import evolve.archive  # noqa: F401 - whether it can be had is the question
except ModuleNotFoundError as error:
    raise pytest.UsageError("evolve is not installed: run `make test`, or `pip install -e '.[dev]'` first") from error

from evolve.cli.main import main
from evolve.evaluators.sandbox import bubblewrap, probe

PARABOLA = Path(__file__).parent / "plugin_package" / "evolve_hello_task"


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    out: str
    err: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys) -> Callable[..., Answer]:
    """Calls the command line in an empty folder; the exit status must be the one expected."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVOLVE_ARCHIVE", raising=False)
    monkeypatch.delenv("EVOLVE_PRICES", raising=False)

    def call(*words: object, status: int = 0) -> Answer:
        capsys.readouterr()
        found: int | str | None = 0
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            found = end.code
        out, err = capsys.readouterr()
        assert (found or 0) == status, err or out
        return Answer(out, err, status)

    return call


@pytest.fixture
def probed_anew():
    """Has this machine looked at again in the test, and after it."""
    probe.what_strong_lacks.cache_clear()
    yield
    probe.what_strong_lacks.cache_clear()


@pytest.fixture
def no_bubblewrap(monkeypatch, probed_anew):
    """A machine without bubblewrap."""
    monkeypatch.setattr(bubblewrap, "executable", lambda: None)


@pytest.fixture
def parabola() -> str:
    """A task that is scored in milliseconds: minimise (x - 3)^2 from x = 1."""
    return str(PARABOLA)


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a run without what depends on the clock."""
    return [{key: value for key, value in row.items() if not key.endswith(("_s", "_at"))} for row in rows]


@pytest.fixture(scope="session")
def cluster():
    """A Ray cluster of two nodes on this machine, which nobody harms but for its workers."""
    from ray_kit import RayCluster, environment  # of tests/cluster: other tests know nothing of Ray

    with RayCluster("--num-cpus=3") as started:
        started.add_node("--num-cpus=3")
        with environment(started.tokens):
            yield started


@pytest.fixture
def address(cluster) -> str:
    """Where the cluster is joined as a node."""
    return cluster.address


@pytest.fixture
def client_address(cluster, tmp_path_factory):
    """Where the cluster's client server listens; one test at a time has it.

    The client servers of two clusters on one machine count through the same ports (Ray 2.60 begins with 23000) and hand them to
    processes that bind them a second later: at the same time, both give away the same one.
    """
    with (tmp_path_factory.getbasetemp().parent / "client-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cluster.client_address
