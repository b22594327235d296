import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evolve.errors import ConfigError
from evolve.evaluators.moe.trace import FORMAT, VERSION, Trace, load_trace, save_trace

LOAD = np.arange(24, dtype=np.int32).reshape(3, 2, 4)
META = {
    **{"format": FORMAT, "version": VERSION, "size": "smoke", "method": "switch", "seed": 3, "k": 2, "tokens_per_step": 64},
    "domains": ["code", "prose"],
}


def trace(**more):
    return Trace(**({"load": LOAD, "size": "smoke", "method": "switch", "seed": 3, "k": 2, "tokens_per_step": 64} | more))


@given(arrays.arrays(np.int32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.integers(0, 64)), st.text(), st.booleans())
def test_what_was_saved_is_loaded(tmp_path_factory, load, method, with_domains):
    path = tmp_path_factory.getbasetemp() / "round.npz"
    domains = {"domains": ("code", "prose"), "domain": np.ones((len(load), 4), np.int16)} if with_domains else {}
    save_trace(path, trace(load=load, method=method, k=1, **domains))
    found = load_trace(path)
    assert found.load.dtype == np.int32
    assert (found.load == load).all()
    assert (found.size, found.method, found.seed, found.k, found.tokens_per_step) == ("smoke", method, 3, 1, 64)
    assert found.domains == domains.get("domains", ())
    assert (found.domain == 1).all() if with_domains else found.domain is None


def test_a_trace_is_read_by_numpy_alone(tmp_path):
    save_trace(tmp_path / "a.npz", trace())
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == ["load", "meta"]
        assert json.loads(str(file["meta"])) == META | {"domains": []}


def test_the_same_trace_gives_the_same_bytes_and_replaces_what_was_there(tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    save_trace(first, trace())
    second.write_text("something else")
    save_trace(second, trace())
    assert first.read_bytes() == second.read_bytes()


def test_a_trace_that_could_not_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    save_trace(path, trace())
    before = path.read_bytes()

    def broken(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(OSError, match="disk full"):
        save_trace(path, trace(seed=4))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"load": LOAD.astype(np.int64)}, "must be int32 of shape"),
        ({"load": LOAD[0]}, "got int32 of shape"),
        ({"load": LOAD[:0]}, "must be int32 of shape"),
        ({"load": -LOAD}, r"must lie in \[0, 64\]"),
        ({"tokens_per_step": 22}, r"must lie in \[0, 22\]"),
        ({"k": 5}, "k must lie in"),
        ({"domains": ("code",), "domain": np.ones((3, 2), np.int16)}, r"domain must lie in \[0, 1\)"),
        ({"domains": ("code",), "domain": np.zeros((2, 2), np.int16)}, r"shape \(3, micro-batches\)"),
    ],
)
def test_a_trace_that_contradicts_itself_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        trace(**more)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("[]", "must be a JSON object"),
        ("{", "malformed"),
        (json.dumps(META | {"format": "other"}), "format is"),
        (json.dumps(META | {"version": 2}), "of version 2 and this is read: 1"),
        (json.dumps(META | {"seed": "3"}), "seed in meta must be of type int, got '3'"),
        (json.dumps(META | {"k": True}), "k in meta must be of type int, got True"),
        (json.dumps({name: value for name, value in META.items() if name != "method"}), "method in meta must be of type str"),
        (json.dumps(META | {"domains": "code"}), "domains in meta must be a list of names"),
        (json.dumps(META | {"tokens_per_step": 3}), r"load must lie in \[0, 3\]"),
    ],
)
def test_a_file_with_other_meta_is_refused(tmp_path, meta, message):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, load=LOAD, meta=np.array(meta))
    with pytest.raises(ConfigError, match=message) as caught:
        load_trace(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_trace_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_trace(path)
    for content in (b"", b"PK\x03\x04broken", b"plain text"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="is malformed"):
            load_trace(path)
    np.savez(path, load=LOAD)
    with pytest.raises(ConfigError, match="no array meta"):
        load_trace(path)
    np.savez(path, load=LOAD, meta=np.zeros(3))
    with pytest.raises(ConfigError, match="meta must be a 0-dimensional string"):
        load_trace(path)
    np.savez(path, load=np.array([object()]), meta=np.array(json.dumps(META)))
    with pytest.raises(ConfigError, match="is malformed"):
        load_trace(path)
    with path.open("wb") as file:
        np.save(file, LOAD)
    with pytest.raises(ConfigError, match="a single array"):
        load_trace(path)


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save_trace(path, trace())
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match="is malformed"):
            load_trace(path)


def test_a_file_with_a_damaged_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    save_trace(path, trace())
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(ConfigError):
            assert (load_trace(path).load == LOAD).all()
