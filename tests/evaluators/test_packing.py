import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.base import Invalid
from evolve.evaluators.packing import REPAIRABLE, check_packing, split_answer

GRID = [(0.1 + 0.2 * i, 0.1 + 0.2 * j) for i in range(5) for j in range(5)] + [(0.2, 0.2)]
GRID_RADII = np.array([0.1] * 25 + [0.1 * (math.sqrt(2) - 1)])
#: 2.4 + 0.1 * sqrt(2), the most that circles at these places can have: 24 of them pair up into 12 touching pairs.
GRID_SUM = 2.4 + 0.1 * math.sqrt(2)


def assert_proven(report) -> None:
    """Checks a packing with fractions, pair by pair: the slow obvious version."""
    circles = [
        (Fraction(x), Fraction(y), Fraction(r)) for (x, y), r in zip(report.centers.tolist(), report.radii.tolist(), strict=True)
    ]
    for index, (x, y, r) in enumerate(circles):
        assert 0 <= r <= min(x, y, 1 - x, 1 - y)
        for other_x, other_y, other_r in circles[:index]:
            assert (x - other_x) ** 2 + (y - other_y) ** 2 >= (r + other_r) ** 2


def test_the_sum_is_recomputed_from_the_radii():
    report = check_packing([[0.25, 0.25], [0.75, 0.75]], [0.25, 0.125], 2)
    assert (report.sum_of_radii, report.raw_sum, report.violation, report.repaired) == (0.375, 0.375, 0.0, False)


def test_circles_that_touch_exactly_are_left_alone():
    report = check_packing([[0.25, 0.5], [0.75, 0.5]], [0.25, 0.25], 2)
    assert report.radii.tolist() == [0.25, 0.25]


def test_one_unit_in_the_last_place_too_large_is_repaired():
    report = check_packing([[0.25, 0.5], [0.75, 0.5]], [math.nextafter(0.25, 1), 0.25], 2)
    assert report.repaired
    assert report.sum_of_radii <= 0.5
    assert_proven(report)


def test_a_wall_that_rounding_hides_is_found():
    # 1 - x rounds up here: r = fl(1 - x) reaches past the wall by less than a double can show.
    x = 0.1 + 2.0**-57
    assert Fraction(1.0 - x) + Fraction(x) != 1
    for place in (x, 0.3, 0.7, 1 - 2.0**-53, 2.0**-60):
        assert_proven(check_packing([[place, 0.5]], [min(place, 1.0 - place)], 1))


@pytest.mark.parametrize("excess", [0.0, 1e-16, 1e-12, 1e-7, 1e-5, 4e-4])
def test_harvesting_the_tolerance_gains_nothing(excess):
    report = check_packing(GRID, GRID_RADII + excess, 26)
    assert report.sum_of_radii <= GRID_SUM
    # All that repair takes away beyond the excess itself, 4 contacts a circle.
    assert report.sum_of_radii >= GRID_SUM - 26 * 4 * excess - 1e-14
    assert_proven(report)


def test_repair_shrinks_both_circles_alike():
    report = check_packing([[0.25, 0.5], [0.5, 0.5]], [0.1254, 0.125], 2)
    assert report.radii == pytest.approx([0.1252, 0.1248], abs=1e-15)
    assert report.violation == pytest.approx(4e-4)


def test_repair_never_makes_a_radius_negative():
    report = check_packing([[0.5, 0.5], [0.5, 0.5]], [1e-9, 9e-4], 2)
    assert report.radii.tolist() == [0.0, 0.0]
    assert_proven(report)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-15, 1e-9, 1e-4]), st.integers(1, 12))
def test_whatever_scores_is_proven(seed, excess, n):
    rng = np.random.default_rng(seed)
    centers = rng.choice([rng.random((n, 2)), rng.integers(0, 17, (n, 2)) / 16], axis=0)
    distances = np.hypot(*(centers[:, None] - centers).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    report = check_packing(centers, np.minimum(walls, distances.min(axis=1) / 2) + excess, n)
    assert_proven(report)
    assert report.sum_of_radii <= report.raw_sum


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=6))
def test_any_doubles_are_refused_or_proven(circles):
    try:
        report = check_packing([circle[:2] for circle in circles], [circle[2] for circle in circles], len(circles))
    except Invalid:
        return
    assert_proven(report)


def test_a_deep_overlap_names_the_pair():
    with pytest.raises(Invalid, match=r"circles 0 and 2 overlap by 0\.1"):
        check_packing([[0.2, 0.5], [0.8, 0.5], [0.4, 0.5]], [0.15, 0.1, 0.15], 3)


def test_a_circle_far_past_a_wall_is_named():
    with pytest.raises(Invalid, match=r"circle 1 at \(0\.5, 0\.9\).*passes a wall by 0\.1"):
        check_packing([[0.2, 0.2], [0.5, 0.9]], [0.1, 0.2], 2)


def test_what_is_repaired_ends_at_the_limit():
    with pytest.raises(Invalid, match="passes a wall"):
        check_packing([[0.5, 0.5]], [0.5 + 1.01 * REPAIRABLE], 1)
    assert check_packing([[0.5, 0.5]], [0.5 + 0.99 * REPAIRABLE], 1).sum_of_radii == 0.5


