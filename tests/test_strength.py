from evolve.llm.prices import Price
from evolve.llm.specs import EditKind
from evolve.strength import Contender, by_strength, strongest

CHEAP, DEAR = Price(0.1, 0.1, 0.4), Price(3.0, 0.3, 15.0)
ARMS = [
    Contender("openai/small/full", EditKind.FULL, CHEAP),
    Contender("anthropic/large/diff", EditKind.DIFF, DEAR),
    Contender("anthropic/large/full/default", EditKind.FULL, DEAR),
    Contender("anthropic/large/full/bold", EditKind.FULL, DEAR),
    Contender("openai/mine/full", EditKind.FULL, None),
]


def test_the_dearest_model_comes_first_and_of_it_whole_files():
    assert by_strength(ARMS) == (
        ("anthropic/large/full/default", "anthropic/large/full/bold"),
        ("anthropic/large/diff",),
        ("openai/small/full",),
        ("openai/mine/full",),
    )


def test_a_beginning_of_names_leaves_the_others_out():
    assert by_strength(ARMS, "openai/") == (("openai/small/full",), ("openai/mine/full",))


def test_arms_that_cannot_be_pulled_are_passed_over():
    ranks = by_strength(ARMS)
    assert strongest(ranks, {"anthropic/large/full/bold"}) == ("anthropic/large/full/default",)
    assert strongest(ranks, {arm.arm for arm in ARMS if arm.arm.startswith("anthropic")}) == ("openai/small/full",)
    assert strongest(ranks, {arm.arm for arm in ARMS}) == ()


def test_without_models_there_is_no_strongest_arm():
    assert strongest(by_strength([])) == ()
