from evolve.evaluators.moe.methods.catalog import METHODS


def test_it_leaves_every_hook_to_the_trainer():
    assert METHODS["none"].hooks == ()
