import pytest

from evolve.llm.base import Completion, Finish, Usage
from evolve.llm.faults import CutOff, Malformed, ServerError
from evolve.llm.responses import ResponsesStream, read_response


def body(*parts, status="completed", **rest):
    thoughts = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    return {"status": status, "output": [thoughts, {"type": "message", "content": list(parts)}], **rest}


def said(text):
    return {"type": "output_text", "text": text}


def test_the_text_of_messages_is_the_answer_and_thoughts_are_not():
    usage = {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}}
    found = read_response(body(said("4"), said("2"), usage=usage, model="m-2026"))
    assert found == Completion("42", Finish.STOP, Usage(9, 0, 5, 3), None, "m-2026")


@pytest.mark.parametrize(
    ("answer", "finish"),
    [
        (body(said("4"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), Finish.LENGTH),
        (body(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), Finish.LENGTH),
        (body(status="incomplete", incomplete_details={"reason": "content_filter"}), Finish.REFUSED),
        (body({"type": "refusal", "refusal": "No."}), Finish.REFUSED),
        (body(said(" ")), Finish.EMPTY),
        ({"output": []}, Finish.EMPTY),
    ],
)
def test_reasons_are_read(answer, finish):
    assert read_response(answer).finish is finish


def test_a_refusal_is_the_text():
    assert read_response(body({"type": "refusal", "refusal": "No."})).text == "No."


def test_a_failed_response_says_why():
    with pytest.raises(ServerError) as caught:
        read_response(body(status="failed", error={"code": "server_error", "message": "broke"}))
    assert caught.value.body == {"code": "server_error", "message": "broke"}


@pytest.mark.parametrize("status", ["cancelled", "failed", "in_progress", "queued"])
def test_a_response_that_is_not_finished_is_no_answer(status):
    with pytest.raises(CutOff):
        read_response(body(said("4"), status=status))


def test_what_is_no_response_is_malformed():
    with pytest.raises(Malformed):
        read_response({"ok": True})


def test_a_stream_ends_with_the_whole():
    pieces = ResponsesStream()
    pieces.take({"type": "response.created"})
    pieces.take({"type": "response.output_text.delta", "delta": "4"})
    with pytest.raises(CutOff):
        pieces.completion()
    pieces.take({"type": "response.completed", "response": body(said("4"))})
    assert pieces.completion().text == "4"


def test_an_event_may_be_an_error():
    pieces = ResponsesStream()
    pieces.take({"type": "response.created"})
    with pytest.raises(ServerError) as caught:
        pieces.take({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"})
    assert caught.value.body == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert caught.value.begun
