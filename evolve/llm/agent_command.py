"""How coding agents are called, and how their output is read.

The two built-in commands follow public documentation: of Claude Code its pages on headless mode and its CLI reference, of
Codex ``docs/exec.md`` of its repository. Claude Code 2.1.197 and Codex 0.169.0 were once run by hand against a scripted provider,
without an account; the automated tests use a scripted agent. In doubt for other versions are, above all, whether Claude Code can
work when it may not replace ``~/.claude.json`` (a file that is mounted cannot be renamed over), and whether Codex's own sandbox
starts inside ours: where it is bubblewrap, a nested one was seen to start for an ordinary user and not for root. What is wrong for
some version can be put right with an `AgentCommand` of one's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from evolve.errors import ConfigError, nearest_hint
from evolve.llm.base import CallFailed, Failure, Finish, Usage
from evolve.llm.specs import ModelSpec

#: Ways to a provider that users set for a whole machine.
_ROUTES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
_PART = re.compile(r"(?P<key>[^.\[\]]*)(?:\[(?P<field>[^=\]]+)=(?P<value>[^\]]*)\])?(?:\.|$)")
_NAME = re.compile(r"[\w-]+")
_FINISHES = {"max_tokens": Finish.LENGTH, "refusal": Finish.REFUSED}


class Output(StrEnum):
    """What an agent prints."""

    TEXT = "text"
    """Its answer and nothing else."""
    JSON = "json"
    """One JSON value, or one a line; the answer and the rest lie at `JsonPaths`."""


class Edits(StrEnum):
    """Where an agent's edit is found."""

    REPLY = "reply"
    """In its answer, as any model's."""
    FOLDER = "folder"
    """In the files of its working copy."""


@dataclass(frozen=True, slots=True)
class JsonPaths:
    """Where things lie in what an agent prints.

    A path is keys joined by dots; ``key[field=value]`` goes on only where the object at ``key`` has that field. Of several
    values printed, the last that has the path counts. Counts of several paths are added.

    Attributes:
        text: The answer.
        failed: True, or a text that says why, if the call failed.
        stop: Why the answer ended, in Anthropic's words.
        cost_usd: What it cost.
        input_tokens: All tokens asked.
        cached_tokens: Those of them that were read from a cache.
        output_tokens: All tokens answered.
        reasoning_tokens: Those of them that were thought.
    """

    text: str = ""
    failed: tuple[str, ...] = ()
    stop: str = ""
    cost_usd: str = ""
    input_tokens: tuple[str, ...] = ()
    cached_tokens: tuple[str, ...] = ()
    output_tokens: tuple[str, ...] = ()
    reasoning_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """A coding agent's command line.

    Attributes:
        command: Program and arguments. ``{prompt_file}`` and ``{folder}`` stand for the prompt's file and the working copy;
            without ``{prompt_file}`` the prompt is given on standard input.
        install: How to install it, for the message when it is missing.
        model_option: Arguments added when the SPEC names a model, ``agent/NAME/MODEL``, as ``{model}``.
        effort_option: Arguments added when an effort is asked for, as ``{effort}``.
        budget_option: Arguments added when the SPEC says what a call may cost, as ``{call_usd}``: the agent itself stops there.
        output: What it prints.
        paths: Where things lie in it, for ``output = "json"``.
        edits: Where its edit is found.
        environment: Variables passed through besides PATH, HOME and LANG: its keys and settings.
        writable: Files and folders besides the working copy that it may write, such as its own state. A leading ``~`` is the
            home; ``$NAME`` is what a variable that is passed through holds, and nothing where it is not set.
    """

    command: tuple[str, ...]
    install: str = ""
    model_option: tuple[str, ...] = ()
    effort_option: tuple[str, ...] = ()
    budget_option: tuple[str, ...] = ()
    output: Output = Output.TEXT
    paths: JsonPaths = JsonPaths()
    edits: Edits = Edits.REPLY
    environment: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError("command must name a program")
        if (self.output is Output.JSON) != bool(self.paths.text):
            raise ValueError(f"output = {self.output.value!r} and paths.text = {self.paths.text!r} do not go together")

        for name in self.writable:
            if name.startswith("$") and name[1:] not in self.environment:
                raise ValueError(f"writable names the variable {name}, which environment does not pass through")

    @property
    def prompt_on_stdin(self) -> bool:
        """Whether the prompt is given on standard input."""
        return not any("{prompt_file}" in argument for argument in self.command)

    def arguments(
        self, *, folder: str, prompt_file: str, model: str = "", effort: str = "", call_usd: float | None = None
    ) -> list[str]:
        """Fills in the placeholders of one call."""
        asked = ((model, self.model_option), (effort, self.effort_option), (call_usd is not None, self.budget_option))
        options = [word for wanted, words in asked if wanted for word in words]
        values = {"{folder}": folder, "{prompt_file}": prompt_file, "{model}": model, "{effort}": effort}
        values["{call_usd}"] = f"{call_usd or 0:g}"
        return [_filled(argument, values) for argument in (*self.command, *options)]


CLAUDE = AgentCommand(
    command=("claude", "-p", "--output-format", "json", "--permission-mode", "acceptEdits", "--no-session-persistence"),
    install="npm install -g @anthropic-ai/claude-code, then run claude once to log in",
    model_option=("--model", "{model}"),
    effort_option=("--effort", "{effort}"),
    budget_option=("--max-budget-usd", "{call_usd}"),
    output=Output.JSON,
    paths=JsonPaths(
        text="result",
        failed=("is_error",),
        stop="stop_reason",
        cost_usd="total_cost_usd",
        # Anthropic counts what is read from a cache and written to it apart.
        input_tokens=("usage.input_tokens", "usage.cache_creation_input_tokens", "usage.cache_read_input_tokens"),
        cached_tokens=("usage.cache_read_input_tokens",),
        output_tokens=("usage.output_tokens",),
    ),
    edits=Edits.FOLDER,
    environment=("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR", *_ROUTES),
    writable=("~/.claude", "~/.claude.json", "$CLAUDE_CONFIG_DIR"),
)

