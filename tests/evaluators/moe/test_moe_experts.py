import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import one_thread  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.moe.experts import Experts, Grouped, padded  # noqa: E402 - it needs torch

WIDTH, HIDDEN = 6, 8
SHARES = {
    "equal": (1.0, 1.0, 1.0),
    "unequal": (1.0, 0.5, 0.25, 1.0),
    "null": (1.0, 1.0, 0.0, 0.0),
    "unequal and null": (0.5, 1.0, 0.25, 0.0),
    "null ones in between": (0.0, 1.0, 0.0, 0.5),
    "one": (1.0,),
}


def made(shares, seed=0):
    """Experts in double precision, so that sums in another order agree to many digits."""
    experts = Experts(WIDTH, HIDDEN, shares)
    experts.initialise(torch.Generator().manual_seed(seed), depth=2)
    return experts.double()


def routed(n_experts, tokens=10, seed=1, chance=0.4):
    """Inputs, and weights for a random choice of experts: any number per token."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, WIDTH, generator=generator, dtype=torch.float64)
    mask = torch.rand(tokens, n_experts, generator=generator) < chance
    return x, torch.rand(tokens, n_experts, generator=generator, dtype=torch.float64) * mask, mask


def slow(experts, x, weights, mask):
    """Token by token, expert by expert."""
    rows = []
    for token in range(len(x)):
        total, real = torch.zeros(WIDTH, dtype=x.dtype), 0
        for expert, units in enumerate(experts.hidden):
            if units and mask[token, expert]:
                hidden = torch.nn.functional.gelu(x[token] @ experts.w_in[real][:, :units])
                total = total + weights[token, expert] * (hidden @ experts.w_out[real][:units])
            real += units > 0
        rows.append(total)
    return torch.stack(rows)


def answer_and_gradients(function, experts, x, weights, mask):
    """What a function answers, and the gradients of some sum of that by everything there is."""
    x, weights = x.clone().requires_grad_(), weights.clone().requires_grad_()
    answer = function(x, weights, mask)
    some = torch.arange(answer.numel(), dtype=x.dtype).view_as(answer).sin()
    wanted = [x, weights, experts.w_in, experts.w_out]
    # A path through no expert at all gives torch nothing to differentiate.
    gradients = torch.autograd.grad((answer * some).sum() + 0 * sum(one.sum() for one in wanted), wanted)
    return answer.detach(), gradients


def assert_alike(one, other):
    torch.testing.assert_close(one[0], other[0], rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def in_one_batch(experts):
    """The accelerator's way, on the processor."""

    def forward(x, weights, mask):
        real = [column for column, units in enumerate(experts.hidden) if units]
        units = [experts.hidden[column] for column in real]
        expert, token = mask[:, real].t().nonzero().unbind(1)
        sizes = torch.bincount(expert, minlength=len(real)).tolist()
        answers = padded(x[token], experts.w_in, experts.w_out, (expert, sizes, units))
        return torch.zeros_like(x).index_add(0, token, answers * weights[:, real][token, expert].unsqueeze(1))

    return forward


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_answers_and_all_gradients_are_those_of_the_slow_version(shares):
    experts = made(shares)
    case = routed(len(shares))
    expected = answer_and_gradients(lambda *given: slow(experts, *given), experts, *case)
    assert_alike(answer_and_gradients(experts, experts, *case), expected)
    assert_alike(answer_and_gradients(in_one_batch(experts), experts, *case), expected)


@settings(deadline=None, max_examples=15)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), tokens=st.integers(1, 12), chance=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_one_after_the_other_and_in_one_batch_agree_for_any_choice(seed, tokens, chance):
    experts = made(SHARES["unequal and null"], seed)
    case = routed(4, tokens, seed, chance)
    assert_alike(answer_and_gradients(experts, experts, *case), answer_and_gradients(in_one_batch(experts), experts, *case))


@pytest.mark.parametrize("of_all", [False, True])
def test_an_expert_without_tokens_changes_nothing_and_learns_nothing(of_all):
    experts = made(SHARES["equal"])
    x, weights, mask = routed(3, chance=1.0)
    mask[:, slice(None) if of_all else 1] = False
    answer, (_, d_weights, d_in, d_out) = answer_and_gradients(experts, experts, x, weights * mask, mask)
    assert answer.any() == (not of_all)
    assert not d_weights[:, 1].any()
    assert not d_in[1].any()
    assert not d_out[1].any()
    assert d_in[0].any() == (not of_all)


def test_tokens_of_null_experts_alone_get_nothing():
    experts = made(SHARES["null"])
    x, weights, mask = routed(4, chance=1.0)
    mask[::2, :2] = False
    answer, (d_x, d_weights, _, _) = answer_and_gradients(experts, experts, x, weights * mask, mask)
    assert not answer[::2].any()
    assert answer[1::2].all()
    assert not d_x[::2].any()
    # Nothing is learned from the weight of what is not there.
    assert not d_weights[:, 2:].any()


def test_null_experts_have_no_weights_and_narrow_ones_use_only_their_part():
    experts = made(SHARES["unequal and null"])
    assert experts.hidden == [4, 8, 2, 0]
    assert experts.w_in.shape == (3, WIDTH, HIDDEN)
    x, weights, mask = routed(4, chance=1.0)
    _, (_, _, d_in, d_out) = answer_and_gradients(experts, experts, x, weights, mask)
    for expert, units in enumerate((4, 8, 2)):
        assert d_in[expert, :, :units].all()
        assert not d_in[expert, :, units:].any()
        assert d_out[expert, :units].all()
        assert not d_out[expert, units:].any()


def test_torch_finds_the_gradients_right_by_differences():
    experts = made(SHARES["unequal"])
    x, weights, mask = routed(4, tokens=3)
    expert, token = mask.t().nonzero().unbind(1)
    sizes = torch.bincount(expert, minlength=4).tolist()
    wanted = [x, weights[token, expert], experts.w_in.detach(), experts.w_out.detach()]
    assert torch.autograd.gradcheck(
        lambda *inputs: Grouped.apply(*inputs, (token, sizes, experts.hidden)), [one.clone().requires_grad_() for one in wanted]
    )


def test_answers_do_not_depend_on_the_order_of_tokens():
    experts = made(SHARES["unequal"])
    x, weights, mask = routed(4)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(experts(x[order], weights[order], mask[order]), experts(x, weights, mask)[order])
