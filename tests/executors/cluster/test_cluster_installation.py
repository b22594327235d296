import re
import subprocess
import sys
from pathlib import Path

from evolve.executors.cluster import installation


def test_the_same_code_has_the_same_hash_in_another_process(tmp_path):
    script = "import sys; from evolve.executors.cluster.installation import code_sha256; sys.stdout.write(code_sha256())"
    found = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == installation.code_sha256()
    assert re.fullmatch("[0-9a-f]{64}", found.stdout)


def test_what_decides_a_score_is_hashed_and_nothing_else():
    names = {name for name, _ in installation._files()}
    assert {"evolve.evaluators/base.py", "evolve.executors/scoring.py", "evolve.program", "evolve.limits", "evolve.rng"} <= names
    assert not any(name.startswith(("evolve.cli", "evolve.llm", "evolve.archive")) for name in names)


def test_other_code_has_another_hash(monkeypatch, tmp_path):
    def changed():
        for name, path in files():
            other = Path(tmp_path, "rng.py")
            other.write_bytes(path.read_bytes() + b"\n")
            yield name, other if name == "evolve.rng" else path

    files = installation._files
    monkeypatch.setattr(installation, "_files", changed)
    assert installation.code_sha256.__wrapped__() != installation.code_sha256()


def test_where_the_package_lies_does_not_matter(monkeypatch, tmp_path):
    def moved():
        for number, (name, path) in enumerate(files()):
            copy = Path(tmp_path, f"{number}.py")
            copy.write_bytes(path.read_bytes())
            yield name, copy

    files = installation._files
    monkeypatch.setattr(installation, "_files", moved)
    assert installation.code_sha256.__wrapped__() == installation.code_sha256()
