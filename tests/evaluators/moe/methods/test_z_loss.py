import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import LOAD, MEANS, PROBABILITIES  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import switch, z_loss  # noqa: E402 - they need torch


def test_logits_whose_exponentials_sum_to_one_add_nothing():
    logits = PROBABILITIES.log()[None]
    found = float(z_loss.loss(logits, LOAD[None], MEANS[None]))
    assert found == pytest.approx(float(switch.loss(LOAD[None], MEANS[None])))


def test_the_loss_of_four_tokens_is_the_one_worked_by_hand():
    logits = PROBABILITIES.log()[None] + torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None]
    # Shifts of 0, 1, 2, 3 are the log-partitions; their squares have the mean 3.5, which weighs 0.001 / 0.01. Switch's is 1.475.
    assert float(z_loss.loss(logits, LOAD[None], MEANS[None])) == pytest.approx(1.475 + 0.35)


def test_the_second_term_weighs_its_own_coefficient():
    even = torch.full((1, 4), 0.25)
    logits = torch.full((1, 5, 4), 2.0 - torch.tensor(4.0).log())  # log-partition 2
    total = z_loss.schedule()["coefficient"] * z_loss.loss(logits, even, even)
    assert float(total) == pytest.approx(0.01 * 1 + 0.001 * 4)
