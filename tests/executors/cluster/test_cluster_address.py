import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.executors.cluster.address import Address, Way, parse


@pytest.mark.parametrize(
    ("text", "way", "told"),
    [
        ("ray", Way.HERE, "local"),
        ("10.0.0.1:6379", Way.NODE, "10.0.0.1:6379"),
        ("head.cluster.example:6379", Way.NODE, "head.cluster.example:6379"),
        ("[fe80::1]:6379", Way.NODE, "[fe80::1]:6379"),
        ("localhost:1", Way.NODE, "localhost:1"),
        ("h:65535", Way.NODE, "h:65535"),
        ("ray://head:10001", Way.CLIENT, "ray://head:10001"),
        ("ray://[::1]:10001", Way.CLIENT, "ray://[::1]:10001"),
    ],
)
def test_three_ways_lead_to_a_cluster(text, way, told):
    assert parse(text) == Address(way, told)


@pytest.mark.parametrize(
    "text",
    ["", "local", "Ray", "head", "head:", ":6379", "head:0", "head:65536", "head:x", "ray://", "ray://head", "ray://head:10001/x",
     "http://head:80", "a b:1", "head:1 ", "::1:6379", "ray:ray://h:1", "h:-1", "h:1:2", "h:1\n"],
)  # fmt: skip
def test_anything_else_is_no_cluster(text):
    assert parse(text) is None


@given(st.text())
def test_whatever_is_written_is_read_or_not(text):
    address = parse(text)
    assert address is None or address.text in (text, "local")


def test_messages_name_the_cluster():
    assert parse("ray").described == "the Ray cluster of this machine"
    assert parse("ray://h:1").described == "the Ray cluster at ray://h:1"