CODEX = AgentCommand(
    command=("codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", "workspace-write"),
    install="npm install -g @openai/codex, then run codex login",
    model_option=("--model", "{model}"),
    effort_option=("--config", 'model_reasoning_effort="{effort}"'),
    output=Output.JSON,
    paths=JsonPaths(
        text="item[type=agent_message].text",
        # Lines of type "error" alone may tell of a connection that was made again.
        failed=("[type=turn.failed].error.message",),
        input_tokens=("[type=turn.completed].usage.input_tokens",),
        cached_tokens=("[type=turn.completed].usage.cached_input_tokens",),
        output_tokens=("[type=turn.completed].usage.output_tokens",),
        reasoning_tokens=("[type=turn.completed].usage.reasoning_output_tokens",),
    ),
    edits=Edits.FOLDER,
    environment=("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_HOME", *_ROUTES),
    writable=("~/.codex", "$CODEX_HOME"),
)

BUILT_IN: Mapping[str, AgentCommand] = {"claude": CLAUDE, "codex": CODEX}


def check_agents(agents: Mapping[str, AgentCommand]) -> None:
    """Refuses names that no SPEC can say.

    Args:
        agents: By name, as a configuration defines them.

    Raises:
        ValueError: If there is one.
    """
    for name in agents:
        if not _NAME.fullmatch(name):
            raise ValueError(f"agents: {name!r} cannot be written in agent/NAME; use letters, digits, '_' and '-'")


def command_of(spec: ModelSpec, agents: Mapping[str, AgentCommand]) -> AgentCommand:
    """Finds how an agent is called.

    Args:
        spec: ``agent/NAME`` or ``agent/NAME/MODEL``.
        agents: A configuration's own, which replace built-in ones of the same name.

    Raises:
        ConfigError: If there is no such agent.
    """
    known = {**BUILT_IN, **agents}
    name = spec.model.partition("/")[0]
    if name not in known:
        raise ConfigError(
            f"model 'agent/{name}': there is no such agent; {nearest_hint(name, list(known))}; or define its command in a "
            f"configuration, in a table [agents.{name}]"
        )
    return known[name]


class Answer(NamedTuple):
    """What an agent printed.

    Attributes:
        text: Its answer.
        finish: Why it ended.
        usage: Tokens; None when it counts none.
        cost_usd: What it cost; None when it does not say.
        failed: Why the call failed; empty if it did not.
    """

    text: str
    finish: Finish = Finish.STOP
    usage: Usage | None = None
    cost_usd: float | None = None
    failed: str = ""


def read_output(command: AgentCommand, printed: str) -> Answer:
    """Reads what an agent printed.

    Raises:
        CallFailed: If it is not what the command's ``output`` and ``paths`` say.
    """
    if command.output is Output.TEXT:
        return Answer(printed.strip(), Finish.STOP if printed.strip() else Finish.EMPTY)
    values, paths = _json_values(printed), command.paths
    text = _last(values, paths.text)
    reasons = [reason for reason in (_last(values, path) for path in paths.failed) if reason]
    if reasons:
        # Anthropic says that it failed, and why in the answer's place.
        return Answer("", failed=str(text or "it does not say why") if reasons[0] is True else str(reasons[0]))
    if not isinstance(text, str):
        raise CallFailed(
            f"{command.command[0]} printed no text at {paths.text!r}, but {_shortened(printed)!r}; if its output changed, "
            "define the command in a configuration",
            Failure.MALFORMED,
        )
    finish = _FINISHES.get(str(_last(values, paths.stop)), Finish.STOP if text.strip() else Finish.EMPTY)
    cost = _last(values, paths.cost_usd)
    return Answer(text.strip(), finish, _usage(values, paths), float(cost) if isinstance(cost, int | float) else None)


def _usage(values: Sequence[object], paths: JsonPaths) -> Usage | None:
    counts = (paths.input_tokens, paths.cached_tokens, paths.output_tokens, paths.reasoning_tokens)
    found = [[_last(values, path) for path in group] for group in counts]
    if not any(isinstance(count, int) for group in found for count in group):
        return None
    return Usage(*(sum(count for count in group if isinstance(count, int)) for group in found))


def _json_values(printed: str) -> list[object]:
    """Reads one JSON value, the values of one array, or one value a line; other lines are skipped."""
    try:
        whole = json.loads(printed)
    except ValueError:
        return [value for line in printed.splitlines() for value in _json_line(line)]
    return whole if isinstance(whole, list) else [whole]


def _json_line(line: str) -> Iterator[object]:
    if line.lstrip().startswith("{"):
        try:
            yield json.loads(line)
        except ValueError:
            return


def _last(values: Sequence[object], path: str) -> Any:  # Any: JSON values
    """Follows a path in the last value that has it; None if none has."""
    for value in reversed(values) if path else ():
        found = _follow(value, path)
        if found is not None:
            return found
    return None


def _follow(value: Any, path: str) -> Any:  # Any: JSON values
    for part in _PART.finditer(path):
        if part[0] == "":
            break
        if part["key"]:
            value = value.get(part["key"]) if isinstance(value, Mapping) else None
        if part["field"] and not (isinstance(value, Mapping) and str(value.get(part["field"])) == part["value"]):
            return None
    return value


def _filled(argument: str, values: Mapping[str, str]) -> str:
    """Fills in placeholders in one pass: what is filled in is not read again."""
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], argument)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
