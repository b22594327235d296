from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.rows import metrics_of, metrics_text, storable
from evolve.program import Direction, Metric

numbers = st.floats(allow_nan=False, allow_infinity=False)
directions = st.sampled_from([None, *Direction])


@given(st.dictionaries(st.text(), st.builds(Metric, numbers, directions)))
def test_metrics_come_back_bit_by_bit(metrics):
    assert metrics_of(metrics_text(metrics)) == metrics


def test_a_metric_without_direction_is_just_its_value():
    text = metrics_text({"gap": Metric(0.5), "radius": Metric(2.0, Direction.MAXIMIZE)})
    assert text == '{"gap":0.5,"radius":[2.0,"maximize"]}'


def test_no_metrics_take_no_room():
    assert metrics_text({}) is None
    assert metrics_of(None) == {}


def test_what_no_database_holds_is_replaced_and_all_else_is_kept():
    kept = {"step": 3, "body": b"\x00", "arm": "local/é", "objective": None}
    assert storable({**kept, "why": "NUL \0, half \udce9 of a pair"}) == {**kept, "why": "NUL \ufffd, half \ufffd of a pair"}
