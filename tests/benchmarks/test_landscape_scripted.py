import numpy as np
import pytest
from landscape_kit import ALL, catalog, scripted, text

from evolve.edits import check_edit
from evolve.mutation import MutationFailed

#: Children of each arm; a share of s varies by less than 4 * sqrt(s / N) of itself.
N = 300


def children(landscape, habits, *, parent=None, **asked):
    """Texts of children and how many answers could not be applied."""
    source = text.written(parent or landscape.initial)
    request = scripted.Asked(source, (text.written(landscape.solution),), **asked)
    made, broken = [], 0
    for seed in range(N):
        try:
            made.append(scripted.child(habits, landscape.vocabulary, request, np.random.default_rng(seed)))
        except MutationFailed:
            broken += 1
    return made, broken


@pytest.mark.parametrize("name", ALL)
def test_children_change_nothing_outside_the_markers_and_most_can_be_scored(name):
    landscape = catalog.make(name)
    for habits in landscape.habits:
        made, broken = children(landscape, habits)
        assert 0 < broken < (habits.broken + 0.2) * N
        for child in made:
            check_edit(landscape.files, {text.PATH: child})
        scored = [landscape.truth({text.PATH: child}) is not None for child in made]
        assert (0.78 - habits.crashing) * len(scored) < sum(scored) < len(scored)


@pytest.mark.parametrize("name", ALL)
def test_children_that_run_say_what_the_vocabulary_allows(name):
    landscape = catalog.make(name)
    for habits in landscape.habits:
        for child in children(landscape, habits)[0]:
            if "best_so_far" not in child:
                assert landscape.vocabulary.check(text.read(child)) == ""


def test_most_children_of_a_copycat_score_as_their_parent_does():
    landscape = catalog.make("copies")
    copycat = next(habits for habits in landscape.habits if habits.name == "copycat")
    scores = [landscape.truth({text.PATH: child}) for child in children(landscape, copycat)[0]]
    assert scores.count(landscape.value(landscape.initial)) > 0.7 * len(scores)


def test_a_complaint_makes_the_next_child_another_one():
    landscape = catalog.make("genes")
    copycat = scripted.Habits("copycat", tune=0.01, copy=1.0, favourite=0.9, broken=0.0, crashing=0.0)

    def same(**asked):
        found = [text.read(child).calls for child in children(landscape, copycat, **asked)[0]]
        return sum([call.name for call in calls] == [call.name for call in landscape.initial.calls] for calls in found)

    assert same(complaints=1) < 0.7 * N < same()


def test_a_new_approach_draws_another_skeleton():
    landscape = catalog.make("valleys")
    for child in children(landscape, scripted.HABITS[0], new_approach=True)[0]:
        if "best_so_far" not in child:
            assert text.read(child).skeleton != landscape.initial.skeleton


def test_favourites_of_a_parent_come_back():
    landscape = catalog.make("genes")
    fond = scripted.Habits("fond", tune=1.0, favourite=0.5, broken=0.0, crashing=0.0)
    made, _ = children(landscape, fond)
    assert len(set(made)) < 0.65 * N


@pytest.mark.parametrize("wrong", [{}, {"tune": -1.0}, {"tune": 1.0, "broken": 1.0}])
def test_habits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="of odd must"):
        scripted.Habits("odd", **wrong)
