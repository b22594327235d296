import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.moe.balancer import Balancer, Schedule  # noqa: E402 - it needs torch
from evolve.evaluators.moe.corpus import load_corpus  # noqa: E402 - after what may skip
from evolve.evaluators.moe.measuring import HeldOut, held_out, measure  # noqa: E402 - see above
from evolve.evaluators.moe.router import Pass  # noqa: E402 - see above

LENGTH = TINY.model.length
TEXT = HeldOut(np.array([0, 1, 0, 1, 0, 1]), np.arange(6 * (LENGTH + 1)).reshape(6, LENGTH + 1).astype(np.uint8))


def looked_at(batch, source=""):
    """Measures a model whose loss of a sequence is its first byte, and whose router likes the expert of the byte modulo 4."""
    balancer = Balancer(written(source), TINY.model)
    asked = []

    def look(start, tokens):
        asked.append((start, tokens))
        routing = Pass(balancer, Schedule((2, 2), 0.0), 0, training=False, generator=torch.Generator())
        favourite = torch.nn.functional.one_hot(tokens[:, :-1].flatten() % 4, balancer.experts)
        for layer in range(2):
            routing(layer, 3.0 * favourite + torch.linspace(0, 1, balancer.experts))
        return tokens[:, 0].float(), routing

    return measure(TEXT, TINY, batch, look), asked


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6, 7])
def test_what_fills_up_the_last_batch_is_not_counted(batch):
    found, asked = looked_at(batch)
    assert all(len(tokens) == batch for _, tokens in asked)
    assert [start for start, _ in asked] == list(range(0, 6, batch))
    # First bytes are 0, 17, 34, ...: of domain 0 sequences 0, 2, 4.
    assert found.cross_entropy == ((0 + 34 + 68) / 3, (17 + 51 + 85) / 3)
    assert found.mean_cross_entropy == 42.5
    assert found.counts.shape == (2, 2, 4)
    assert found.counts.sum() == 6 * LENGTH * 2 * 2
    assert np.array_equal(found.counts, looked_at(6)[0].counts)


def test_counts_are_of_each_domain():
    found, _ = looked_at(4)
    for domain in (0, 1):
        bytes_ = TEXT.tokens[TEXT.domains == domain, :-1].ravel() % 4
        # The favourite; and beside it the last expert, or the one before where that is the favourite.
        expected = np.bincount(bytes_, minlength=4) + np.array([0, 0, (bytes_ == 3).sum(), (bytes_ != 3).sum()])
        assert np.array_equal(found.counts[domain], [expected, expected])


def test_only_experts_that_compute_are_counted_and_paid():
    source = "def cost(widths): return [*widths, 0.0, 0.0]"
    found, _ = looked_at(3, source)
    assert found.counts.shape == (2, 2, 4)
    # Beside its favourite every token takes the last null expert.
    assert found.active == pytest.approx(0.5)
    assert looked_at(3)[0].active == 1.0


def test_certainty_of_the_router_is_measured():
    found, _ = looked_at(2)
    spread = torch.linspace(0, 1, 4)
    margins, entropies = [], []
    for favourite in (TEXT.tokens[:, :-1].ravel() % 4).tolist():
        gates = (3.0 * torch.eye(4)[favourite] + spread).softmax(-1)
        ordered = sorted(gates.tolist(), reverse=True)
        margins.append(ordered[1] - ordered[2])
        entropies.append(-sum(gate * math.log(gate) for gate in ordered) / math.log(4))
    assert found.margin == pytest.approx(np.mean(margins), abs=1e-6)
    assert found.router_entropy == pytest.approx(np.mean(entropies), abs=1e-6)


def test_a_token_that_takes_all_experts_has_no_margin():
    balancer = Balancer(written(""), TINY.model)

    def look(start, tokens):
        routing = Pass(balancer, Schedule((4, 4), 0.0), 0, training=False, generator=torch.Generator())
        for layer in range(2):
            routing(layer, torch.zeros(tokens[:, :-1].numel(), 4))
        return torch.zeros(len(tokens)), routing

    found = measure(TEXT, TINY, 2, look)
    assert (found.margin, found.active) == (0.0, 2.0)
    assert found.router_entropy == pytest.approx(1.0)


def test_held_out_text_comes_from_all_domains_by_turns():
    corpus = load_corpus()
    found = held_out(corpus, 2, 8)
    assert found.domains.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert found.tokens.shape == (12, 9)
    for domain, name in enumerate(corpus.domains):
        assert np.array_equal(found.tokens[domain::6], corpus.held_out(name, 2, 8))
