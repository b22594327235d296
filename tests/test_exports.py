import ast
from pathlib import Path

import evolve


def test_every_public_name_can_be_had():
    for name in evolve.__all__:
        assert getattr(evolve, name) is not None


def test_lazy_homes_agree_with_the_imports_that_checkers_see():
    tree = ast.parse(Path(evolve.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == evolve._HOMES
    assert sorted(seen) == evolve.__all__ == dir(evolve)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(evolve, "population")
