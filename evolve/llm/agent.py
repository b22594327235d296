"""Coding agents as language models: each call starts one, shut in, in a fresh working copy of the program.

An agent reads the program's files, may try things out, and either answers as any model or edits the files: then its answer
is made from them. It takes minutes and costs more than a call, so give it a ``timeout_s`` and a ``concurrency`` of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from evolve.errors import ConfigError
from evolve.evaluators.sandbox.tree import usage_below
from evolve.llm.agent_command import AgentCommand, Answer, Edits, command_of, read_output
from evolve.llm.agent_failures import failure_of
from evolve.llm.agent_sandbox import Level, Walls, shut_in, strongest
from evolve.llm.base import CallFailed, Completion, Failure, Finish, Message, ModelRequest, Role
from evolve.llm.specs import EditKind, ModelSettings, ModelSpec
from evolve.rendering import render_files

logger = logging.getLogger(__name__)

_ALWAYS_PASSED = ("PATH", "HOME", "LANG")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PROXY", re.IGNORECASE)
_SHORTEST_SECRET = 6
#: Settings of models that no agent's command line has.
_FOREIGN_SETTINGS = ("temperature", "key_env", "api", "stream", "grammar")
#: Of standard output, standard error, and each file that was edited.
_MOST_BYTES = 16 * 2**20
_TAIL = 2000
_LOOK_EVERY_S = 0.1
_DYING_S = 5.0


class _Ran(NamedTuple):
    """What a command did: exit status, and what it printed."""

    status: int
    out: str
    err: str


class AgentModel:
    """A `LanguageModel` over a coding agent's command line.

    ``max_tokens`` and ``seed`` of a request mean nothing to an agent. No key leaves it: values of variables passed through
    that look like secrets are blotted out of answers and messages.

    Args:
        spec: ``agent/NAME`` or ``agent/NAME/MODEL``.
        command: How it is called; None takes the built-in one of that name.
        hidden: Files and folders that it must not read, such as the task's and the archive's.
        environment: Where variables that it is given are taken from.

    Raises:
        ConfigError: If there is no such agent, it is not installed, or a setting means nothing to it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        command: AgentCommand | None = None,
        *,
        hidden: Sequence[Path] = (),
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._model = spec.model.partition("/")[2]
        self._spec = spec
        self._command = command if command is not None else command_of(spec, {})
        _check_settings(spec, self._command, self._model)
        self._environment = {
            name: environment[name] for name in (*_ALWAYS_PASSED, *self._command.environment) if name in environment
        }
        self._program = _installed(self._command, self._environment.get("PATH", os.defpath))
        self._home = Path(self._environment.get("HOME", "/nonexistent"))
        self._hidden = tuple(hidden)
        self._level, why = strongest()
        if self._level is Level.LANDLOCK:
            logger.warning("%s runs behind Landlock only, so processes it leaves behind may outlive it: %s", spec.name, why)
        elif self._level is Level.NONE:
            logger.warning("%s runs without a sandbox and may write wherever you may: %s", spec.name, why)

    @property
    def name(self) -> str:
        return self._spec.name

    async def complete(self, request: ModelRequest) -> Completion:
        with tempfile.TemporaryDirectory(prefix="evolve-agent-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            inside = folder / "inside"
            start = inside / "program"
            (inside / "tmp").mkdir(parents=True)
            _write_files(start, request.files)
            in_place = self._command.edits is Edits.FOLDER and bool(request.files)
            prompt = inside / "prompt.md"
            prompt.write_text(_prompt(request.messages), encoding="utf-8")
            answer = self._answer(await self._run(self._argv(inside, prompt, request), folder, prompt))
            text, finish = answer.text, answer.finish
            if in_place and finish is not Finish.REFUSED:
                text, finish = self._reply(start, request.files, answer)
        return Completion(self._blotted(text), finish, answer.usage, answer.cost_usd)

    async def close(self) -> None:
        """Does nothing: no process outlives its call."""

    def _argv(self, inside: Path, prompt: Path, request: ModelRequest) -> list[str]:
        effort = request.effort.value if request.effort is not None else ""
        start = inside / "program"
        asked = self._command.arguments(
            folder=str(start),
            prompt_file=str(prompt),
            model=self._model,
            effort=effort,
            call_usd=self._spec.settings.call_usd,
        )
        walls = Walls(inside, start, self._program, tuple(self._writable()), self._hidden, self._home)
        return shut_in(self._level, walls, [str(self._program), *asked[1:]])

    def _writable(self) -> Iterator[Path]:
        for name in self._command.writable:
            path = self._environment.get(name[1:], "") if name.startswith("$") else name
            if path:
                yield self._home / path.removeprefix("~/")

    async def _run(self, argv: Sequence[str], folder: Path, prompt: Path) -> _Ran:
        """Runs a command to its end, or to the end of its time; nothing that it started is left when this returns.

        Output goes to files, not pipes: a process left behind could keep a pipe open for ever.
        """
        out, err = folder / "out", folder / "err"
        given = prompt if self._command.prompt_on_stdin else Path(os.devnull)
        with given.open("rb") as stdin, out.open("wb") as stdout, err.open("wb") as stderr:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=folder / "inside" / "program",
                    env={**self._environment, "TMPDIR": str(folder / "inside" / "tmp")},
                    start_new_session=True,
                )
            except OSError as error:
                raise CallFailed(f"{self.name} cannot be started: {error}", Failure.BAD_REQUEST) from error
            ended = asyncio.ensure_future(process.wait())
            try:
                async with asyncio.timeout(self._spec.settings.timeout_s):
                    await self._until(ended, (out, err))
            except TimeoutError as error:
                raise CallFailed(
                    f"{self.name} did not answer within {self._spec.settings.timeout_s:g} s and was ended; give it longer with "
                    f"{self.name}[timeout_s=SECONDS]",
                    Failure.TIMED_OUT,
                ) from error
            finally:
                _kill_tree(process.pid)
                await asyncio.wait({ended}, timeout=_DYING_S)
        return _Ran(ended.result(), _first(out, _MOST_BYTES), _last(err, _TAIL))

    async def _until(self, ended: asyncio.Future[int], printed: Sequence[Path]) -> None:
        """Waits for the end of a process that prints to files, which may not become too large."""
        while not ended.done():
            await asyncio.wait({ended}, timeout=_LOOK_EVERY_S)
            for path in printed:
                if path.stat().st_size > _MOST_BYTES:
                    raise CallFailed(f"{self.name} printed more than {_MOST_BYTES >> 20} MiB and was ended", Failure.MALFORMED)

    def _answer(self, ran: _Ran) -> Answer:
        """Reads what an agent printed.

        Raises:
            CallFailed: If it failed, or what it printed cannot be read.
        """
        try:
            answer = read_output(self._command, ran.out)
        except CallFailed as error:
            if ran.status == 0:
                raise CallFailed(self._blotted(str(error)), error.failure) from None
            answer = Answer("")
        if ran.status == 0 and not answer.failed:
            return answer
        words = answer.failed or ran.err.strip() or ran.out.strip()[-_TAIL:]
        how = f"ended with status {ran.status}" if ran.status else "failed"
        raise CallFailed(self._blotted(f"{self.name} {how}: {words or 'it says nothing'}"), failure_of(words))

    def _reply(self, start: Path, before: Mapping[str, str], answer: Answer) -> tuple[str, Finish]:
        """Makes the answer from the files as they are left, what the agent says quoted above them."""
        after = {path: self._read_back(start, path) for path in before}
        said = "".join(f"> {line}\n" for line in answer.text.splitlines())
        return (said, Finish.EMPTY) if after == dict(before) else (f"{said}\n{render_files(after)}", Finish.STOP)

    def _read_back(self, start: Path, path: str) -> str:
        """Reads a file that an agent left. A link would make us read what the agent may not.

        Raises:
            CallFailed: If it is not a plain file of text any more.
        """
        file = start / path
        status = file.lstat() if file.exists() and file.resolve() == file else None
        if status is None or not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise CallFailed(f"{self.name} left no plain file {path} of at most {_MOST_BYTES >> 20} MiB", Failure.MALFORMED)
        try:
            return file.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise CallFailed(f"{self.name} left {path} in an encoding that is not UTF-8: {error}", Failure.MALFORMED) from None

    def _blotted(self, text: str) -> str:
        for name, value in self._environment.items():
            if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, f"[{name}]")
        return text


