import pytest
from make_golden import FOLDER, texts

TEXTS = texts()


def test_there_are_no_other_golden_prompts():
    assert {path.name for path in FOLDER.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_prompts_are_as_they_were_read_and_approved(name):
    assert TEXTS[name] == (FOLDER / name).read_text(encoding="utf-8"), "if meant, run: python tests/prompts/make_golden.py"
