import asyncio

import pytest

from evolve.llm.transport import only_protocol, stall_s


class Request:
    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def left(key, **headers):
    request = Request(**headers)
    asyncio.run(only_protocol(key)(request))
    return set(request.headers)


def test_only_headers_of_the_protocol_are_left():
    found = left(None, Host="h", Content_Type="json", OpenAI_Organization="org", Cookie="c", X_Team="t", X_Stainless_Lang="python")
    assert found == {"Host", "Content-Type", "X-Stainless-Lang"}


@pytest.mark.parametrize(("key", "found"), [("mine", {"Authorization"}), ("other", set()), (None, set())])
def test_a_key_is_left_only_if_it_is_the_one_given(key, found):
    assert left(key, Authorization="Bearer mine") == found


def test_a_key_in_another_header_is_none():
    assert left("mine", X_Forwarded_Key="mine") == set()


def test_a_server_whose_answer_is_streamed_may_be_silent_for_half_the_time():
    assert (stall_s(600, stream=True), stall_s(600, stream=False)) == (300, 600)
