"""What every model client must do: inherit `LanguageModelContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

import asyncio
import threading
import traceback

import pytest

from evolve.llm.base import CallFailed, Completion, Failure, Finish, LanguageModel, Message, ModelRequest, Role, Usage
from evolve.testing.model_server import Answer, Fault, ModelServer

#: What a test looks for where no key may be.
CANARY = "sk-canary-0123456789abcdef"
_REQUEST = ModelRequest((Message(Role.SYSTEM, "Be short."), Message(Role.USER, "What is 2 + 2?")), max_tokens=4096)
_LONG = "a somewhat long answer, so that it can be cut in two"
_FAULTS = [
    (Fault.RATE_LIMITED, Failure.RATE_LIMITED),
    (Fault.OUT_OF_QUOTA, Failure.OUT_OF_QUOTA),
    (Fault.SERVER_ERROR, Failure.OVERLOADED),
    (Fault.UNAVAILABLE, Failure.OVERLOADED),
    (Fault.OVERLOADED, Failure.OVERLOADED),
    (Fault.BAD_KEY, Failure.UNAUTHORIZED),
    (Fault.FORBIDDEN, Failure.UNAUTHORIZED),
    (Fault.UNKNOWN_MODEL, Failure.UNKNOWN_MODEL),
    (Fault.OVERFLOW, Failure.CONTEXT_OVERFLOW),
    (Fault.OVERFLOW_OF_LLAMA_CPP, Failure.CONTEXT_OVERFLOW),
    (Fault.BAD_SETTING, Failure.BAD_REQUEST),
    (Fault.CUT, Failure.CUT_OFF),
    (Fault.ENDED_EARLY, Failure.CUT_OFF),
    (Fault.NOT_JSON, Failure.MALFORMED),
    (Fault.WRONG_JSON, Failure.MALFORMED),
    (Fault.NO_BODY, Failure.MALFORMED),
]


class LanguageModelContract:
    """Tests of the `LanguageModel` protocol; a subclass says how to make one."""

    def make(self, server: ModelServer, key: str | None = CANARY, timeout_s: float = 30.0) -> LanguageModel:
        """Makes a client that asks ``server`` with ``key`` and waits at most ``timeout_s``."""
        raise NotImplementedError

    def ask(self, server: ModelServer, request: ModelRequest = _REQUEST, timeout_s: float = 30.0) -> Completion:
        """Asks once, with a client of its own."""

        async def once() -> Completion:
            model = self.make(server, timeout_s=timeout_s)
            try:
                return await model.complete(request)
            finally:
                await model.close()

        return asyncio.run(once())

    def fail(self, answer: Answer) -> CallFailed:
        """Asks once and returns the failure."""
        with ModelServer([answer]) as server, pytest.raises(CallFailed) as caught:
            self.ask(server)
        return caught.value

    def test_it_answers(self) -> None:
        with ModelServer(["4"]) as server:
            assert self.ask(server).text == "4"

    def test_the_server_is_asked_for_the_model_with_the_whole_conversation(self) -> None:
        with ModelServer(["4"]) as server:
            self.ask(server)
            (asked,) = server.asked
        assert asked.messages == _REQUEST.messages
        assert asked.max_tokens == _REQUEST.max_tokens
        assert asked.model

    def test_its_name_is_the_provider_and_the_model(self) -> None:
        with ModelServer([]) as server:
            model = self.make(server)
            asyncio.run(model.close())
        assert "/" in model.name

    def test_letters_of_every_alphabet_arrive_whole(self) -> None:
        text = "naïve → 模型 🦉\n\tend "
        with ModelServer([text]) as server:
            assert self.ask(server).text == text

    @pytest.mark.parametrize(
        ("answer", "finish"),
        [
            (Answer("4"), Finish.STOP),
            (Answer("4 and", Finish.LENGTH), Finish.LENGTH),
            (Answer("", Finish.LENGTH), Finish.LENGTH),
            (Answer("I will not.", Finish.REFUSED), Finish.REFUSED),
            (Answer("", Finish.REFUSED), Finish.REFUSED),
            (Answer(" \n"), Finish.EMPTY),
            (Answer(""), Finish.EMPTY),
        ],
    )
    def test_it_says_why_an_answer_ended(self, answer: Answer, finish: Finish) -> None:
        with ModelServer([answer]) as server:
            assert self.ask(server).finish is finish

    def test_tokens_are_told_as_the_server_counts_them(self) -> None:
        with ModelServer([Answer("4", usage=Usage(100, 40, 9, 0, 30))]) as server:
            assert self.ask(server).usage == Usage(100, 40, 9, 0, 30)

    def test_thoughts_are_not_in_the_text(self) -> None:
        with ModelServer([Answer("4", thoughts="Two and two...")]) as server:
            assert self.ask(server).text == "4"

    @pytest.mark.parametrize(("fault", "failure"), _FAULTS, ids=[fault.value for fault, _ in _FAULTS])
    def test_every_fault_has_its_failure(self, fault: Fault, failure: Failure) -> None:
        assert self.fail(Answer(_LONG, fault=fault)).failure is failure

    def test_an_error_within_an_answer_is_one_that_may_pass(self) -> None:
        assert self.fail(Answer(_LONG, fault=Fault.ERROR_IN_STREAM)).failure in (Failure.CUT_OFF, Failure.OVERLOADED)

    @pytest.mark.parametrize(("headers", "wait_s"), [({"Retry-After": "7"}, 7.0), ({}, None)])
    def test_it_says_how_long_the_server_asks_to_wait(self, headers: dict[str, str], wait_s: float | None) -> None:
        assert self.fail(Answer(fault=Fault.RATE_LIMITED, headers=headers)).retry_after_s == wait_s

    def test_a_call_is_asked_once_though_it_fails(self) -> None:
        with ModelServer([Answer(fault=Fault.UNAVAILABLE)]) as server:
            with pytest.raises(CallFailed):
                self.ask(server)
            assert len(server.asked) == 1

    @pytest.mark.parametrize("where", ["before", "during"])
    def test_a_server_that_stalls_is_given_up(self, where: str) -> None:
        stalled = Answer(_LONG, before=threading.Event()) if where == "before" else Answer(_LONG, during=threading.Event())
        with ModelServer([stalled]) as server:
            with pytest.raises(CallFailed) as caught:
                self.ask(server, timeout_s=0.5)
            server.wait_until(lambda server: server.hung_up == 1)
        assert caught.value.failure is Failure.TIMED_OUT

    def test_a_server_that_is_gone_is_unreachable(self) -> None:
        with ModelServer([]) as server:
            pass
        with pytest.raises(CallFailed) as caught:
            self.ask(server)
        assert caught.value.failure is Failure.UNREACHABLE

    def test_cancelling_closes_the_connection(self) -> None:
        async def cancelled(server: ModelServer) -> None:
            model = self.make(server)
            call = asyncio.ensure_future(model.complete(_REQUEST))
            await asyncio.to_thread(server.wait_until, lambda server: server.in_flight == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(server.wait_until, lambda server: server.hung_up == 1)
            await model.close()

        with ModelServer([Answer("4", before=threading.Event())]) as server:
            asyncio.run(cancelled(server))

    def test_sixteen_calls_at_once(self) -> None:
        gate = threading.Event()

        async def asked(server: ModelServer) -> list[Completion]:
            model = self.make(server)
            calls = [asyncio.ensure_future(model.complete(_REQUEST)) for _ in range(16)]
            await asyncio.to_thread(server.wait_until, lambda server: server.in_flight == 16)
            gate.set()
            try:
                return await asyncio.gather(*calls)
            finally:
                await model.close()

        with ModelServer(lambda asked: Answer(str(asked.number), before=gate)) as server:
            answers = asyncio.run(asked(server))
        assert sorted(int(answer.text) for answer in answers) == list(range(16))

    def test_it_may_be_closed_twice(self) -> None:
        async def twice(server: ModelServer) -> None:
            model = self.make(server)
            await model.complete(_REQUEST)
            await model.close()
            await model.close()

        with ModelServer(["4"]) as server:
            asyncio.run(twice(server))

    def test_a_message_names_the_model_and_the_host_on_one_line(self) -> None:
        with ModelServer([Answer(fault=Fault.BAD_SETTING, words="No such\nsetting.")]) as server:
            model = self.make(server)
            asyncio.run(model.close())
            with pytest.raises(CallFailed) as caught:
                self.ask(server)
        message = str(caught.value)
        assert model.name in message
        assert server.root.removeprefix("http://") in message
        assert "No such setting." in message
        assert "\n" not in message

    @pytest.mark.parametrize("fault", [Fault.BAD_KEY, Fault.BAD_SETTING, Fault.SERVER_ERROR])
    def test_a_key_that_the_server_repeats_is_not_in_the_error(self, fault: Fault) -> None:
        error = self.fail(Answer(fault=fault, words=f"The key {CANARY} is wrong."))
        assert CANARY not in "".join(traceback.format_exception(error))
        assert error.__context__ is None

    def test_the_key_is_sent(self) -> None:
        with ModelServer(["4"]) as server:
            self.ask(server)
            assert server.asked[0].key == CANARY

    def test_no_key_of_the_environment_is_sent_to_another_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ORGANIZATION"):
            monkeypatch.setenv(name, CANARY)
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENROUTER_API_KEY"):
            monkeypatch.setenv(name, CANARY)
        for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
            monkeypatch.setenv(name, f"authorization: Bearer {CANARY}\nX-Api-Key: {CANARY}\nX-Team: {CANARY}")
        for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OPENAI_API_BASE"):
            monkeypatch.setenv(name, "http://127.0.0.1:1/v1")

        async def without_key(server: ModelServer) -> None:
            model = self.make(server, key=None)
            await model.complete(_REQUEST)
            await model.close()

        with ModelServer(["4"]) as server:
            asyncio.run(without_key(server))
            (asked,) = server.asked
        assert CANARY not in str(dict(asked.headers)) + str(asked.body)