def check_agent(spec: ModelSpec, command: AgentCommand, environment: Mapping[str, str]) -> None:
    """Refuses an agent that could not be asked, without looking for walls to put around it.

    Args:
        spec: ``agent/NAME`` or ``agent/NAME/MODEL``.
        command: How it is called.
        environment: Whose ``PATH`` its command is looked for in.

    Raises:
        ConfigError: If it is not installed, or a setting means nothing to it.
    """
    _check_settings(spec, command, spec.model.partition("/")[2])
    _installed(command, environment.get("PATH", os.defpath))


def _check_settings(spec: ModelSpec, command: AgentCommand, model: str) -> None:
    if spec.url:
        raise ConfigError(f"model {spec.label!r}: an agent is a command on this machine, it has no URL; leave out @{spec.url}")
    for name in _FOREIGN_SETTINGS:
        if getattr(spec.settings, name) != getattr(ModelSettings(), name):
            raise ConfigError(f"model {spec.label!r}: {name} means nothing to a coding agent; leave it out")
    if command.edits is Edits.FOLDER and EditKind.DIFF in spec.kinds:
        raise ConfigError(f"model {spec.label!r}: it edits files and writes no blocks; leave diff out, as in kinds=full+repair")
    for asked, option in ((model, "model_option"), (spec.settings.effort, "effort_option")):
        if asked and not getattr(command, option):
            raise ConfigError(f"model {spec.label!r}: its command has no {option}, so {str(asked)!r} cannot be asked for")


def _installed(command: AgentCommand, path: str) -> Path:
    found = shutil.which(command.command[0], path=path)
    if found is None:
        how = f"install it: {command.install}" if command.install else "install it, or mend the command"
        raise ConfigError(f"the agent's command {command.command[0]!r} is not installed (looked in PATH={path}); {how}")
    return Path(found).absolute()


def _prompt(messages: Sequence[Message]) -> str:
    """Writes a conversation down as one text; earlier answers are marked as such."""
    parts = [f"You answered before:\n\n{text}" if role is Role.ASSISTANT else text for role, text in messages]
    return "\n\n".join(parts) + "\n"


def _write_files(start: Path, files: Mapping[str, str]) -> None:
    start.mkdir()
    for path, text in files.items():
        file = start / path
        if not file.resolve().is_relative_to(start):
            raise ValueError(f"the program's file {path!r} lies outside its folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def _kill_tree(pid: int) -> None:
    """Ends a process, its group, and those below it that left the group."""
    below = usage_below(pid).pids
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for other in below:
        with suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)


def _first(path: Path, count: int) -> str:
    with path.open("rb") as file:
        return file.read(count).decode(errors="replace")


def _last(path: Path, count: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read(count).decode(errors="replace")
