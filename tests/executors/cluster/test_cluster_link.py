"""The controller's end of a driver process, with a driver that a test has written."""

import asyncio
import stat
import sys
import textwrap
import time
from pathlib import Path

import pytest

from evolve.errors import ExecutorError
from evolve.executors.cluster import link as link_module
from evolve.executors.cluster.address import parse
from evolve.executors.cluster.link import Link
from evolve.executors.cluster.needs import Needs

HEAD = f"""#!{sys.executable} -I
import os, socket, struct, sys, time
import msgpack

stream = socket.socket(fileno=int(sys.argv[-1]))
reading = stream.makefile("rb")

def receive():
    head = reading.read(8)
    return msgpack.unpackb(reading.read(struct.unpack(">Q", head)[0])) if head else None

def send(message):
    payload = msgpack.packb(message)
    stream.sendall(struct.pack(">Q", len(payload)) + payload)

greeting = receive()
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    def write(body):
        file = tmp_path / "driver"
        file.write_text(HEAD + textwrap.dedent(body))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(link_module.sys, "executable", str(file))

    return write


async def opened(hear=lambda event: None, address="h:6379", timeout_s=30.0):
    return await Link.open(parse(address), Needs(2.0), b"parcel", 3, hear, timeout_s=timeout_s)


def is_there(pid):
    # A zombie that nobody in a container reaps does not count.
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def until(holds):
    give_up_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_driver_is_greeted_and_heard_and_ends_with_its_link(driver):
    driver("""
        send({"kind": "ready"})
        send({"kind": "greeted", "greeting": greeting})
        while (message := receive()) is not None:
            send({"kind": "echo", "message": message})
    """)
    heard = []

    async def story():
        link = await opened(heard.append)
        link.send({"kind": "evaluate", "attempt": 1})
        async with asyncio.timeout(30):
            while len(heard) < 2:
                await asyncio.sleep(0.01)
        await link.close()
        link.send({"kind": "evaluate", "attempt": 2})  # can no longer arrive, and is dropped
        return link._process.pid

    pid = asyncio.run(story())
    needs = {"cpus": 2.0, "gpus": 0.0, "memory_bytes": 0, "custom": {}}
    assert heard[0]["greeting"] == {"way": "node", "address": "h:6379", "needs": needs, "parcel": b"parcel", "at_once": 3}
    assert heard[1:] == [{"kind": "echo", "message": {"kind": "evaluate", "attempt": 1}}]
    assert not is_there(pid)


@pytest.mark.parametrize(
    ("address", "why", "match"),
    [
        ("ray", "ModuleNotFoundError: No module named 'ray'", r"pip install 'evolve-platform\[ray\]'"),
        ("h:1", "ConnectionError: no head", r"at h:1 cannot be reached: ConnectionError: no head\. .*ray start --address=h:1"),
        ("ray://h:1", "ConnectionError: no head", "with the client server on that port"),
        ("h:1", "AuthenticationError: no token", "RAY_AUTH_TOKEN"),
        ("ray", "OSError: no room", "--executor local"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_an_error_with_advice(driver, address, why, match):
    driver(f'send({{"kind": "failed", "why": {why!r}}})')
    with pytest.raises(ExecutorError, match=match):
        asyncio.run(opened(address=address))


def test_a_driver_that_ray_ends_while_it_starts_is_started_once_more(driver, tmp_path):
    been = tmp_path / "been"
    driver(f"""
        if not os.path.exists({str(been)!r}):
            open({str(been)!r}, "w").close()
            os.abort()
        send({{"kind": "ready"}})
        receive()
    """)

    async def story():
        await (await opened()).close()

    asyncio.run(story())


def test_a_driver_that_ray_ends_again_shows_what_ray_says_of_it_and_not_its_stack(driver):
    driver("""
        sys.stderr.write("noise\\n[1] worker.cc:7: Check failed: port in use\\n" + "stack\\n" * 1000)
        sys.stderr.flush()
        os.abort()
    """)
    with pytest.raises(ExecutorError, match=r"cannot be reached: \[1\] worker\.cc:7: Check failed: port in use\. "):
        asyncio.run(opened())


def test_a_driver_that_does_not_start_says_what_it_printed(driver):
    driver("""
        sys.stderr.write("No module named 'ray'")
        sys.exit(1)
    """)
    with pytest.raises(ExecutorError, match=r"cannot be reached: No module named 'ray'\. Ray is not installed"):
        asyncio.run(opened())


def test_a_cluster_that_does_not_answer_in_time_is_left(driver):
    driver("time.sleep(600)")
    with pytest.raises(ExecutorError, match=r"at h:6379 did not answer within 0\.5 s\. Is its head running"):
        asyncio.run(opened(timeout_s=0.5))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('send({"kind": "failed", "why": "ConnectionError: the head is gone. Try again."})', "ConnectionError: the head is gone"),
        (
            'print("first", "[1] x.cc:1: Failed to connect to GCS. Look there.", sep=chr(10), file=sys.stderr, flush=True)',
            "Failed to connect to GCS",
        ),
        # What else Ray prints is most often of no account.
        ('print("A worker died. Look there.", file=sys.stderr, flush=True)', "Ray ended its driver"),
        ("pass", "Ray ended its driver"),
        ("os.kill(os.getpid(), 9)", "Ray ended its driver"),
    ],
)
def test_a_link_that_closes_says_why(driver, body, why):
    driver(f'send({{"kind": "ready"}})\n{body}')

    async def story():
        link = await opened()
        async with asyncio.timeout(30):
            found = await asyncio.shield(link.closed)
        await link.close()
        await link.close()  # again is no harm
        return found

    assert asyncio.run(story()) == why


def test_a_driver_that_hangs_is_ended_with_all_of_its_session(driver, monkeypatch):
    monkeypatch.setattr(link_module, "_LEAVE_S", 0.2)
    driver("""
        child = os.fork() or time.sleep(600)
        send({"kind": "ready"})
        send({"kind": "child", "pid": child})
        time.sleep(600)
    """)
    heard = []

    async def story():
        link = await opened(heard.append)
        async with asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0.01)
        await link.close()
        return link._process.pid

    assert not is_there(asyncio.run(story()))
    until(lambda: not is_there(heard[0]["pid"]))


@pytest.mark.parametrize(
    ("address", "leave_s"),
    [("ray", 0.2), ("h:6379", 600.0)],  # a cluster that was there before need not be ended in good order
)
def test_a_call_that_is_cancelled_while_it_connects_leaves_no_driver(driver, tmp_path, monkeypatch, address, leave_s):
    monkeypatch.setattr(link_module, "_LEAVE_S", leave_s)
    driver(f"""
        with open({str(tmp_path / "pid")!r}, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    """)

    async def story():
        opening = asyncio.create_task(opened(address=address))
        async with asyncio.timeout(30):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await asyncio.sleep(0.01)
        opening.cancel()
        async with asyncio.timeout(30):
            await asyncio.wait([opening])

    asyncio.run(story())
    assert not is_there(int((tmp_path / "pid").read_text()))
