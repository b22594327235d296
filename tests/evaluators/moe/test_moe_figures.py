import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evolve.evaluators.moe.figures import FrontPoint, draw_front, draw_loads
from evolve.intervals import Interval
from evolve.labels import Box, place_labels

PNG = b"\x89PNG\r\n\x1a\n"


def point(name, x, y, *, studied=False):
    return FrontPoint(name, Interval(y, y - 0.01, y + 0.02), Interval(x, x - 0.02, x + 0.01), studied)


def a_figure():
    figure = Figure(figsize=(8, 6), dpi=100)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def placed(places, names):
    axes = a_figure()
    axes.plot(*places.T, "o")
    axes.margins(0.15)
    axes.figure.canvas.draw()
    bars = np.stack([places, places], 2)
    return axes, place_labels(axes, names, places, bars, ["black"] * len(names))


@pytest.mark.parametrize("shape", [(1, 1, 1), (100, 2, 8), (1000, 3, 64)])
def test_loads_of_every_size_are_drawn(tmp_path, shape):
    path = tmp_path / "loads.png"
    draw_loads(str(path), np.random.default_rng(0).integers(0, 50, shape, dtype=np.int32))
    assert path.read_bytes().startswith(PNG)


def test_loads_of_nothing_at_all_are_drawn(tmp_path):
    draw_loads(str(tmp_path / "loads.png"), np.zeros((4, 2, 8), np.int32), "no tokens")
    assert (tmp_path / "loads.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("shape", [(4, 8), (0, 2, 8)])
def test_loads_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="must be of shape"):
        draw_loads("never.png", np.zeros(shape, np.int32))


@pytest.mark.parametrize("n", [1, 2, 24])
def test_a_front_of_any_number_of_methods_is_drawn(tmp_path, n):
    rng = np.random.default_rng(1)
    points = [point(f"method {k}", *rng.normal(1, 0.1, 2), studied=k == 0) for k in range(n)]
    draw_front(str(tmp_path / "front.png"), points)
    assert (tmp_path / "front.png").read_bytes().startswith(PNG)


def test_fronts_of_no_points_or_of_failures_are_refused():
    with pytest.raises(ValueError, match="no points"):
        draw_front("never.png", [])
    with pytest.raises(ValueError, match="must be finite"):
        draw_front("never.png", [point("one", float("nan"), 1.0)])


def test_no_name_lies_on_another_or_on_a_marker_or_outside():
    places = np.random.default_rng(2).normal(0, 1, (24, 2))
    axes, boxes = placed(places, [f"a name of length {k}" for k in range(24)])
    frame = Box(*axes.get_window_extent().extents)
    for k, box in enumerate(boxes):
        assert box.overlap(frame) == pytest.approx(box.area)
        assert all(box.overlap(other) == 0 for other in boxes[:k])
        for x, y in axes.transData.transform(places):
            assert not (box.left < x < box.right and box.bottom < y < box.top)


def test_names_of_points_in_one_place_are_parted():
    _, boxes = placed(np.zeros((8, 2)), [f"method {k}" for k in range(8)])
    assert all(box.overlap(other) == 0 for k, box in enumerate(boxes) for other in boxes[:k])


def test_names_are_drawn_where_they_were_placed(tmp_path):
    axes, boxes = placed(np.array([[0.0, 0.0], [1.0, 1.0]]), ["one", "two"])
    axes.figure.savefig(tmp_path / "labels.png")
    for text, box in zip(axes.texts, boxes, strict=True):
        drawn = Box(*text.get_window_extent().extents)
        assert drawn.overlap(box) > 0.8 * box.area
