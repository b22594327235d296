"""Lets the tests of this folder import `benchmarks`, which is no part of the installed package."""

import sys
from pathlib import Path

# Appended: nothing at the root may take the place of what is installed.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.landscapes import __main__ as command
from benchmarks.landscapes import base, catalog, driver, reserved, scripted, text

__all__ = ["ALL", "base", "catalog", "command", "driver", "reserved", "scripted", "text"]

#: Every landscape's name, the reserved ones among them.
ALL = [*catalog.LANDSCAPES, *catalog.RESERVED]
