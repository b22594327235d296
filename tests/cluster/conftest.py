import pytest
from ray_kit import RayCluster, environment


@pytest.fixture(scope="session")
def cluster():
    """A cluster of two nodes on this machine, which nobody harms."""
    with RayCluster("--num-cpus=3") as started:
        started.add_node("--num-cpus=3", '--resources={"other": 3}')
        with environment(started.tokens):
            yield started
