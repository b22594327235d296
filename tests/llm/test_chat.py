import pytest

from evolve.llm.base import Completion, Finish, Usage
from evolve.llm.chat import ChatStream, read_chat
from evolve.llm.faults import CutOff, Malformed, ServerError


def body(message, reason="stop", **rest):
    return {"model": "m-2026", "choices": [{"message": message, "finish_reason": reason}], **rest}


def chunk(delta, reason=None, **rest):
    return {"choices": [{"delta": delta, "finish_reason": reason}], **rest}


def stream(*chunks):
    pieces = ChatStream()
    for one in chunks:
        pieces.take(one)
    return pieces.completion()


def test_the_least_that_local_servers_send_is_enough():
    assert read_chat({"choices": [{"message": {"content": "4"}}]}) == Completion("4")


def test_tokens_and_cost_are_read():
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}, "cost": 0.25}
    assert read_chat(body({"content": "4"}, usage=usage)) == Completion("4", Finish.STOP, Usage(9, 0, 5, 3), 0.25, "m-2026")


def test_details_may_be_null():
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": None}
    assert read_chat(body({"content": "4"}, usage=usage)).usage == Usage(9, 0, 5, 0)


@pytest.mark.parametrize(
    ("message", "reason", "finish"),
    [
        ({"content": "4"}, "eos", Finish.STOP),
        ({"content": "4"}, None, Finish.STOP),
        ({"content": "<think>hm"}, "length", Finish.LENGTH),
        ({"content": "<think>hm</think>"}, "stop", Finish.EMPTY),
        ({"content": None, "refusal": "No."}, "stop", Finish.REFUSED),
        ({"content": None}, "content_filter", Finish.REFUSED),
        ({"content": None}, "stop", Finish.EMPTY),
    ],
)
def test_reasons_are_read(message, reason, finish):
    assert read_chat(body(message, reason)).finish is finish


@pytest.mark.parametrize(
    "answer", [{"error": {"code": 502, "message": "upstream"}}, {"choices": [{"error": {"code": 502}, "finish_reason": "error"}]}]
)
def test_an_error_under_status_200_is_one(answer):
    with pytest.raises(ServerError):
        read_chat(answer)
    with pytest.raises(ServerError) as caught:
        stream(chunk({"content": "4"}), answer)
    assert caught.value.begun


def test_a_stream_gives_what_the_whole_answer_would():
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    found = stream(
        chunk({"role": "assistant", "content": ""}, model="m-2026"),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "4"}),
        chunk({"content": "2"}, "stop"),
        {"choices": [], "usage": usage},
    )
    assert found == read_chat(body({"content": "42"}, usage=usage))


def test_a_stream_without_a_reason_was_cut():
    with pytest.raises(CutOff):
        stream(chunk({"content": "4"}))


def test_a_stream_of_nothing_is_no_stream():
    with pytest.raises(Malformed):
        stream()
    with pytest.raises(Malformed):
        stream("4")
