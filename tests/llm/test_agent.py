"""Agents, played by a script that does what it is told in its prompt: real processes, behind real walls."""

import asyncio
import fcntl
import logging
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from evolve.errors import ConfigError
from evolve.evaluators.sandbox import landlock
from evolve.llm import agent as agent_module
from evolve.llm.agent import AgentModel
from evolve.llm.agent_command import AgentCommand, Edits, JsonPaths, Output
from evolve.llm.agent_sandbox import Level, strongest
from evolve.llm.base import CallFailed, Effort, Failure, Finish, Message, ModelRequest, Role, Usage
from evolve.llm.specs import parse_spec

SCRIPT = """\
#!{python} -IB
import fcntl, glob, json, os, pathlib, subprocess, sys, time
prompt = pathlib.Path(sys.argv[1]).read_text() if len(sys.argv) > 1 and os.path.isfile(sys.argv[1]) else sys.stdin.read()
HOME = pathlib.Path.home()

def attempt(deed):
    try:
        return deed()
    except OSError as error:
        return type(error).__name__

def child(seconds, session):
    # Holds a lock for as long as it lives.
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); time.sleep(600)"
    started = subprocess.Popen([sys.executable, "-c", code, str(HOME / ".agent" / "lock")],
                               stdout=subprocess.PIPE, start_new_session=session)
    started.stdout.readline()

exec(prompt.split("DO:")[1].split("DONE")[0])
"""
SANDBOXED = [Level.BUBBLEWRAP, Level.LANDLOCK]


@pytest.fixture(params=[*SANDBOXED, Level.NONE])
def level(request, monkeypatch):
    use(request.param, monkeypatch)
    return request.param


@pytest.fixture(params=SANDBOXED)
def walls(request, monkeypatch):
    use(request.param, monkeypatch)
    return request.param


def use(level: Level, monkeypatch) -> None:
    if level is Level.BUBBLEWRAP and strongest()[0] is not Level.BUBBLEWRAP:
        pytest.skip(strongest()[1])
    if level is Level.LANDLOCK:
        try:
            landlock.abi()
        except OSError as error:
            pytest.skip(f"no Landlock: {error}")
    monkeypatch.setattr(agent_module, "strongest", lambda: (level, "for this test"))


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "home" / ".agent").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "scripted"
    script.write_text(SCRIPT.format(python=os.path.realpath(sys.executable)))
    script.chmod(0o755)
    return tmp_path / "home"


def model(home: Path, command: AgentCommand | None = None, spec: str = "agent/scripted", *, hidden=(), **variables) -> AgentModel:
    environment = {"PATH": f"{home.parent / 'bin'}:/usr/bin:/bin", "HOME": str(home), "CANARY": "tweet-tweet", **variables}
    return AgentModel(
        parse_spec(spec), command or AgentCommand(("scripted",), writable=("~/.agent",)), hidden=hidden, environment=environment
    )


def asked(deed: str, files=None, **settings) -> ModelRequest:
    text = f"DO:\n{textwrap.dedent(deed)}\nDONE"
    messages = (Message(Role.SYSTEM, "You improve programs."), Message(Role.USER, text))
    return ModelRequest(messages, max_tokens=100, files=files or {}, **settings)


def answer(agent: AgentModel, deed: str, files=None, **settings):
    return asyncio.run(agent.complete(asked(deed, files, **settings)))


def failure(agent: AgentModel, deed: str) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        answer(agent, deed)
    return failed.value


def lock_is_free(home: Path) -> bool:
    """Whether whoever held the lock is gone; waits for the kernel to be done with it."""
    deadline = time.monotonic() + 10
    with (home / ".agent" / "lock").open("w") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return True
    return False


def test_an_agent_reads_prompt_and_files_and_answers(home, level):
    answered = answer(model(home), "print(prompt.splitlines()[0], open('a/b.py').read())", {"a/b.py": "x = 1\n"})
    assert (answered.text, answered.finish) == ("You improve programs. x = 1", Finish.STOP)


def test_the_prompt_can_come_in_a_file(home, level):
    answered = answer(model(home, AgentCommand(("scripted", "{prompt_file}"))), "print(sys.stdin.read() == '', os.getcwd())")
    assert answered.text.startswith("True ")


def test_an_edit_in_the_working_copy_becomes_the_answer(home, level):
    agent = model(home, AgentCommand(("scripted",), edits=Edits.FOLDER))
    deed = """
        open('a.py', 'a').write('y = 2\\n'); open('scratch.py', 'w').write('left over')
        print('Added y.'); print('```')
    """
    answered = answer(agent, deed, {"a.py": "x = 1\n"})
    assert answered.text == "> Added y.\n> ```\n\n```python\nx = 1\ny = 2\n```\n"


def test_an_agent_that_changes_nothing_has_not_answered(home):
    answered = answer(model(home, AgentCommand(("scripted",), edits=Edits.FOLDER)), "print('Fine as it is.')", {"a.py": "x = 1\n"})
    assert (answered.text, answered.finish) == ("> Fine as it is.\n", Finish.EMPTY)


