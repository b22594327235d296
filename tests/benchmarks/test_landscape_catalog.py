import itertools

import pytest
from landscape_kit import ALL, base, catalog, reserved, scripted, text

from evolve.program import Outcome
from evolve.rng import generator


@pytest.mark.parametrize("name", ALL)
def test_the_known_program_attains_the_optimum_and_the_mark_lies_between(name):
    landscape = catalog.make(name)
    better = landscape.direction.oriented
    assert landscape.value(landscape.solution) == pytest.approx(landscape.optimum, rel=0, abs=1e-12)
    assert landscape.vocabulary.check(landscape.solution) == landscape.vocabulary.check(landscape.initial) == ""
    start = landscape.value(landscape.initial)
    assert better(start) < better(landscape.mark) < better(landscape.optimum)
    assert landscape.passes(landscape.optimum)
    assert not landscape.passes(start)


@pytest.mark.parametrize("name", ALL)
def test_no_child_of_the_known_program_is_better(name):
    landscape = catalog.make(name)
    request = scripted.Asked(text.written(landscape.solution), (text.written(landscape.initial),))
    for habits, number in itertools.product(landscape.habits, range(40)):
        try:
            child = scripted.child(habits, landscape.vocabulary, request, generator(number, 0, habits.name))
        except scripted.MutationFailed:
            continue
        found = landscape.truth({text.PATH: child})
        if found is not None:
            assert landscape.direction.oriented(found) <= landscape.direction.oriented(landscape.optimum) + 1e-12


@pytest.mark.parametrize("name", ALL)
def test_a_program_survives_its_text(name):
    landscape = catalog.make(name)
    for source in (landscape.initial, landscape.solution):
        assert landscape.truth({text.PATH: text.written(source)}) == landscape.value(source)


def test_only_noise_depends_on_the_generator():
    noisy, genes = catalog.make("noisy"), catalog.make("genes")
    assert noisy.score(noisy.files, generator(0, 1, "noise")) == noisy.score(noisy.files, generator(0, 1, "noise"))
    assert noisy.score(noisy.files, generator(0, 1, "noise")) != noisy.score(noisy.files, generator(0, 2, "noise"))
    assert genes.score(genes.files, generator(0, 1, "noise")).objective == genes.truth(genes.files)


def test_a_program_that_fails_has_an_outcome_and_no_objective():
    landscape = catalog.make("genes")
    crashed = landscape.score({text.PATH: landscape.files[text.PATH].replace('"wash", 0.9', "wash")}, None)
    invalid = landscape.score({text.PATH: landscape.files[text.PATH].replace('"wash"', '"fly"')}, None)
    assert (crashed.outcome, invalid.outcome) == (Outcome.CRASHED, Outcome.INVALID)
    assert "unknown step 'fly'" in invalid.feedback


def test_differences_on_tiny_are_some_1e_9_of_negative_objectives():
    landscape = catalog.make("tiny")
    start = landscape.value(landscape.initial)
    assert start < 0
    assert 1e-9 < landscape.optimum - start < 1e-8


def test_switching_the_skeleton_of_a_lineage_on_modules_costs_most_of_what_it_has():
    landscape = catalog.make("modules")
    lured = {name: (1.0,) * 4 if name in ("gear", "belt", "valve") else (0.0,) * 4 for name in landscape.vocabulary.calls}
    calls = tuple(text.Call(*item) for item in lured.items())
    assert landscape.value(text.Source("lathe", calls)) == pytest.approx(5.4)
    assert landscape.value(text.Source("mill", calls)) == pytest.approx(3.0)
    assert not landscape.passes(5.4)


def test_the_poor_valley_tops_a_good_one_that_is_not_tuned():
    landscape = catalog.make("valleys")
    tuned = tuple(text.Call(name, (number,)) for name, number in zip(("weight", "limit", "pace"), (0.4, 0.55, 0.6), strict=True))
    poor, good = (landscape.value(text.Source(skeleton, tuned)) for skeleton in ("greedy", "flow"))
    assert good < poor == pytest.approx(0.6)


def test_the_least_cost_is_that_of_the_best_order():
    jobs = reserved.instances()[0][:5]

    def cost(order):
        ends = itertools.accumulate(job.length for job in order)
        return sum(job.weight * max(end - job.due, 0) for job, end in zip(order, ends, strict=True))

    assert reserved.least_cost(jobs) == min(map(cost, itertools.permutations(jobs)))


def test_an_unknown_landscape_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="genes"):
        catalog.make("gene")


def test_two_arms_of_one_name_are_refused():
    made = catalog.make("genes")
    with pytest.raises(ValueError, match="name of its own"):
        base.Landscape(
            "twice", made.vocabulary, made.initial, made.solution, 1.0, made.value, habits=(scripted.HABITS[0], scripted.HABITS[0])
        )