@pytest.mark.parametrize("center", [(1.0000001, 0.5), (0.5, -1e-300)])
def test_a_centre_outside_the_square_is_named(center):
    with pytest.raises(Invalid, match="centre of circle 0 lies outside"):
        check_packing([center], [0.0], 1)


def test_a_negative_radius_is_named():
    with pytest.raises(Invalid, match="circle 1 has a negative radius"):
        check_packing([[0.2, 0.2], [0.8, 0.8]], [0.1, -1e-9], 2)


class Liar(float):
    def __lt__(self, other):
        return False


class LiarArray(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("centers", "radii", "complaint"),
    [
        ([[0.5, math.nan]], [0.1], r"centers\[0, 1\] is nan"),
        ([[0.5, 0.5]], [math.inf], r"radii\[0\] is inf"),
        ([[0.5, 0.5]], [10**400], r"radii\[0\] is too large"),
        ([[0.5, 0.5]], ["0.1"], r"radii\[0\] must be a number, got str"),
        ([[0.5, 0.5]], [True], "got bool"),
        ([[0.5, 0.5]], [Liar(0.1)], "got Liar"),
        ([[0.5, 0.5]], [None], "got NoneType"),
        ([[0.5, 0.5]], [0.1 + 0j], "got complex"),
        ([[0.5, 0.5]], [[0.1]], "got list"),
        ([[0.5, 0.5]], [0.1, 0.1], "radii must have 1 items, got 2"),
        ([[0.5, 0.5]], 0.1, "radii must be an array or nested lists"),
        ([[0.5, 0.5]], {0: 0.1}, "got dict"),
        ([[0.5]], [0.1], r"centers\[0\] must have 2 items, got 1"),
        (np.array([[0.5, 0.5]]), np.array([0.1 + 0j]), "complex128"),
        (np.array([[0.5, 0.5]]), np.array([True]), "bool"),
        (np.array([[0.5, 0.5]]), np.array(["0.1"]), "real numbers"),
        (np.array([[0.5, 0.5]]), np.array([0.1], dtype=object), "object"),
        (np.array([[0.5, 0.5]]), np.array([[0.1]]), r"shape \(1,\), got \(1, 1\)"),
        (np.array([0.5, 0.5]), np.array([0.1]), r"shape \(1, 2\), got \(2,\)"),
        (np.array([[0.5, 0.5]]).view(LiarArray), np.array([0.1]), "got LiarArray"),
        (np.ma.array([[0.5, 0.5]]), np.array([0.1]), "got MaskedArray"),
    ],
)
def test_what_is_no_plain_real_array_is_refused(centers, radii, complaint):
    with pytest.raises(Invalid, match=complaint):
        check_packing(centers, radii, 1)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.longdouble])
def test_other_real_types_are_read(kind):
    assert check_packing(np.array([[0.5, 0.5]], kind), np.array([0.25], kind), 1).sum_of_radii == 0.25


def test_integers_and_mixed_nesting_are_read():
    assert check_packing([np.array([0.5, 0.5]), (1, 0)], (0.25, 0), 2).sum_of_radii == 0.25


def test_what_the_program_holds_is_not_touched():
    radii = GRID_RADII + 1e-7
    before = radii.copy()
    check_packing(np.array(GRID), radii, 26)
    assert (radii == before).all()


@pytest.mark.parametrize("answer", [(1, 2), [1, 2], (1, 2, 99.0)])
def test_a_third_item_is_ignored(answer):
    assert split_answer(answer) == (1, 2)


@pytest.mark.parametrize("answer", [None, 2.7, (1,), (1, 2, 3, 4), "ab", {"centers": 1, "radii": 2}])
def test_an_answer_that_is_no_pair_is_refused(answer):
    with pytest.raises(Invalid, match="expected"):
        split_answer(answer)


def test_the_text_says_where_the_room_is():
    text = check_packing([[0.25, 0.25], [0.75, 0.75]], [0.25, 0.125], 2, best_known=0.6).text
    assert "0.225000000000 to go" in text
    assert "1 circles touch a wall; 0 pairs of circles touch" in text
    assert "1 circles touch nothing and could grow where they are: 1 (by 0.125)" in text
    assert "Repaired" not in text


def test_the_text_says_what_was_repaired():
    text = check_packing(GRID, GRID_RADII + 1e-5, 26).text
    assert "Repaired: the deepest overlap was 2e-05" in text


def test_metrics_are_plain_finite_numbers():
    metrics = check_packing(GRID, GRID_RADII, 26).metrics
    assert all(type(value) is float and math.isfinite(value) for value in metrics.values())
    assert metrics["smallest_radius"] == pytest.approx(0.0414213562)


def test_the_picture_is_a_png(tmp_path):
    path = tmp_path / "packing.png"
    check_packing(GRID, GRID_RADII, 26, best_known=2.6).draw(str(path))
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_single_circle_can_be_described_and_drawn(tmp_path):
    report = check_packing([[0.5, 0.5]], [0.5], 1)
    assert "Sum of radii 0.5" in report.text
    report.draw(str(tmp_path / "one.png"))
