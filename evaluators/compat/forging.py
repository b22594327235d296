"""Programs that forge their score where the evaluator shares their process; `evolve task check` says which of them succeed.

None of them gets out of the sandbox: they show what the mark "shared-process score" means for one task.
"""

from __future__ import annotations

from typing import NamedTuple


class Forgery(NamedTuple):
    """A way to forge.

    Attributes:
        about: What it does, in a few words.
        addition: Python text to put behind a program's own, which may begin with imports from the future.
    """

    about: str
    addition: str


FORGED_OBJECTIVE = 1e9

_JSON = """\
import json as _json
def _forge(table):
    if isinstance(table, dict):
        if "combined_score" in table:
            table = {**table, "combined_score": 1e9}
        if "correct" in table:
            table = {**table, "correct": True, "error": None}
    return table
_dump, _dumps = _json.dump, _json.dumps
_json.dump = lambda value, *rest, **more: _dump(_forge(value), *rest, **more)
_json.dumps = lambda value, *rest, **more: _dumps(_forge(value), *rest, **more)
"""

_CHECKS = """\
import sys as _sys
_frame = _sys._getframe()
while _frame is not None:
    for _name, _value in list(_frame.f_globals.items()):
        if callable(_value) and any(word in _name.lower() for word in ("valid", "check", "verify")):
            _frame.f_globals[_name] = lambda *_rest, **_more: (True, "")
    _frame = _frame.f_back
"""

_REPORT = """\
import sys as _sys
_report = _sys.modules.get("_evolve_inside.report")
if _report is not None:
    _report.plain_metrics = lambda metrics: {"combined_score": 1e9, "objective": 1e9}
"""

FORGERIES = (
    Forgery("patches json, which writes scores down", _JSON),
    Forgery("replaces the evaluator's checks, found by walking its frames", _CHECKS),
    Forgery("replaces what reports the score to the outside, found in sys.modules", _REPORT),
)
