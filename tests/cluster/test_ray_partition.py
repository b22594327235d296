"""Two hosts in network namespaces, joined by a cable that is pulled out: nobody is told, nothing is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ray_kit import PATIENCE_S, RayCluster, environment
from test_ray_faults import PROGRAM, attempts, gated, task, until

from evolve.executors.cluster import RayExecutor, parse
from evolve.program import Outcome

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"),
]


class Cable:
    """A network namespace, and a cable between it and this one."""

    def __init__(self) -> None:
        mark = secrets.token_hex(3)
        net = 16 + secrets.randbelow(200)
        self.here, self.there = f"10.231.{net}.1", f"10.231.{net}.2"
        self._namespace, self._plug, self._other = f"ev{mark}", f"eva{mark}", f"evb{mark}"

    @property
    def prefix(self) -> list[str]:
        return ["ip", "netns", "exec", self._namespace]

    def __enter__(self) -> Cable:
        _ip("netns", "add", self._namespace)
        try:
            _ip("link", "add", self._plug, "type", "veth", "peer", "name", self._other, "netns", self._namespace)
            _ip("addr", "add", f"{self.here}/24", "dev", self._plug)
            _ip("link", "set", self._plug, "up")
            for words in (
                ["addr", "add", f"{self.there}/24", "dev", self._other],
                ["link", "set", self._other, "up"],
                ["link", "set", "lo", "up"],
            ):
                _ip("-n", self._namespace, *words)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self._namespace)

    def pull_out(self) -> None:
        _ip("link", "set", self._plug, "down")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def two_hosts():
    with (
        Cable() as cable,
        RayCluster("--num-cpus=0", f"--node-ip-address={cable.here}", ip=cable.here) as cluster,
        environment(cluster.tokens),
    ):
        cluster.add_node("--num-cpus=1", f"--node-ip-address={cable.there}", prefix=cable.prefix)
        yield cable, cluster


def test_an_evaluation_on_a_host_that_is_cut_off_is_repeated_elsewhere(tmp_path):
    async def cut_off(cable, cluster):
        address = parse(cluster.address)
        async with RayExecutor(task(gated(tmp_path)), address, 1, evaluator_grace_s=2.0) as executor:
            evaluation = asyncio.create_task(executor.evaluate(PROGRAM, seed=0))
            await until(Path(tmp_path, "begun").exists)
            await asyncio.to_thread(cluster.add_node, "--num-cpus=1", f"--node-ip-address={cable.here}")
            cable.pull_out()
            pulled_at = time.monotonic()
            async with asyncio.timeout(PATIENCE_S * 2):
                return (await evaluation).evaluation, time.monotonic() - pulled_at

    with two_hosts() as hosts:
        evaluation, took_s = asyncio.run(cut_off(*hosts))
    assert (evaluation.outcome, evaluation.objective, attempts(tmp_path)) == (Outcome.OK, 42.0, 2)
    # Its own deadline is 19 s; Ray says after a minute that the host is gone, and would never have repeated the evaluation.
    assert took_s < 60
