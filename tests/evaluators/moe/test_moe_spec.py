import pytest

from evolve.evaluators.moe.spec import SIZES, ModelConfig, Size, TrainingConfig

SMOKE = SIZES["smoke"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layers": 0}, "layers must be >= 1, got 0"),
        ({"width": 18}, "width must be a multiple of 2 x heads = 4, got 18"),
        ({"active": 5}, "active must be <= experts = 4, got 5"),
        ({"widths": (1.0, 0.5)}, "widths must name all 4 experts, got 2"),
        ({"widths": (1.0, 1.0, 1.0, 1.5)}, r"widths must lie in \[0, 1\]"),
    ],
)
def test_a_model_that_cannot_be_is_refused(change, said):
    sizes = {"width": 16, "layers": 2, "heads": 2, "experts": 4, "active": 2, "expert_width": 8}
    with pytest.raises(ValueError, match=said):
        ModelConfig(**(sizes | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0"),
        ({"held_out": 0}, "held_out must be >= 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0, got nan"),
        ({"clip": 0.0}, "clip must be > 0, got 0.0"),
        ({"coefficient": -1.0}, "coefficient must be >= 0, got -1.0"),
        ({"coefficient_factor": -1.0}, "coefficient_factor must be >= 0, got -1.0"),
        ({"shift": 1.0}, r"shift must lie in \[0, 1\), got 1.0"),
    ],
)
def test_a_training_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        TrainingConfig(**({"steps": 10} | change))


def test_half_of_unequal_experts_are_full_a_quarter_half_and_a_quarter_a_quarter():
    assert SMOKE.model.unequal().shares == (1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25)
    assert SMOKE.model.shares == (1.0,) * 8
    assert ModelConfig(4, 1, 1, 3, 1, 4).unequal().shares == (1.0, 1.0, 0.5)


def test_letters_count_what_hooks_see():
    assert Size("tiny", ModelConfig(16, 2, 2, 4, 2, 8, length=16), TrainingConfig(3, 2, 2)).letters(6) == {
        "L": 2,
        "E": 6,
        "T": 64,
        "B": 4,
        "M": 2,
        "R": 4,
    }


def test_sizes_go_by_their_names_and_can_be_made_unequal():
    assert all(name == size.name for name, size in SIZES.items())
    for size in SIZES.values():
        unequal = size.model.unequal().shares
        assert len(unequal) == size.model.experts
        assert min(unequal) * size.model.expert_width >= 1
