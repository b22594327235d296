import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from conversion_kit import SMALL, drawn  # noqa: E402 - it needs torch

from evolve.evaluators.base import Invalid  # noqa: E402 - see above
from evolve.evaluators.moe.conversion import Chosen, Layout, convert, shared_only  # noqa: E402 - it needs torch
from evolve.evaluators.moe.corpus import load_corpus  # noqa: E402 - see above
from evolve.evaluators.moe.dense import nowhere, train_dense  # noqa: E402 - it needs torch
from evolve.evaluators.moe.distillation import (  # noqa: E402 - it needs torch
    DistillationConfig,
    Terms,
    balance_loss,
    distil,
    feature_loss,
    feature_weights,
    output_loss,
)
from evolve.evaluators.moe.measuring import cross_entropy_by_domain, held_out  # noqa: E402 - it needs torch
from evolve.evaluators.moe.splits import random_split  # noqa: E402 - see above

LAYOUT = Layout.published(16)
SHORT = DistillationConfig(shared_steps=15, expert_steps=15)


@pytest.fixture(scope="module")
def teacher():
    return train_dense(SMALL, 0)


def student_of(teacher, seed=0):
    return convert(teacher, random_split(2, 16, 12, 4, np.random.default_rng(seed)), LAYOUT, seed)


def test_weights_of_features_are_those_worked_by_hand():
    # The output's loss is 2, the blocks' are 4 and 1, their norms 1 and 3 with mean 2: 2/4 * 2/1 and 2/1 * 2/3.
    assert feature_weights(2.0, [4.0, 1.0], [1.0, 3.0]) == pytest.approx([1.0, 4 / 3])


def test_weighed_features_of_equal_norms_count_as_much_as_the_output_each():
    assert [w * each for w, each in zip(feature_weights(0.3, [9.0, 0.1], [5.0, 5.0]), [9.0, 0.1], strict=True)] == [0.3, 0.3]


def test_features_without_any_distance_have_a_finite_weight():
    assert all(math.isfinite(weight) for weight in feature_weights(1.0, [0.0, 1.0], [0.0, 1.0]))


def test_the_feature_loss_has_the_gradient_of_the_distances_alone():
    teacher, ours = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[3.0, 5.0]]], requires_grad=True)
    loss = feature_loss([ours], [teacher], torch.tensor(2.0))
    loss.backward()
    # The distance is (0 + 1) / 2, so the weight 2 / 0.5 = 4 (one block: the norms cancel), and the gradient 4 * 2 * 1 / 2.
    assert float(loss.detach()) == pytest.approx(2.0)
    assert ours.grad.flatten().tolist() == pytest.approx([0.0, 4.0])


def test_the_output_loss_is_the_divergence_worked_by_hand():
    # From (1/2, 1/2) to (1/4, 3/4): 1/2 log 2 + 1/2 log 2/3.
    ours, theirs = torch.tensor([[[0.25, 0.75]]]).log(), torch.tensor([[[0.5, 0.5]]]).log()
    assert float(output_loss(ours, theirs)) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert float(output_loss(theirs, theirs)) == pytest.approx(0.0)


def test_the_output_loss_is_a_mean_over_bytes_whatever_is_added_to_logits():
    ours, theirs = torch.randn(2, 3, 256), torch.randn(2, 3, 256)
    each = [float(output_loss(ours[b : b + 1, s : s + 1], theirs[b : b + 1, s : s + 1])) for b in range(2) for s in range(3)]
    assert float(output_loss(ours + 7, theirs - 2)) == pytest.approx(sum(each) / 6, rel=1e-4)


def test_the_balance_loss_of_two_layers_is_the_one_worked_by_hand():
    probabilities = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    one_sided, even = torch.tensor([[True, False]] * 2), torch.tensor([[True, False], [False, True]])
    # 2 * 1 * 0.75 = 1.5; 2 * (0.5 * 0.75 + 0.5 * 0.25) = 1.
    assert float(balance_loss([probabilities], [one_sided])) == pytest.approx(1.5)
    assert float(balance_loss([probabilities, probabilities], [one_sided, even])) == pytest.approx(1.25)


def test_stages_train_what_is_theirs_and_nothing_else(teacher):
    before = student_of(teacher)
    without_experts, after = student_of(teacher), student_of(teacher)
    distil(without_experts, teacher, SMALL, 0, config=replace(SHORT, expert_steps=1, expert_rate=1e-12))
    distil(after, teacher, SMALL, 0, config=SHORT)
    for name, weight in after.named_parameters():
        normal = ".experts." in name or ".router." in name
        first = dict(without_experts.named_parameters())[name]
        # The first stage leaves normal experts alone, the second one all else.
        assert torch.allclose(first, dict(before.named_parameters())[name], atol=1e-9) == normal, name
        assert torch.equal(first, weight) != normal, name
        assert weight.requires_grad


def test_distillation_recovers_most_of_what_conversion_lost(teacher):
    student, held = student_of(teacher), held_out(load_corpus(), 8, 32)

    def mean(model, route):
        return sum(cross_entropy_by_domain(model, held, route)) / 6

    dense, cut = mean(teacher, nowhere), mean(student, Chosen(2))
    losses = distil(student, teacher, SMALL, 0, config=DistillationConfig(40, 40))
    assert len(losses) == 80
    distilled, alone = mean(student, Chosen(2)), mean(student, shared_only)
    assert distilled - dense < 0.5 * (cut - dense)
    assert distilled < alone  # the normal experts are of use


def test_the_same_seed_distils_to_the_bit(teacher):
    students = [student_of(teacher) for _ in range(2)]
    losses = [distil(student, teacher, SMALL, 0, config=DistillationConfig(2, 2)) for student in students]
    assert losses[0] == losses[1]
    assert torch.equal(students[0].head.weight, students[1].head.weight)


def test_the_teacher_stays_as_it_is(teacher):
    before = teacher.head.weight.clone()
    distil(student_of(teacher), teacher, SMALL, 0, config=DistillationConfig(2, 1))
    assert torch.equal(teacher.head.weight, before)


def test_terms_are_asked_for_by_the_number_of_the_step_through_both_stages(teacher):
    asked = []

    def terms(step):
        asked.append(step)
        return Terms(features=0.0)

    distil(student_of(teacher), teacher, SMALL, 0, config=DistillationConfig(2, 3), terms=terms)
    assert asked == [0, 1, 2, 3, 4]


def test_a_teacher_that_is_no_number_is_reported_and_not_followed(teacher):
    broken = drawn(SMALL.model)
    with torch.no_grad():
        broken.head.weight.fill_(math.nan)
    with pytest.raises(Invalid, match="diverged: at step 0"):
        distil(student_of(teacher), broken, SMALL, 0)


@pytest.mark.parametrize("terms", [{"output": -1.0}, {"balance": math.nan}, {"features": 101.0}, {"output": 0.0, "features": 0.0}])
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(ValueError, match="weight"):
        Terms(**terms)