def test_without_files_an_agent_that_edits_answers_in_words(home):
    agent = model(home, AgentCommand(("scripted",), edits=Edits.FOLDER))
    assert answer(agent, "print(os.listdir())").text == "[]"


@pytest.mark.parametrize(
    "deed", ["os.remove('a.py')", "os.remove('a.py'); os.symlink(HOME / 'canary', 'a.py')", "os.remove('a.py'); os.mkfifo('a.py')"]
)
def test_only_plain_files_are_read_back(home, deed):
    (home / "canary").write_text("tweet-tweet")
    files = {"a.py": "x = 1\n", "b.py": "y = 1\n"}
    with pytest.raises(CallFailed, match=r"left no plain file a\.py") as failed:
        answer(model(home, AgentCommand(("scripted",), edits=Edits.FOLDER)), deed, files)
    assert failed.value.failure is Failure.MALFORMED


def test_text_cost_and_tokens_are_read_from_json(home):
    paths = JsonPaths(text="text", cost_usd="usd", input_tokens=("in",), output_tokens=("out",))
    agent = model(home, AgentCommand(("scripted",), output=Output.JSON, paths=paths))
    answered = answer(agent, "print(json.dumps({'text': 'yes', 'usd': 0.5, 'in': 7, 'out': 3}))")
    assert (answered.text, answered.cost_usd, answered.usage) == ("yes", 0.5, Usage(7, 0, 3, 0))


def test_an_agent_sees_no_variable_that_is_not_named(home, walls):
    command = AgentCommand(("scripted",), environment=("MINE",))
    deed = """
        print(sorted(os.environ))
        environments = b''
        for name in glob.glob('/proc/*/environ'):
            found = attempt(lambda: open(name, 'rb').read())
            environments += found if isinstance(found, bytes) else b''
        print(b'EVOLVE_TEST_CANARY' in environments)
    """
    holder = subprocess.Popen(["sleep", "600"], env={"EVOLVE_TEST_CANARY": "1"})
    try:
        answered = answer(model(home, command, MINE="1"), deed)
    finally:
        holder.kill()
        holder.wait()
    names, seen = answered.text.splitlines()
    assert set(eval(names)) - {"LC_CTYPE", "PWD", "_"} == {"HOME", "MINE", "PATH", "TMPDIR"}
    assert seen == "False"


def test_an_agent_writes_nowhere_but_where_it_may(home, walls):
    deed = """
        for path in (HOME / 'outside', HOME.parent / 'outside', pathlib.Path('/etc/outside'), pathlib.Path('/dev/outside')):
            attempt(lambda: path.write_text('x'))
        (HOME / '.agent' / 'state').write_text('kept')
        import tempfile; tempfile.TemporaryFile().write(b'x')
        print('done')
    """
    assert answer(model(home), deed).text == "done"
    for path in (home / "outside", home.parent / "outside", Path("/etc/outside"), Path("/dev/outside")):
        assert not path.exists()
    assert (home / ".agent" / "state").read_text() == "kept"


def test_a_writable_folder_can_be_named_by_a_variable(home, walls, tmp_path):
    (tmp_path / "state").mkdir()
    command = AgentCommand(("scripted",), environment=("STATE", "NOT_SET"), writable=("$STATE", "$NOT_SET"))
    answer(model(home, command, STATE=str(tmp_path / "state")), "pathlib.Path(os.environ['STATE'], 'kept').write_text('x')")
    assert (tmp_path / "state" / "kept").exists()


def test_an_agent_cannot_read_what_is_hidden(home, walls):
    (home / ".agent" / "task").mkdir()
    for name in ("task/evaluate.py", "runs.db", "runs.db-wal"):
        (home / ".agent" / name).write_text("secret")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id").write_text("secret")
    deed = """
        for name in ('.agent/task/evaluate.py', '.agent/runs.db', '.agent/runs.db-wal', '.ssh/id', '.agent/seen'):
            print(attempt(lambda: (HOME / name).read_text()) or 'empty')
    """
    (home / ".agent" / "seen").write_text("seen")
    agent = model(home, AgentCommand(("scripted",)), hidden=(home / ".agent" / "task", home / ".agent" / "runs.db"))
    lines = answer(agent, deed).text.splitlines()
    assert lines[-1] == "seen"
    assert set(lines[:-1]) <= {"FileNotFoundError", "PermissionError", "empty"}


def test_an_agent_has_the_network(home, walls):
    with socket.create_server(("127.0.0.1", 0)) as server:
        deed = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]})); print('connected')"
        assert answer(model(home), deed).text == "connected"


