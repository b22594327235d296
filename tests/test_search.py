import pytest

from evolve.archive.islands import IslandConfig, Islands
from evolve.archive.novelty import NoveltyConfig, NoveltyScreen
from evolve.archive.records import Plan, Verdict
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.bandits import PercentileReward, Ucb1
from evolve.program import Direction, Outcome
from evolve.progress import Progress, StagnationConfig
from evolve.search import Best, Conditions, Finished, Search


def search(direction=Direction.MAXIMIZE, progress=None):
    made = Search(
        seed=0,
        direction=direction,
        population=Islands(IslandConfig(n_islands=1), RankWeighted(RankWeightedConfig())),
        bandit=Ucb1(["a", "b"], 0.5),
        reward=PercentileReward(10),
        screen=NoveltyScreen(NoveltyConfig()),
        progress=progress,
    )
    made.settle(Finished(None, Outcome.OK, "p0", "f0", 1.0, 10))
    return made


def step(number, objective, *, parent="p0", arm="a", reused=False, outcome=Outcome.OK):
    plan = Plan(number, number - 1, 0, parent, (), arm)
    program = f"p{number}" if objective is not None else None
    return Finished(plan, outcome, program, f"f{number}" if program else "", objective, 10, reused)


def test_the_initial_program_makes_version_0_and_is_the_best():
    assert search().version == 0
    assert search().best == Best("p0", 0, 1.0)


def test_an_improvement_becomes_the_best_and_earns_a_reward():
    made = search()
    addition = made.settle(step(1, 2.0))
    assert (addition.version, addition.reward, addition.improved) == (1, 1.0, True)
    assert made.best == Best("p1", 1, 2.0)


def test_a_tie_leaves_the_earlier_program_the_best():
    made = search()
    assert made.settle(step(1, 1.0)).improved is False
    assert made.best == Best("p0", 0, 1.0)


def test_minimised_objectives_improve_downward_also_below_zero():
    made = search(Direction.MINIMIZE)
    assert made.settle(step(1, -4.0)).improved is True
    assert made.settle(step(2, -3.0)).improved is False
    assert made.best == Best("p1", 1, -4.0)


def test_a_failed_step_earns_nothing_and_is_still_an_addition():
    made = search()
    addition = made.settle(step(1, None, outcome=Outcome.EDIT_FAILED))
    assert (addition.version, addition.reward, addition.program, addition.improved) == (1, 0.0, None, False)


def test_a_copy_of_a_known_program_is_no_news_whatever_it_scored():
    made = search()
    made.settle(step(1, 2.0))
    addition = made.settle(step(2, 2.0, reused=True))
    assert (addition.reward, addition.improved) == (0.0, False)


def test_screens_see_the_version_they_are_given():
    made = search()
    made.settle(step(1, 2.0))
    assert made.screen(5, 0, 0, "f1", None).verdict is Verdict.NEW
    seen = made.screen(5, 0, 1, "f1", None)
    assert (seen.verdict, seen.nearest) == (Verdict.KNOWN, "p1")


def test_a_plan_depends_on_the_additions_and_the_step_alone():
    one, other = search(), search()
    one.plan(3)
    assert one.plan(4) == other.plan(4)
    assert one.plan(4).version == 0


def test_the_reward_of_an_improvement_over_a_worse_parent_counts():
    made = search()
    made.settle(step(1, 0.5))
    addition = made.settle(step(2, 0.7, parent="p1"))
    assert addition.reward == 1.0
    assert not addition.improved


def test_an_unknown_arm_is_a_mistake_in_code():
    with pytest.raises(ValueError, match="unknown arm"):
        search().settle(step(1, 2.0, arm="c"))


def stuck(after=3, **config):
    made = search(progress=Progress(StagnationConfig(after=after, every=4, **config)))
    for number in range(1, after + 1):
        made.settle(step(number, None, outcome=Outcome.EDIT_FAILED))
    return made


def test_a_run_that_stands_still_asks_the_strongest_arm_for_a_new_approach():
    plan = stuck().plan(4, Conditions(strongest=("b",)))
    assert (plan.arm, plan.new_approach) == ("b", True)


def test_a_new_approach_is_asked_for_once_in_so_many_steps_also_over_a_resumption():
    made, resumed = stuck(), stuck()
    resumed.planned(made.plan(4, Conditions(strongest=("b",))))
    for one in (made, resumed):
        asked = [one.plan(number, Conditions(strongest=("b",))).new_approach for number in range(5, 10)]
        assert asked == [False, False, False, True, False]


def test_nobody_is_asked_for_a_new_approach_while_no_model_can_be():
    assert not stuck().plan(4, Conditions()).new_approach


def test_of_equally_strong_arms_the_one_that_earned_most_is_asked():
    made = stuck(after=2)
    made.settle(step(10, 2.0, arm="b"))
    for number in range(11, 14):
        made.settle(step(number, 1.5, arm="b"))
    assert made.plan(20, Conditions(strongest=("a", "b"))).arm == "b"


def test_a_recorded_plan_says_whom_it_could_ask():
    plan = stuck().plan(4, Conditions(strongest=("b",)))
    assert Conditions.of(plan) == Conditions((), None, ("b",))
    assert stuck().plan(4, Conditions.of(plan)) == plan
