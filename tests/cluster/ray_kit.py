"""Starts Ray clusters as people do, with `ray start`, and ends exactly what it started."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evolve.evaluators.sandbox import tree

PATIENCE_S = 90.0

#: Where the ports of nodes' workers begin, by the process of pytest that starts them: below those that the system gives away,
#: and not those of Ray's client servers.
_FIRST_PORTS = (12_000, 24_100)
_XDIST_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


class RayNode:
    """A node: `ray start --block` and all that it starts."""

    def __init__(
        self, cluster: RayCluster, number: int, options: Sequence[str], prefix: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        self.number = number
        self._folder = cluster.folder
        self.log = cluster.folder / f"node{number}.log"
        head = (
            ["--head", f"--port={cluster.port}", "--include-dashboard=false"] if number == 0 else [f"--address={cluster.address}"]
        )
        # Ranges of their own: several nodes of one machine must not give their workers the same ports.
        first = _FIRST_PORTS[_XDIST_WORKER % len(_FIRST_PORTS)] + 1050 * number + secrets.randbelow(100)
        ports = [f"--min-worker-port={first}", f"--max-worker-port={first + 900}", "--dashboard-agent-listen-port=0"]
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *head, *ports]
        if number == 0:
            command += [f"--temp-dir={cluster.folder / 'ray'}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**cluster.environment, **variables},
                start_new_session=True,
            )

    @property
    def pids(self) -> list[int]:
        """All processes of the node that are alive."""
        return [pid for pid in (self.process.pid, *tree.usage_below(self.process.pid).pids) if _alive(pid)]

    @property
    def raylet(self) -> int:
        """The process that Ray knows the node by."""
        return next(pid for pid in self.pids if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet")

    @property
    def workers(self) -> list[int]:
        """Ray worker processes that evaluate, or wait to."""
        return [pid for pid in self.pids if _title(pid).startswith(("ray::_serve", "ray::IDLE"))]

    def kill(self) -> None:
        """Ends everything of the node at once, as a machine does that loses its power."""
        pids = self.pids
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        for pid in [*pids, *self.pids]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(_alive(pid) for pid in pids))


class RayCluster:
    """A head, and nodes that may join it; a context manager that leaves nothing behind."""

    def __init__(
        self, *head_options: str, ip: str = "127.0.0.1", prefix: Sequence[str] = (), client_port: int | None = None
    ) -> None:
        # Short: the names of Ray's sockets must be shorter than 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="evr", dir="/tmp"))
        self.port = free_port()
        self.ip = ip
        self.client_port = client_port or free_port()
        token = self.folder / "token"
        token.write_text(secrets.token_hex(16))
        self.tokens = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # As in the image (see Dockerfile), or the client server now and then loses a process that it starts.
        self.environment: Mapping[str, str] = kept | self.tokens | {"GRPC_ENABLE_FORK_SUPPORT": "0"}
        self._prefix = prefix
        self._head_options = [f"--ray-client-server-port={self.client_port}", *head_options]
        self.nodes: list[RayNode] = []

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"

    @property
    def client_address(self) -> str:
        return f"ray://{self.ip}:{self.client_port}"

    @property
    def head(self) -> RayNode:
        return self.nodes[0]

    def __enter__(self) -> RayCluster:
        try:
            self.nodes = [self._start(0, self._head_options, self._prefix)]
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_node(self, *options: str, prefix: Sequence[str] = (), variables: Mapping[str, str] | None = None) -> RayNode:
        """Has a node join, with environment variables of its own."""
        node = self._start(len(self.nodes), options, prefix, variables or {})
        self.nodes.append(node)
        return node

    def restart_head(self) -> None:
        """Starts the head again, as its supervisor would."""
        self.nodes[0] = self._start(0, self._head_options, self._prefix)

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(
        self, number: int, options: Sequence[str], prefix: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> RayNode:
        node = RayNode(self, number, options, prefix, variables or {})
        try:
            wait_until(lambda: b"Ray runtime started" in node.log.read_bytes() or node.process.poll() is not None)
            assert node.process.poll() is None, node.log.read_text()
        except BaseException:
            node.kill()
            raise
        return node


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: object, timeout_s: float = PATIENCE_S) -> None:
    assert callable(holds)
    give_up_at = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s"
        time.sleep(0.005)


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _alive(pid: int) -> bool:
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
