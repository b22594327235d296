import hashlib
import tomllib

import pytest

from evolve.errors import EvolveError
from evolve.evaluators.moe.corpus.freeze import MODULES
from evolve.evaluators.moe.corpus.pack import END, PACK, PACK_SHA256, PackContents, SplitText, read_pack, write_pack


def test_the_pack_that_ships_is_the_one_that_the_code_names():
    assert hashlib.sha256(PACK.read_bytes()).hexdigest() == PACK_SHA256
    assert PACK.stat().st_size < 500_000


def test_the_pack_was_made_of_the_modules_listed_from_the_version_named():
    contents = read_pack()
    assert contents.modules == tomllib.loads(MODULES.read_text())
    provenance = PACK.with_name("PROVENANCE.md").read_text()
    assert f"CPython {contents.python}" in provenance
    for text in contents.texts.values():
        assert f"{len(text.training):,} | {len(text.held_out):,}".replace(",", " ") in provenance
    licence = PACK.with_name("PSF-LICENSE.txt").read_text()
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in licence


def test_no_module_is_both_trained_on_and_held_out():
    names = [name for use in read_pack().modules.values() for name in use]
    assert len(names) == len(set(names))


def test_the_texts_are_ascii_documents():
    for text in read_pack().texts.values():
        for part in text:
            assert part.isascii()
            assert part.endswith(END)
            assert b"" not in part[:-1].split(END)


def test_a_pack_reads_back_as_it_was_written(tmp_path):
    contents = PackContents(
        "3.99.0", {"code": ["a", "b/c"]}, {"code": SplitText(b"one\0two\0", b"three\0"), "prose": SplitText(b"", b"x\n\0")}
    )
    assert read_pack(tmp_path / "p", write_pack(tmp_path / "p", contents)) == contents


def test_a_pack_that_was_tampered_with_is_refused(tmp_path):
    changed = bytearray(PACK.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "pack.xz").write_bytes(changed)
    with pytest.raises(EvolveError, match=rf"pack\.xz has sha256 .*expected {PACK_SHA256[:16]}.*install evolve-platform again"):
        read_pack(tmp_path / "pack.xz")


def test_a_pack_that_is_missing_is_named(tmp_path):
    with pytest.raises(EvolveError, match=r"cannot read the corpus .*gone\.xz: No such file.*install"):
        read_pack(tmp_path / "gone.xz")