def test_an_agent_cannot_end_other_processes(home, walls):
    other = subprocess.Popen(["sleep", "600"])
    try:
        deed = f"print(attempt(lambda: os.kill({other.pid}, 9)), attempt(lambda: os.kill(os.getppid(), 0)))"
        answer(model(home), deed)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_after_its_time_an_agent_and_its_children_are_gone(home, level):
    failed = failure(
        model(home, spec="agent/scripted[timeout_s=1.5]"),
        "child(600, level_session); time.sleep(600)".replace("level_session", str(level is Level.BUBBLEWRAP)),
    )
    assert failed.failure is Failure.TIMED_OUT
    assert "did not answer within 1.5 s" in str(failed)
    assert lock_is_free(home)


def test_children_that_an_agent_leaves_behind_are_gone_and_not_waited_for(home, level):
    began = time.monotonic()
    assert answer(model(home), f"child(600, {level is Level.BUBBLEWRAP}); print('done')").text == "done"
    assert time.monotonic() - began < 60
    assert lock_is_free(home)


def test_cancelling_a_call_ends_the_agent(home, level):
    async def cancelled():
        task = asyncio.ensure_future(
            model(home).complete(asked("child(600, False); (HOME / '.agent' / 'on').touch(); time.sleep(600)"))
        )
        while not (home / ".agent" / "on").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancelled(), 60))
    assert lock_is_free(home)


def test_an_agent_that_floods_its_output_is_ended(home, level):
    failed = failure(model(home), "while True: print('x' * 100000)")
    assert failed.failure is Failure.MALFORMED
    assert "printed more than 16 MiB" in str(failed)


def test_a_failed_agent_says_why_and_no_key_leaves_it(home):
    command = AgentCommand(("scripted",), environment=("AGENT_KEY",))
    agent = model(home, command, AGENT_KEY="sk-123456")
    failed = failure(agent, "sys.exit('Invalid API key ' + os.environ['AGENT_KEY'])")
    assert failed.failure is Failure.UNAUTHORIZED
    assert str(failed) == "agent/scripted ended with status 1: Invalid API key [AGENT_KEY]"
    assert answer(agent, "print(os.environ['AGENT_KEY'])").text == "[AGENT_KEY]"


def test_an_agent_killed_by_a_signal_was_cut_off(home):
    assert failure(model(home), "os.kill(os.getpid(), 9)").failure is Failure.CUT_OFF


def test_calls_at_once_do_not_meet(home, level):
    agent = model(home)

    async def several():
        deed = "open('a.py', 'a').write(str(os.getppid())); print(open('a.py').read()[:6])"
        return await asyncio.gather(*(agent.complete(asked(deed, {"a.py": f"x = {i}\n"})) for i in range(4)))

    assert [completion.text for completion in asyncio.run(several())] == [f"x = {i}" for i in range(4)]


def test_model_and_effort_reach_the_command_line(home):
    command = AgentCommand(("scripted",), model_option=("--model={model}",), effort_option=("--effort", "{effort}"))
    agent = model(home, command, "agent/scripted/big/one[effort=high]")
    assert agent.name == "agent/scripted/big/one"
    assert answer(agent, "print(sys.argv[1:])", effort=Effort.HIGH).text == "['--model=big/one', '--effort', 'high']"


def test_an_agent_that_is_not_installed_says_how_to_install_it():
    with pytest.raises(ConfigError, match=r"'codex' is not installed .*npm install -g @openai/codex, then run codex login"):
        AgentModel(parse_spec("agent/codex"), environment={"PATH": "/nonexistent"})


def test_an_unknown_agent_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'claude'"):
        AgentModel(parse_spec("agent/cluade"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("agent/scripted@http://127.0.0.1:1", "it has no URL"),
        ("agent/scripted[temperature=0.5]", "temperature means nothing"),
        ("agent/scripted[grammar=true]", "grammar means nothing"),
        ("agent/scripted[effort=high]", "no effort_option, so 'high' cannot be asked for"),
        ("agent/scripted/big", "no model_option, so 'big' cannot be asked for"),
        ("agent/scripted[kinds=diff+full]", "leave diff out"),
    ],
)
def test_settings_that_mean_nothing_are_refused(home, spec, message):
    with pytest.raises(ConfigError, match=message):
        model(home, AgentCommand(("scripted",), edits=Edits.FOLDER), spec)


def test_what_a_call_may_cost_reaches_the_command_line(home):
    command = AgentCommand(("scripted",), budget_option=("--most", "{call_usd}"))
    assert answer(model(home, command, "agent/scripted[call_usd=0.5]"), "print(sys.argv[1:])").text == "['--most', '0.5']"
    assert answer(model(home, command), "print(sys.argv[1:])").text == "[]"


def test_weaker_walls_are_named_in_the_log(home, level, caplog):
    with caplog.at_level(logging.WARNING):
        model(home)
    expected = {Level.BUBBLEWRAP: "", Level.LANDLOCK: "behind Landlock only", Level.NONE: "runs without a sandbox"}[level]
    assert expected in caplog.text
    assert bool(caplog.text) == bool(expected)
