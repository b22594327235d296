import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evolve.errors import ConfigError
from evolve.evaluators.moe.trace import Trace as MoeTrace
from evolve.evaluators.placement.trace import (
    FORMAT,
    VERSION,
    Trace,
    from_moe,
    load_trace,
    read_eplb,
    sample_tokens,
    save_trace,
    summed,
)

LOAD = np.arange(1, 25, dtype=np.int64).reshape(3, 2, 4)
#: Two tokens per window and layer.
TOKENS = np.tile(np.array([[0, 1], [3, 2]], np.int16), (3, 2, 1, 1))
META = {"format": FORMAT, "version": VERSION, "name": "some", "k": 2, "groups": 2, "steps_per_window": 5}


def trace(**more):
    return Trace(**({"load": LOAD, "steps_per_window": 5, "k": 2, "groups": 2, "name": "some"} | more))


@settings(deadline=None)  # a shared machine may stall
@given(arrays.arrays(np.int64, st.tuples(*[st.integers(2, 4)] * 3), elements=st.integers(1, 2**50)), st.text(), st.booleans())
def test_what_was_saved_is_loaded(tmp_path_factory, load, name, with_tokens):
    path = tmp_path_factory.getbasetemp() / "placement_round.npz"
    tokens = np.tile(np.array([1, 0], np.int16), (*load.shape[:2], 3, 1)) if with_tokens else None
    save_trace(path, trace(load=load, groups=1, tokens=tokens, name=name))
    loaded = load_trace(path)
    assert loaded.load.dtype == np.int64
    assert (loaded.load == load).all()
    assert (loaded.steps_per_window, loaded.k, loaded.groups, loaded.name) == (5, 2, 1, name)
    assert (loaded.tokens is None) == (tokens is None)
    assert tokens is None or (loaded.tokens == tokens).all()


def test_the_file_is_what_the_module_says(tmp_path):
    save_trace(tmp_path / "a.npz", trace(tokens=TOKENS))
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == ["load", "meta", "tokens"]
        assert json.loads(str(file["meta"])) == META


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
        save_trace(path, trace(k=1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def changed(array, place, value):
    copy = array.copy()
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"load": LOAD.astype(np.float64)}, "load must be int64 of shape .* got float64"),
        ({"load": np.full((1, 2, 4), np.nan)}, "load must be int64"),
        ({"load": LOAD[0]}, r"got int64 of shape \(2, 4\)"),
        ({"load": LOAD[:0]}, r"of shape \(0, 2, 4\)"),
        ({"load": changed(LOAD, (2, 1, 3), -5)}, r"window 2, layer 1, expert 3 \(counted from 0\) has -5"),
        ({"load": changed(LOAD, (1, 0), 0)}, r"window 1, layer 0 \(counted from 0\) has none"),
        (
            {"load": changed(LOAD, (2, 1, 3), 2**61)},
            r"sums of 4 experts times k = 2 .* window 2, layer 1, expert 3 .* has 2305843009213693952",
        ),
        ({"steps_per_window": 0}, "steps_per_window must be >= 1, got 0"),
        ({"k": 5}, r"k must lie in \[1, 4\], the number of experts; got 5"),
        ({"k": 0}, "k must lie in"),
        ({"groups": 3}, "groups must divide the 4 experts; got 3"),
        ({"groups": 0}, "groups must divide the 4 experts; got 0"),
        ({"tokens": TOKENS.astype(np.int64)}, r"tokens must be int16 of shape \(3, 2, tokens, 2\), got int64"),
        ({"tokens": TOKENS[:2]}, r"got int16 of shape \(2, 2, 2, 2\)"),
        ({"tokens": TOKENS[..., :1]}, r"got int16 of shape \(3, 2, 2, 1\)"),
        ({"tokens": TOKENS[:, :, :0]}, r"got int16 of shape \(3, 2, 0, 2\)"),
        ({"tokens": changed(TOKENS, (0, 0, 0, 0), 4)}, r"tokens must lie in \[0, 4\), the experts; got 0 to 4"),
        ({"tokens": changed(TOKENS, (0, 0, 0, 0), -1)}, r"got -1 to 3"),
        ({"tokens": changed(TOKENS, (2, 1, 1, 0), 2)}, r"token 1 of window 2, layer 1 has \[2 2\]"),
    ],
)
def test_a_trace_that_contradicts_itself_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        trace(**more)


def test_windows_between_two_are_a_trace_of_their_own():
    part = trace(tokens=TOKENS).between(1, 3)
    assert (part.load == LOAD[1:]).all()
    assert part.tokens.shape == (2, 2, 2, 2)
    assert (part.windows, part.layers, part.experts, part.k, part.groups, part.name) == (2, 2, 4, 2, 2, "some")
    for first, last in ((-1, 2), (1, 1), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match=f"0 <= first < last <= 3; got first {first} and last {last}"):
            trace().between(first, last)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("[]", "must be a JSON object"),
        ("{", "malformed"),
        (json.dumps(META | {"format": "evolve-moe-trace"}), "format is"),
        (json.dumps(META | {"version": 2}), "of version 2 and this is read: 1"),
        (json.dumps(META | {"k": True}), "k in meta must be of type int, got True"),
        (json.dumps({name: value for name, value in META.items() if name != "groups"}), "groups in meta must be of type int"),
        (json.dumps(META | {"name": 3}), "name in meta must be of type str, got 3"),
        (json.dumps(META | {"groups": 3}), "groups must divide the 4 experts; got 3"),
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
        with pytest.raises(ConfigError, match="is malformed") as refused:
            load_trace(path)
        assert "pickle" not in str(refused.value)
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


