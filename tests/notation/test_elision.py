"""Which comments stand for code that was left out."""

from __future__ import annotations

import pytest

from evolve.notation import EditRefused
from evolve.notation.elision import refuse_elision


@pytest.mark.parametrize(
    "line",
    [
        "# ...",
        "    # … ",
        "// ...",
        "# ... rest of code unchanged",
        "# ... (rest of the code remains the same) ...",
        "# rest of the code",
        "# Rest of the implementation remains unchanged...",
        "// rest of the function",
        "// unchanged",
        "# (unchanged)",
        "# same as before",
        "# existing code here",
        "# ... existing code ...",
        "/* ... remaining methods ... */",
        "<!-- ... same ... -->",
        "-- ... omitted",
        "% ... code here",
        "# remaining code unchanged",
        "# [... previous code ...]",
    ],
)
def test_comments_that_stand_for_code_are_refused(line):
    with pytest.raises(EditRefused, match=r"the text leaves code out: .* Write every line"):
        refuse_elision(["x = 1", line], (), "the text")
    refuse_elision([line], {line.strip()}, "what stood in the parent")


@pytest.mark.parametrize(
    "line",
    [
        "...",
        "    ...",
        "x = a[..., 0]",
        "# the rest of the circles go into the corners",
        "# 1, 2, 4, ...",
        "# for i = 0, 1, ..., n",
        "# try the same step again",
        "# keep existing centres when the move is rejected",
        "print('... rest of code unchanged')",
        "# unchanged centres are skipped",
        "#",
        "#!/bin/sh",
        "",
        "# -----------",
        "# remaining budget in seconds",
    ],
)
def test_remarks_about_the_code_are_not(line):
    refuse_elision([line], (), "the text")
