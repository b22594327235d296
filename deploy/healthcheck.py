"""Says whether this container's Ray node is a living member of its cluster, for Docker's health check.

`ray health-check` asks whether the head answers, which is true in a container whose own node died or was declared dead. This
finds the raylet of this container, takes the head's address and the node's identifier from its command line, and asks the
head about that node. Exit status 0: alive; 1: not, and the reason is printed. `docker inspect` shows it.

    python healthcheck.py [PORT...]      PORTs of this container that must accept connections as well
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_TIMEOUT_S = 10.0


def main(ports: Sequence[str], processes: Path = Path("/proc")) -> str:
    """Returns what is wrong, empty if nothing is."""
    raylet = _raylet(processes)
    if raylet is None:
        return "no raylet runs in this container"
    address, node = raylet
    state = _state(address, node)
    if state != "ALIVE":
        return f"node {node} is {state} to the head at {address}"
    for port in ports:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=_TIMEOUT_S).close()
        except OSError as error:
            return f"port {port} does not accept connections: {error}"
    return ""


def _raylet(processes: Path) -> tuple[str, str] | None:
    """Address of the head and identifier of the node, as this container's raylet was told."""
    for path in processes.glob("[0-9]*/cmdline"):
        with suppress(OSError):  # a process that has just ended
            command = path.read_bytes().decode(errors="replace").split("\0")
            if command[0].endswith("/raylet"):
                options = dict(word.lstrip("-").split("=", 1) for word in command if word.startswith("--") and "=" in word)
                return options["gcs-address"], options["node_id"]
    return None


def _state(address: str, node: str) -> str:
    """Asks the head what it holds of a node."""
    from ray._raylet import GcsClient  # half a second, which a container without a raylet need not spend
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    try:
        nodes = GcsClient(address=address).get_all_node_info(timeout=_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  Ray's errors have no common base; each means the same here
        return f"unknown ({type(error).__name__}: {error})"
    for info in nodes.values():
        if info.node_id.hex() == node:
            return str(GcsNodeInfo.GcsNodeState.Name(info.state))
    return "unknown"


if __name__ == "__main__":
    found = main(sys.argv[1:])
    if found:
        sys.stdout.write(f"{found}\n")
    sys.exit(bool(found))
