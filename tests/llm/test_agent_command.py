import json

import pytest

from evolve.errors import ConfigError
from evolve.llm.agent_command import CLAUDE, CODEX, AgentCommand, JsonPaths, Output, read_output
from evolve.llm.agent_failures import failure_of
from evolve.llm.base import CallFailed, Failure, Finish, Usage
from evolve.settings import build


def codex_lines(*events: dict) -> str:
    return "Reading prompt from stdin...\n" + "".join(f"{json.dumps(event)}\n" for event in events)


def test_what_claude_code_prints_is_read_with_cached_tokens_among_the_input():
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 40}
    printed = {"type": "result", "subtype": "success", "is_error": False, "result": "done\n", "stop_reason": "end_turn"}
    answer = read_output(CLAUDE, json.dumps({**printed, "total_cost_usd": 0.25, "usage": usage}))
    assert answer == ("done", Finish.STOP, Usage(3210, 3000, 40, 0), 0.25, "")


def test_an_error_of_claude_code_says_why():
    answer = read_output(CLAUDE, json.dumps({"is_error": True, "result": "Invalid API key · Please run /login"}))
    assert answer.failed == "Invalid API key · Please run /login"


def test_an_array_of_events_is_read_as_their_last_result():
    assert read_output(CLAUDE, json.dumps([{"type": "system"}, {"type": "result", "result": "yes"}])).text == "yes"


def test_an_answer_cut_off_at_its_limit_says_so():
    assert read_output(CLAUDE, json.dumps({"result": "half", "stop_reason": "max_tokens"})).finish is Finish.LENGTH


def test_what_codex_prints_is_read_by_kind_of_item():
    printed = codex_lines(
        {"type": "thread.started", "thread_id": "1"},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "first"}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": "last"}},
        {"type": "item.completed", "item": {"type": "reasoning", "text": "**hm**"}},
        {"type": "turn.completed", "usage": {"input_tokens": 24763, "cached_input_tokens": 24448, "output_tokens": 122}},
    )
    assert read_output(CODEX, printed) == ("last", Finish.STOP, Usage(24763, 24448, 122, 0), None, "")


def test_a_failed_turn_of_codex_says_why_and_a_new_connection_does_not_count():
    noise = {"type": "error", "message": "Reconnecting... 1/5"}
    message = {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}}
    assert read_output(CODEX, codex_lines(noise, message)).failed == ""
    failed = {"type": "turn.failed", "error": {"message": "You've hit your usage limit."}}
    assert read_output(CODEX, codex_lines(message, failed)).failed == "You've hit your usage limit."


@pytest.mark.parametrize("printed", ["", "Segmentation fault", "{", '{"result": 3}', "[1, null]"])
def test_what_cannot_be_read_is_malformed(printed):
    with pytest.raises(CallFailed, match="printed no text at 'result'") as failed:
        read_output(CLAUDE, printed)
    assert failed.value.failure is Failure.MALFORMED


def test_an_answer_of_blanks_is_empty():
    assert read_output(AgentCommand(("agent",)), " \n").finish is Finish.EMPTY


def test_options_are_added_only_for_what_is_asked():
    assert CODEX.arguments(folder="/w", prompt_file="/p") == list(CODEX.command)
    added = CODEX.arguments(folder="/w", prompt_file="/p", model="m", effort="high")[len(CODEX.command) :]
    assert added == ["--model", "m", "--config", 'model_reasoning_effort="high"']


def test_what_is_filled_in_is_not_filled_in_again():
    command = AgentCommand(("agent", "--in={folder}", "{prompt_file}"))
    assert command.arguments(folder="/a{prompt_file}", prompt_file="/p") == ["agent", "--in=/a{prompt_file}", "/p"]
    assert not command.prompt_on_stdin
    assert CLAUDE.prompt_on_stdin


def test_a_command_can_be_written_in_a_configuration():
    table = {"command": ["mine", "{prompt_file}"], "output": "json", "paths": {"text": "a.b"}, "edits": "folder"}
    command = build(AgentCommand, table, "[agents.mine]")
    assert command.paths == JsonPaths(text="a.b")
    assert command.output is Output.JSON
    with pytest.raises(ConfigError, match="do not go together"):
        build(AgentCommand, {"command": ["mine"], "output": "json"}, "[agents.mine]")
    with pytest.raises(ConfigError, match="must name a program"):
        build(AgentCommand, {"command": []}, "[agents.mine]")
    with pytest.raises(ConfigError, match=r"writable names the variable \$STATE"):
        build(AgentCommand, {"command": ["mine"], "writable": ["$STATE"]}, "[agents.mine]")


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        ("Invalid API key · Please run /login", Failure.UNAUTHORIZED),
        ("exceeded retry limit, last status: 401 Unauthorized, request id: 9a57-SIN", Failure.UNAUTHORIZED),
        ("You've hit your usage limit. Upgrade to Pro or try again in 2 hours", Failure.OUT_OF_QUOTA),
        ("Credit balance is too low", Failure.OUT_OF_QUOTA),
        ("API Error: Rate limit reached", Failure.RATE_LIMITED),
        ("exceeded retry limit, last status: 429 Too Many Requests", Failure.RATE_LIMITED),
        ('API Error: 529 {"type":"overloaded_error"}', Failure.OVERLOADED),
        ("Prompt is too long", Failure.CONTEXT_OVERFLOW),
        ("The model `gpt-9` does not exist or you do not have access to it", Failure.UNKNOWN_MODEL),
        ("stream disconnected before completion", Failure.UNREACHABLE),
        ("error: unexpected argument '--ephemeral' found", Failure.BAD_REQUEST),
        ("Segmentation fault", Failure.CUT_OFF),
    ],
)
def test_the_words_of_agents_tell_why_they_failed(words, failure):
    assert failure_of(words) is failure
