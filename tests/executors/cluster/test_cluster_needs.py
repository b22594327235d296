import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evolve.errors import TaskError
from evolve.executors.cluster.needs import Needs
from evolve.program import Limits, Task

#: Ray counts in ten-thousandths.
GRAIN = 10_000


def task(resources=(), **limits):
    return Task("t", {"a.py": "x = 1\n"}, limits=Limits(**limits), resources=dict(resources))


def test_needs_are_what_limits_and_resources_say():
    needs = Needs.of(task({"oven": 0.5}, cpus=2, gpus=0.25, memory_mb=512))
    assert needs == Needs(2, 0.25, 512 * 2**20, {"oven": 0.5})
    assert needs.by_name() == {"CPU": 2, "GPU": 0.25, "memory": 512.0 * 2**20, "oven": 0.5}
    assert needs.text() == "cpus 2, gpus 0.25, memory 512 MB, oven 0.5"


def test_what_is_not_needed_is_not_asked_for():
    assert Needs.of(task(memory_mb=1)).by_name() == {"CPU": 1, "memory": 2.0**20}


@pytest.mark.parametrize("gpus", [0.0, 0.1, 0.5, 1.0, 2.0, 8.0])
def test_parts_of_one_accelerator_and_whole_ones_can_be_had(gpus):
    assert Needs.of(task(gpus=gpus)).gpus == gpus


@pytest.mark.parametrize("gpus", [1.5, 1.0001, 2.25])
def test_parts_of_several_accelerators_cannot(gpus):
    with pytest.raises(TaskError, match=r"limits\.gpus = .*parts of one accelerator, or whole ones"):
        Needs.of(task(gpus=gpus))


@pytest.mark.parametrize(
    ("needs", "resources", "held"),
    [
        (Needs(1.0), {"CPU": 4.0}, 4),
        (Needs(2.0), {"CPU": 5.0}, 2),
        (Needs(1.0, memory_bytes=2**30), {"CPU": 64.0, "memory": 3.5 * 2**30}, 3),
        (Needs(1.0, gpus=1), {"CPU": 64.0}, 0),
        (Needs(1.0, custom={"oven": 1}), {"CPU": 64.0, "oven": 2.0}, 2),
        (Needs(1.0, custom={"oven": 1}), {"CPU": 64.0}, 0),
        (Needs(1.0, custom={"oven": 0.1}), {"CPU": 64.0, "oven": 0.3}, 3),  # 0.3 / 0.1 is a hair short of 3
        (Needs(0.3333), {"CPU": 1.0}, 3),
        (Needs(1.0), {}, 0),
        (Needs(0.0), {"CPU": 4.0}, 0),
    ],
)
def test_a_node_holds_as_many_as_its_scarcest_resource_allows(needs, resources, held):
    assert needs.held_by(resources) == held


def test_parts_of_an_accelerator_are_parts_of_the_same_one():
    # Two of 0.4 fit on each of three accelerators; the fifths that are left over do not add up.
    assert Needs(1.0, gpus=0.4).held_by({"CPU": 64.0, "GPU": 3.0}) == 6
    assert Needs(1.0, gpus=0.6).held_by({"CPU": 64.0, "GPU": 2.0}) == 2
    assert Needs(1.0, gpus=0.1).held_by({"CPU": 64.0, "GPU": 2.0}) == 20


grains = st.integers(1, 10**7)


@given(
    st.dictionaries(st.sampled_from(["CPU", "oven", "licence"]), grains, min_size=1),
    st.dictionaries(st.sampled_from(["CPU", "oven", "licence"]), grains),
)
def test_a_node_is_never_overcommitted_nor_left_with_room_for_another(needed, there):
    needs = Needs(needed.get("CPU", 0) / GRAIN, custom={name: n / GRAIN for name, n in needed.items() if name != "CPU"})
    held = needs.held_by({name: amount / GRAIN for name, amount in there.items()})
    assert all(held * amount <= there.get(name, 0) for name, amount in needed.items())
    assert any((held + 1) * amount > there.get(name, 0) for name, amount in needed.items())


@given(st.integers(1, 2**40), st.integers(0, 2**45))
def test_memory_is_never_overcommitted(needed, there):
    assume(there / needed < 2**20)
    held = Needs(0.0, memory_bytes=needed).held_by({"memory": float(there)})
    assert held == there // needed or (held == there // needed + 1 and (held * needed - there) / needed < 1e-5)
