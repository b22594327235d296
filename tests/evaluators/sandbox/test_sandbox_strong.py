"""What level strong adds, each tried from inside, as the user who runs the tests and, for root, as an ordinary one."""

import os
import resource
import shutil
import site
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evolve.evaluators.sandbox import available_levels, tree
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Isolation, Limits

STRONG = next(report for report in available_levels() if report.level is Isolation.STRONG)
pytestmark = pytest.mark.skipif(not STRONG.available, reason=f"level strong is not available: {STRONG.detail}")
LIMITS = Limits(timeout_s=2.0, wall_timeout_s=30.0, memory_mb=200, scratch_mb=8, max_processes=12)

# Every attempt is a function; f runs one of them and says what came of it.
ATTEMPTS = """
import ctypes, glob, mmap, numpy, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
# Not /tmp by name: it is not there where the interpreter's packages lie below it.
temporary = os.environ["TMPDIR"]

def syscall(*arguments):
    if libc.syscall(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

hidden = glob.glob(os.path.dirname(numpy.__path__[0]) + "/evolve*")

def processes():
    return [name for name in os.listdir("/proc") if name.isdigit()]

def bomb():
    for count in range(100):
        if os.fork() == 0:
            os.read(os.pipe()[0], 1)
    return count

def fill():
    with open(temporary + "/big", "wb") as file:
        for _ in range(100):
            file.write(bytes(2**20))

def folders():
    return [name for name in ("/home", "/etc/passwd", "/usr/src", "/var", "/opt", "/srv", "/mnt") if os.path.exists(name)]

attempts = {
    "identity": lambda: (os.getpid(), os.getuid(), os.getcwd(), socket.gethostname()),
    "capabilities": lambda: open("/proc/self/status").read(),
    "processes": processes,
    "kill_everything": lambda: os.kill(1, 9),
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "raw": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "unix": lambda: (pair := socket.socketpair()) and pair[0].send(b"x"),
    "ptrace": lambda: syscall(101, 16, 1, 0, 0),
    "mount": lambda: syscall(165, b"x", b"/scratch/run/work", b"tmpfs", 0, 0),
    "unshare": lambda: syscall(272, 0x10000000),
    "clone3": lambda: syscall(435, 0, 0),
    "keyring": lambda: syscall(248, b"user", b"x", b"y", 1, -2),
    "bpf": lambda: syscall(321, 0, 0, 0),
    "io_uring": lambda: syscall(425, 1, 0),
    "perf": lambda: syscall(298, 0, 0, -1, -1, 0),
    "shared_memory": lambda: syscall(29, 1234, 4096, 0o1777),
    "memory_file": lambda: syscall(319, b"x", 0),
    "thirty_two_bit_numbers": lambda: syscall(0x40000000 + 39),
    "bomb": bomb,
    "fill": fill,
    "folders": folders,
    "write_root": lambda: open("/x", "w"),
    "write_package": lambda: open(os.__file__, "a"),
    "leave_a_file": lambda: (open("left", "w"), open(temporary + "/left", "w"), open("/dev/shm/left", "w")) and 1,
    "find_a_file": lambda: [path for path in ("left", temporary + "/left", "/dev/shm/left") if os.path.exists(path)],
    "setuid": lambda: os.setuid(0),
    "device_times": lambda: os.utime("/dev/null"),
    "hidden_folder_attribute": lambda: os.setxattr(hidden[0], "user.x", b"y"),
    "socket_pair": lambda: socket.socketpair(socket.AF_NETLINK, socket.SOCK_RAW),
    "shared_anonymous_memory": lambda: mmap.mmap(-1, 4096),
    "device": lambda: os.mknod("device", 0o20666, os.makedev(1, 1)),
    "environment": lambda: dict(os.environ),
}

def f(name):
    try:
        answer = attempts[name]()
        return answer if isinstance(answer, (int, str, list, tuple, dict, type(None))) else repr(answer)
    except OSError as error:
        return f"refused: {error.strerror}"
"""
REFUSED = (
    *("kill_everything", "tcp", "udp", "raw", "netlink", "ptrace", "mount", "unshare", "clone3", "keyring", "bpf", "io_uring"),
    *("perf", "shared_memory", "memory_file", "thirty_two_bit_numbers", "bomb", "fill", "write_root", "write_package"),
    *("device", "processes", "capabilities", "device_times", "hidden_folder_attribute", "socket_pair", "shared_anonymous_memory"),
)


@pytest.fixture(scope="module")
def server():
    with ForkServer(SandboxSettings("initial.py", LIMITS, Isolation.STRONG)) as server:
        yield server


def attempt(server, name):
    with SandboxedProgram(server, {"initial.py": ATTEMPTS}, 0) as program:
        return program.call("f", name)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the attempts name system calls of x86_64 by number")
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(server, name):
    assert str(attempt(server, name)).startswith("refused: ")


def test_it_is_the_second_process_of_its_own_namespace(server):
    pid, uid, folder, host = attempt(server, "identity")
    assert (pid, folder, host) == (2, "/scratch/run/work", "sandbox")
    assert uid == os.getuid() or uid > 0x70000000