def test_a_file_that_was_cut_off_or_damaged_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    save_trace(path, trace(tokens=TOKENS))
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match="is malformed"):
            load_trace(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(ConfigError):
            assert (load_trace(path).load == LOAD).all()


def test_steps_that_fill_no_window_are_left_out():
    steps = np.arange(14, dtype=np.int32).reshape(7, 1, 2)
    assert summed(steps, 3).tolist() == [[[6, 9]], [[24, 27]]]  # 0 + 2 + 4, 1 + 3 + 5; 6 + 8 + 10, 7 + 9 + 11
    assert summed(list(steps), 3).tolist() == summed(steps, 3).tolist()
    for window in (0, 8):
        with pytest.raises(ValueError, match=f"a window must have 1 to 7 steps.* got {window}"):
            summed(steps, window)


def test_sums_do_not_overflow_the_type_of_the_steps():
    steps = np.full((4, 1, 1), 2**31 - 1, np.int32)
    assert summed(steps, 4).tolist() == [[[4 * (2**31 - 1)]]]


def test_a_training_gives_a_trace():
    load = np.arange(24, dtype=np.int32).reshape(3, 2, 4)
    made = from_moe(MoeTrace(load, "smoke", "switch", seed=3, k=2, tokens_per_step=64), 2)
    assert made.load.tolist() == (load[0] + load[1])[None].tolist()
    assert (made.steps_per_window, made.k, made.groups, made.tokens, made.name) == (2, 2, 1, None, "smoke, switch, seed 3")


def test_a_training_that_gives_no_trace_is_named():
    moe = MoeTrace(np.zeros((3, 2, 4), np.int32), "smoke", "switch", seed=3, k=2, tokens_per_step=64)
    with pytest.raises(ConfigError, match=r"smoke, switch, seed 3.* windows of 4 steps: a window must have 1 to 3 steps"):
        from_moe(moe, 4)
    with pytest.raises(ConfigError, match=r"window 0, layer 0 .* has none"):
        from_moe(moe, 1)


def eplb(path, history):
    path.write_text(json.dumps({"load_history": [{"logical_expert_load": rows, "other": 1} for rows in history], "more": []}))
    return path


def test_recorded_loads_are_summed_over_windows(tmp_path):
    history = np.arange(1, 41).reshape(5, 2, 4)
    made = read_eplb(eplb(tmp_path / "loads.json", history.tolist()), 2, k=2, groups=2)
    assert (made.load == history[:4].reshape(2, 2, 2, 4).sum(1)).all()
    assert (made.steps_per_window, made.k, made.groups, made.tokens, made.name) == (2, 2, 2, None, "loads.json")


@pytest.mark.parametrize(
    ("history", "more", "message"),
    [
        (np.ones((1, 2, 4), int), {}, "a window must have 1 to 1 steps"),
        (np.ones((2, 2, 4), int), {"k": 5}, r"k must lie in \[1, 4\]"),
        (np.ones((2, 2, 4), int), {"groups": 3}, "groups must divide the 4 experts; got 3"),
        (np.zeros((2, 2, 4), int), {}, "window 0, layer 0 .* has none"),
    ],
)
def test_recorded_loads_that_make_no_trace_are_refused(tmp_path, history, more, message):
    path = eplb(tmp_path / "loads.json", history.tolist())
    with pytest.raises(ConfigError, match=message) as caught:
        read_eplb(path, **({"window": 2, "k": 2, "groups": 2} | more))
    assert str(path) in str(caught.value)


def test_recorded_loads_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"loads .*none\.json cannot be read: No such file"):
        read_eplb(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_eplb(tmp_path)


def test_tokens_can_be_sampled_for_a_trace_without():
    load = np.array([[[400, 200, 100, 100], [0, 0, 300, 500]], [[1, 1, 1, 1], [0, 1, 1, 1]]])
    tokens = sample_tokens(load, 2, groups=2, limit=2, n=50, rng=np.random.default_rng(0))
    assert (tokens.shape, tokens.dtype) == ((2, 2, 50, 2), np.int16)
    Trace(load, 5, 2, 2, tokens)
    assert (tokens[0, 1] == [2, 3]).all()  # the two others have no load
    assert (np.bincount(tokens[1, 1].ravel(), minlength=4)[0]) == 0
    alone = sample_tokens(load, 2, groups=2, limit=1, n=50, rng=np.random.default_rng(0))
    assert (alone[..., 0] // 2 == alone[..., 1] // 2).all()


def test_windows_with_the_same_loads_sample_the_same_tokens():
    load = np.tile(np.array([5, 4, 3, 2]), (2, 3, 1))
    tokens = sample_tokens(load, 2, groups=1, limit=1, n=20, rng=np.random.default_rng(0))
    assert (tokens[0] == tokens[1]).all()
    assert (tokens[0, 0] != tokens[0, 1]).any()


@pytest.mark.parametrize("wrong", [{"groups": 3}, {"limit": 3}, {"limit": 0}, {"k": 3}, {"k": 0}, {"n": 0}])
def test_tokens_that_cannot_be_sampled_are_refused(wrong):
    asked = {"k": 2, "groups": 2, "limit": 1, "n": 4} | wrong
    with pytest.raises(ValueError, match="expected groups that divide 4 experts"):
        sample_tokens(LOAD, rng=np.random.default_rng(0), **asked)
