from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from evolve.errors import ConfigError
from evolve.settings import anchored, assign, build, merged, plain, read_toml


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    n_islands: int = 4


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    share: float = 0.5
    limit: float | None = None
    colour: Colour = Colour.RED
    tags: tuple[str, ...] = ()
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    flag: bool = False

    def __post_init__(self) -> None:
        if self.share < 0:
            raise ValueError(f"share must be >= 0, got {self.share}")


def test_a_full_table_becomes_the_record():
    table = {
        "name": "a",
        "share": 1,
        "limit": 2.5,
        "colour": "blue",
        "tags": ["x"],
        "inner": {"n_islands": 2},
        "parts": [{}],
        "flag": True,
    }
    assert build(Outer, table, "t") == Outer("a", 1.0, 2.5, Colour.BLUE, ("x",), Inner(2), (Inner(),), True)


def test_plain_is_what_build_would_take_back():
    record = Outer("a", 1.0, None, Colour.BLUE, ("x",), Inner(2), (Inner(),))
    assert build(Outer, plain(record), "t") == record


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nam": "a"}, "t: unknown key 'nam'; did you mean 'name'?"),
        ({}, "t: key 'name' is missing"),
        ({"name": 3}, "t: name must be a text in quotes, got 3"),
        ({"name": "a", "share": "x"}, "t: share must be a number, got 'x'"),
        ({"name": "a", "share": -1}, "t: share must be >= 0, got -1"),
        ({"name": "a", "colour": "green"}, "t: colour must be one of red, blue; got 'green'"),
        ({"name": "a", "tags": "x"}, "t: tags must be a list, got 'x'"),
        ({"name": "a", "tags": [1]}, "t: tags[0] must be a text in quotes, got 1"),
        ({"name": "a", "inner": 3}, "t: inner must be a table, got 3"),
        ({"name": "a", "inner": {"islands": 3}}, "t: inner: unknown key 'islands'; did you mean 'n_islands'?"),
        ({"name": "a", "inner": {"n_islands": True}}, "t: inner: n_islands must be a whole number, got True"),
        ({"name": "a", "flag": 1}, "t: flag must be true or false, got 1"),
    ],
)
def test_a_bad_table_is_refused_with_the_place_the_value_and_the_remedy(table, message):
    with pytest.raises(ConfigError) as caught:
        build(Outer, table, "t")
    assert message in str(caught.value)


def test_assign_reads_toml_values_and_bare_words():
    table = {}
    for setting in ("a.b=3", "a.c=[1, 2]", "d=true", "e=red", 'f="x=y"'):
        assign(table, setting)
    assert table == {"a": {"b": 3, "c": [1, 2]}, "d": True, "e": "red", "f": "x=y"}


@pytest.mark.parametrize("setting", ["novalue", "=3"])
def test_assign_wants_key_and_value(setting):
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        assign({}, setting)


def test_assign_does_not_look_inside_a_value():
    with pytest.raises(ConfigError, match="'a' is a value, not a table"):
        assign({"a": 3}, "a.b=1")


def test_merged_tables_keep_what_the_later_one_does_not_say():
    assert merged({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}, "c": 4}) == {"a": {"x": 1, "y": 3}, "b": 1, "c": 4}


def test_read_toml_names_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.toml does not exist"):
        read_toml(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("a = \n")
    with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML: .*line 1"):
        read_toml(tmp_path / "bad.toml")


def test_relative_paths_start_from_the_folder_and_nothing_else_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    table = {"prices": "p.toml", "steps": 3, "prompts": {"templates": "../words", "brief": True}, "own": "~/o.toml"}
    found = anchored(table, ["prices", "prompts.templates", "own", "missing", "steps.deeper"], tmp_path / "sub")
    assert found == {
        "prices": str(tmp_path / "sub" / "p.toml"),
        "steps": 3,
        "prompts": {"templates": str(tmp_path / "words"), "brief": True},
        "own": "/home/me/o.toml",
    }
    assert table["prompts"] == {"templates": "../words", "brief": True}


def test_absolute_paths_and_what_is_no_path_stay():
    table = {"a": "/x/y", "b": "", "c": 4, "d": None}
    assert anchored(table, list(table), Path("/else")) == table