def test_the_first_user_cannot_be_had(server):
    # A user namespace has no user 0 to become, if that is not its own.
    assert attempt(server, "setuid").startswith("refused: ")


def test_none_of_the_machines_other_folders_is_there(server):
    assert attempt(server, "folders") == []


def test_unix_sockets_work_for_libraries_that_pair_them(server):
    assert attempt(server, "unix") == 1


def test_devices_that_libraries_open_can_be_used(server):
    source = (
        "def f():\n"
        "    with open('/dev/null', 'w') as null, open('/dev/urandom', 'rb') as chance:\n"
        "        return null.write('x') + len(chance.read(4))"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        assert program.call("f") == 5


def test_no_file_reaches_the_next_program(server):
    assert attempt(server, "leave_a_file") == 1
    assert attempt(server, "find_a_file") == []


def test_nothing_of_the_users_environment_is_there(server):
    assert not {"SHELL", "PWD", "VIRTUAL_ENV", "SSH_AUTH_SOCK"} & set(attempt(server, "environment"))


def test_no_descriptor_of_the_server_reaches_a_program_whatever_its_number():
    # The worker's limit may be far above the server's.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this user may not have 2000 files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1500)]
    try:
        with ForkServer(SandboxSettings("initial.py", LIMITS, Isolation.STRONG)) as high:
            source = (
                "import os\ndef f():\n    open_ = []\n    for fd in range(4, 4000):\n        try:\n            os.fstat(fd)\n"
                "            open_.append(fd)\n        except OSError:\n            pass\n    return open_"
            )
            with SandboxedProgram(high, {"initial.py": source}, 0) as program:
                assert program.call("f") == []
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_processes_that_nobody_waited_for_are_counted(server):
    if server._group is None or server._group.cpu_s() is None:
        pytest.skip("no control group can be made that counts CPU time")
    source = (
        "import os, signal, time\n"
        "def f():\n"
        "    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "    for _ in range(40):\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            while time.process_time() < 0.02:\n"
        "                pass\n"
        "            os._exit(0)\n"
        "        try:\n"
        "            os.waitpid(pid, 0)\n"
        "        except ChildProcessError:\n"
        "            pass\n"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        program.call("f")
    assert program.cpu_s > 0.5


def test_a_killed_process_ends_by_its_own_signal(server):
    source = "import os\ndef f():\n    os.abort()"
    with SandboxedProgram(server, {"initial.py": source}, 0) as program, pytest.raises(Exception, match="ended by SIGABRT"):
        program.call("f")


def test_nothing_is_mounted_and_nothing_runs_after_an_evaluation(server):
    before = Path(f"/proc/{server.pid}/mounts").read_text()
    attempt(server, "leave_a_file")
    assert Path(f"/proc/{server.pid}/mounts").read_text() == before
    assert tree.children_of(server.pid) == []


def test_memory_of_the_whole_tree_is_limited(server):
    source = (
        "import os, time\n"
        "def f():\n"
        "    for _ in range(8):\n"
        "        if os.fork() == 0:\n"
        "            x = bytearray(60 * 2**20)\n"
        "            time.sleep(20)\n"
        "            os._exit(0)\n"
        "    time.sleep(20)"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program, pytest.raises(Exception, match=r"limits\.memory_mb = 200"):
        program.call("f")


ORDINARY = """
import site, sys
site.addsitedir({site!r})
sys.path.append({here!r})
import test_sandbox_strong as strong
assert strong.STRONG.available, strong.STRONG.detail
with strong.ForkServer(strong.SandboxSettings("initial.py", strong.LIMITS, strong.Isolation.STRONG)) as server:
    for name in strong.REFUSED:
        said = str(strong.attempt(server, name))
        assert said.startswith("refused: "), (name, said)
    strong.test_it_is_the_second_process_of_its_own_namespace(server)
    strong.test_no_file_reaches_the_next_program(server)
    strong.test_devices_that_libraries_open_can_be_used(server)
    strong.test_the_first_user_cannot_be_had(server)
    strong.test_nothing_is_mounted_and_nothing_runs_after_an_evaluation(server)
    # Its processes' memory can be measured from outside the user namespace.
    strong.test_memory_of_the_whole_tree_is_limited(server)
print("all refused")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="the tests are run by an ordinary user already")
def test_an_ordinary_user_gets_the_same():
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = [python or "false", "-c", "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"]
    if python is None or subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() != version:
        pytest.skip(f"there is no Python {version} that an ordinary user could run")
    source = ORDINARY.format(site=site.getsitepackages()[0], here=str(Path(__file__).parent))
    ran = subprocess.run(
        [python, "-B", "-c", textwrap.dedent(source)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "Permission denied" in ran.stderr and "site-packages" in ran.stderr:
        pytest.skip("an ordinary user may not read the environment that the tests run in")
    assert ran.stdout.strip() == "all refused", ran.stderr
