import numpy as np
import pytest

from evolve.evaluators.placement.figures import draw_gaps, draw_gpu_loads

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (58, 32), (3, 256)])
def test_loads_of_every_size_are_drawn(tmp_path, shape):
    rng = np.random.default_rng(0)
    before, after = rng.lognormal(0, 0.5, shape), rng.lognormal(0, 0.05, shape)
    path = tmp_path / "loads.png"
    after *= before.sum(1, keepdims=True) / after.sum(1, keepdims=True)
    draw_gpu_loads(str(path), before, after, after.mean(1))
    assert path.read_bytes().startswith(PNG)


def test_gpus_without_load_are_drawn(tmp_path):
    draw_gpu_loads(str(tmp_path / "loads.png"), np.zeros((2, 4)), np.zeros((2, 4)), np.zeros(2), "no tokens")
    assert (tmp_path / "loads.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("windows", [1, 20, 200])
def test_gaps_of_either_sign_are_drawn(tmp_path, windows):
    rng = np.random.default_rng(0)
    path = tmp_path / "gaps.png"
    draw_gaps(str(path), rng.normal(0.05, 0.1, windows), rng.exponential(0.02, windows))
    assert path.read_bytes().startswith(PNG)


def test_loads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 4\), \(2, 3\) and \(2,\)"):
        draw_gpu_loads("never.png", np.ones((2, 4)), np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="after must be finite"):
        draw_gpu_loads("never.png", np.ones((1, 2)), np.array([[1, np.nan]]), np.ones(1))
    with pytest.raises(ValueError, match="the same load in each layer"):
        draw_gpu_loads("never.png", np.ones((1, 2)), np.full((1, 2), 1.1), np.ones(1))
    with pytest.raises(ValueError, match=">= 0"):
        draw_gpu_loads("never.png", np.ones((1, 2)), -np.ones((1, 2)), np.ones(1))


def test_gaps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(windows,\), got \(3,\) and \(2,\)"):
        draw_gaps("never.png", np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="packing must be finite"):
        draw_gaps("never.png", np.zeros(2), np.array([0, np.inf]))
