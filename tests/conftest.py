"""Fixtures that several folders of tests share."""

import pytest

try:
    import evolve.archive
except ModuleNotFoundError as error:
    raise pytest.UsageError("evolve is not installed: run `make test`, or `pip install -e '.[dev]'` first") from error
