import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolve.errors import IsolationError, TaskError
from evolve.evaluators.sandbox import available_levels, scratch
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Isolation, Limits

SETTINGS = SandboxSettings("initial.py", Limits(), Isolation.PROCESS)


def where(server):
    with SandboxedProgram(server, {"initial.py": "import os\ndef f():\n    return os.getcwd()"}, 0) as program:
        return Path(program.call("f"))


def test_the_scratch_folder_is_deleted_in_the_end():
    with ForkServer(SETTINGS) as server:
        scratch = where(server)
        assert scratch.is_dir()
        assert list(scratch.iterdir()) == []
    assert not scratch.exists()


def test_a_module_that_cannot_be_preloaded_is_named():
    settings = SandboxSettings("initial.py", Limits(preload=("nowhere_to_be_found",)), Isolation.PROCESS)
    with pytest.raises(TaskError, match=r"limits\.preload names 'nowhere_to_be_found'"):
        ForkServer(settings).start()


def test_a_level_that_is_not_available_is_refused(no_bubblewrap):
    with pytest.raises(IsolationError):
        ForkServer(SandboxSettings("initial.py", Limits(), Isolation.STRONG)).start()


@pytest.mark.parametrize("name", ["/tmp/evil.py", "../evil.py"])
def test_a_file_outside_the_scratch_folder_is_refused(name):
    with pytest.raises(ValueError, match="inside its folder"):
        scratch.laid_out({name: ""})


def test_a_preloaded_module_is_there_already():
    settings = SandboxSettings("initial.py", Limits(preload=("sqlite3",)), Isolation.PROCESS)
    with ForkServer(settings) as server:
        source = "import sys\npreloaded = 'sqlite3' in sys.modules\ndef f():\n    return preloaded"
        with SandboxedProgram(server, {"initial.py": source}, 0) as program:
            assert program.call("f")


OWNER = """
import sys, time
from evolve.evaluators.sandbox import tree
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Isolation, Limits

server = ForkServer(SandboxSettings("initial.py", Limits(timeout_s=600), Isolation(sys.argv[1])))
server.start()
source = "import os, time\\ndef f():\\n    return os.getcwd()"
program = SandboxedProgram(server, {"initial.py": source}, 0)
scratch = program.call("f")
print(scratch, server.pid, *tree.usage_below(server.pid).pids, flush=True)
time.sleep(600)
"""
LEVELS = [report.level for report in available_levels() if report.available]


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_is_left_of_a_server_whose_owner_was_killed(level):
    with subprocess.Popen([sys.executable, "-c", OWNER, level], stdout=subprocess.PIPE, text=True) as owner:
        scratch, *processes = owner.stdout.readline().split()
        owner.kill()
    give_up_at = time.monotonic() + 20
    while any(is_there(int(pid)) for pid in processes) or Path(scratch).exists():
        assert time.monotonic() < give_up_at, "still there"
        time.sleep(0.01)


def is_there(pid):
    # A zombie that nobody in a container reaps does not count.
    with contextlib.suppress(OSError):
        os.kill(pid, 0)
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    return False


@pytest.mark.skipif(os.getuid() != 0, reason="where programs may replace their folder, root's files are in most danger")
def test_a_scratch_folder_that_became_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    source = (
        "import os, shutil\n"
        "def f(elsewhere):\n"
        "    here = os.getcwd()\n"
        "    os.chdir('/')\n"
        "    shutil.rmtree(here)\n"
        "    os.symlink(elsewhere, here)\n"
    )
    with ForkServer(SETTINGS) as server:
        with SandboxedProgram(server, {"initial.py": source}, 0) as program:
            program.call("f", str(tmp_path))
        with SandboxedProgram(server, {"initial.py": "def f():\n    return 1"}, 0) as program:
            assert program.call("f") == 1
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize("level", LEVELS)
def test_folders_nested_deeper_than_pythons_stack_are_deleted(level):
    source = "import os\ndef f():\n    for _ in range(1500):\n        os.mkdir('d')\n        os.chdir('d')\n"
    with ForkServer(SandboxSettings("initial.py", Limits(), level)) as server:
        with SandboxedProgram(server, {"initial.py": source}, 0) as program:
            program.call("f")
        scratch = where(server)
        assert level is Isolation.STRONG or list(scratch.iterdir()) == []
