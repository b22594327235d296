import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from landscape_kit import ALL, catalog, scripted, text

from evolve.archive.novelty import fingerprint
from evolve.edits import mutable_text


@settings(deadline=None)  # the first program of some landscapes is made slowly
@given(st.sampled_from(ALL), st.integers(0, 2**31), st.integers(0, 7))
def test_what_is_written_reads_back_as_it_was(name, seed, arm):
    landscape = catalog.make(name)
    habits = landscape.habits[arm % len(landscape.habits)]
    asked = scripted.Asked(text.written(landscape.initial), (text.written(landscape.solution),))
    try:
        child = scripted.child(habits, landscape.vocabulary, asked, np.random.default_rng(seed))
        source = text.read(child)
    except (scripted.MutationFailed, ValueError):
        return
    assert text.written(source) == child


def test_comments_change_the_text_and_no_fingerprint():
    plain = text.Source("line", (text.Call("wash", (0.5,)),))
    commented = text.Source("line", (text.Call("wash", (0.5,)),), comment="as before")
    assert text.written(plain) != text.written(commented)
    assert fingerprint({text.PATH: text.written(plain)}) == fingerprint({text.PATH: text.written(commented)})
    assert text.read(text.written(commented)) == commented


def test_only_the_function_may_change():
    source = text.written(text.Source("line", (text.Call("wash", (0.5, 3.0)),)))
    assert mutable_text({text.PATH: source}) == {
        text.PATH: 'def build(plan):\n    plan.use("line")\n    plan.step("wash", 0.5, 3)\n    return plan\n'
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [('"wash", 0.5', "best_so_far"), ("plan.step", "other.step"), ("def build", "def make"), ('    plan.use("line")\n', "")],
)
def test_a_program_that_would_crash_is_not_read(old, new):
    source = text.written(text.Source("line", (text.Call("wash", (0.5,)),)))
    with pytest.raises(ValueError, match="Error"):
        text.read(source.replace(old, new))


def test_a_vocabulary_says_what_is_wrong():
    vocabulary = text.Vocabulary(("line",), {"wash": (text.Span(0.0, 1.0),)}, longest=1)

    def wrong(*calls, skeleton="line"):
        return vocabulary.check(text.Source(skeleton, tuple(text.Call(*call) for call in calls)))

    assert wrong(("wash", (0.5,))) == ""
    assert "unknown skeleton 'mill'" in wrong(skeleton="mill")
    assert "unknown step 'dry'" in wrong(("dry", ()))
    assert "takes 1 numbers, got 2" in wrong(("wash", (0.5, 0.5)))
    assert "lies outside" in wrong(("wash", (1.5,)))
    assert "2 calls, at most 1" in wrong(("wash", (0.5,)), ("wash", (0.5,)))


def test_whole_numbers_move_by_one_at_least_and_stay_whole():
    span = text.Span(0.0, 5.0, whole=True)
    moved = {span.moved(2.0, 1e-3, np.random.default_rng(seed)) for seed in range(20)}
    assert moved == {1.0, 3.0}
