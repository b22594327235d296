import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import one_thread  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.moe import apart  # noqa: E402 - see above


def inputs():
    generator = torch.Generator().manual_seed(0)
    x, y, bias = (torch.randn(3, 4, generator=generator) for _ in range(3))
    return {"x": x.requires_grad_(), "y": y.requires_grad_(), "bias": bias}


def hook(given):
    return given["x"] * given["y"] + given["bias"], given["x"].exp()


def test_answers_and_gradients_are_those_of_torch():
    mine, theirs = inputs(), inputs()
    for function, given in ((lambda: apart.call(hook, mine, ["x", "y"]), mine), (lambda: hook(theirs), theirs)):
        first, second = function()
        (first.sin() + 2 * second).sum().backward()
        given["answers"] = first, second
    for name in ("x", "y"):
        torch.testing.assert_close(mine[name].grad, theirs[name].grad)
    assert all(torch.equal(*pair) for pair in zip(mine["answers"], theirs["answers"], strict=True))


def test_only_what_is_to_be_differentiated_gets_gradients():
    given = inputs()
    apart.call(hook, given, ["x"])[0].sum().backward()
    assert given["x"].grad is not None
    assert given["y"].grad is None


def test_what_no_output_depends_on_has_gradient_zero():
    given = inputs()
    apart.call(hook, given, ["x", "y"])[1].sum().backward()
    assert torch.equal(given["y"].grad, torch.zeros(3, 4))
    given = inputs()
    constant, answer = apart.call(lambda found: (torch.ones(2), found["x"]), given, ["x"])
    (constant.sum() + answer.sum()).backward()
    assert torch.equal(given["x"].grad, torch.ones(3, 4))


def test_a_loss_is_differentiated_at_once_and_may_be_gone_back_through_twice():
    given, seen = inputs(), []

    def loss(found):
        seen.append(torch.is_grad_enabled())
        return ((found["x"] * found["y"]).sum(),)

    (value,) = apart.call_loss(loss, given, ["x", "y"])
    for _ in range(2):
        (gradient,) = torch.autograd.grad(0.5 * value, [given["x"]], retain_graph=True)
        assert torch.equal(gradient, 0.5 * given["y"])
    assert seen == [True]


def test_a_constant_loss_has_gradient_zero():
    given = inputs()
    (value,) = apart.call_loss(lambda _: (torch.tensor(3.0),), given, ["x"])
    value.backward()
    assert torch.equal(given["x"].grad, torch.zeros(3, 4))


def test_where_no_gradients_are_wanted_none_are_prepared():
    seen = []

    def noting(found):
        seen.append(torch.is_grad_enabled())
        return (found["x"] * 2,)

    # As in an evaluation, where nothing that comes from the model wants any.
    (answer,) = apart.call(noting, {"x": inputs()["x"].detach()}, ["x"])
    assert not answer.requires_grad
    assert seen == [False]
