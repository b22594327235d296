import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from evolve.errors import TaskError
from evolve.evaluators.compat import Framework, SharedEvaluator
from evolve.executors.cluster import parcel
from evolve.tasks.base import load

MANIFEST = 'name = "t"\nprogram = ["initial.py"]\ndata = ["data/points.bin"]\n'
POINTS = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path):
    return made(tmp_path / "here" / "my task")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def made(folder):
    (folder / "data").mkdir(parents=True)
    (folder / "task.toml").write_text(MANIFEST)
    (folder / "initial.py").write_text("# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n")
    (folder / "evaluate.py").write_text("from evolve.evaluators import Score\ndef evaluate(program): return Score(1.0)\n")
    (folder / "data" / "points.bin").write_bytes(POINTS)
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    return folder


def packed(folder):
    return parcel.pack(load(folder, "folder"))


def listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


FILES = ["data/points.bin", "evaluate.py", "initial.py", "task.toml", "tool.sh"]


def test_a_tasks_folder_arrives_as_it_was(folder, root):
    key, content = packed(folder)
    task = parcel.load(parcel.unpack(content, key, root))
    assert task.folder.is_relative_to(root)
    assert task.folder.name == "my task"  # evaluators may say it
    assert listed(task.folder) == FILES
    assert all((task.folder / name).read_bytes() == (folder / name).read_bytes() for name in FILES)
    assert [name for name in FILES if os.access(task.folder / name, os.X_OK)] == ["tool.sh"]
    assert dataclasses.replace(task, folder=folder) == load(folder, "folder")


def test_a_task_without_a_folder_arrives_as_it_was(folder, root):
    inline = dataclasses.replace(load(folder, "folder"), folder=None, origin="inline")
    key, content = parcel.pack(inline)
    assert parcel.load(parcel.unpack(content, key, root)) == inline


def test_the_same_content_has_the_same_key_wherever_it_lies(folder, tmp_path):
    key = packed(folder).key
    os.utime(folder / "evaluate.py", (1, 1))
    (folder / "evaluate.py").chmod(0o600)
    assert packed(folder).key == key
    shutil.copytree(folder, tmp_path / "there" / "my task")
    assert packed(tmp_path / "there" / "my task").key == key


def test_the_same_content_has_the_same_key_in_another_process(folder):
    script = (
        "import sys; from pathlib import Path; from evolve.executors.cluster import parcel; from evolve.tasks.base import load; "
        "sys.stdout.write(parcel.pack(load(Path(sys.argv[1]), 'folder')).key)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", script, folder], env=environment, capture_output=True, check=True, text=True).stdout
    assert out == packed(folder).key


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "evaluate.py").write_text("def evaluate(program): return 2\n"),
        lambda folder: (folder / "data" / "points.bin").write_bytes(POINTS[:-1] + b"x"),
        lambda folder: (folder / "tool.sh").chmod(0o644),
        lambda folder: (folder / "tool.sh").rename(folder / "tools.sh"),
        lambda folder: (folder / "tool.sh").unlink(),
        lambda folder: (folder / "new.txt").write_text(""),
        lambda folder: (folder / "initial.py").write_text("x = 2\n"),
    ],
)  # fmt: skip
def test_whatever_changes_changes_the_key(folder, change):
    before = packed(folder).key
    change(folder)
    assert packed(folder).key != before


def test_what_no_evaluator_needs_stays_behind(folder, root):
    for name in (
        ".git/config", ".env", "__pycache__/evaluate.pyc", "data/__pycache__/x.pyc", "data/.cache", "evolve.db", "evolve.db-wal",
        "evolve.db.lock", "best/provenance.json", "best/initial.py", "best/deeper/x.py",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("secret")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    before = packed(folder)
    task = parcel.load(parcel.unpack(before.content, before.key, root))
    assert listed(task.folder) == FILES
    assert b"secret" not in b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_a_file_that_is_a_link_travels_with_what_it_points_to(folder, root, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("1,2\n")
    (folder / "table.csv").symlink_to(tmp_path / "elsewhere.csv")
    key, content = packed(folder)
    task = parcel.load(parcel.unpack(content, key, root))
    assert (task.folder / "table.csv").read_text() == "1,2\n"
    assert not (task.folder / "table.csv").is_symlink()


def test_a_folder_that_is_a_link_travels_with_all_that_it_leads_to(folder, root, tmp_path):
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "x.csv").write_text("1,2\n")
    (folder / "tables").symlink_to(tmp_path / "elsewhere")
    (folder / "a").symlink_to(folder / "data")  # both names are there
    key, content = packed(folder)
    task = parcel.load(parcel.unpack(content, key, root))
    assert listed(task.folder) == sorted(["a/points.bin", "tables/deep/x.csv", *FILES])
    assert not any(path.is_symlink() for path in task.folder.rglob("*"))


def test_links_that_lead_back_end(folder, root, tmp_path):
    (folder / "data" / "back").symlink_to(folder)
    (folder / "here").symlink_to(".")
    (folder / "above").symlink_to(tmp_path)
    for name, other in (("p", "q"), ("q", "p")):
        (tmp_path / name).mkdir()
        (tmp_path / name / other).symlink_to(tmp_path / other)
        (tmp_path / name / f"{name}.txt").write_text("")
    (folder / "p").symlink_to(tmp_path / "p")
    key, content = packed(folder)
    task = parcel.load(parcel.unpack(content, key, root))
    assert listed(task.folder) == sorted(["p/p.txt", "p/q/q.txt", *FILES])


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(folder, monkeypatch):
    monkeypatch.setattr(parcel, "LIMIT_BYTES", 2 * 2**20)
    for name, size in (("a.npy", 1), ("b.npy", 3), ("c.npy", 2)):
        (folder / "data" / name).write_bytes(bytes(size * 2**20))
    largest = r"data/b\.npy \(3 MB\), data/c\.npy \(2 MB\), data/a\.npy \(1 MB\)"
    with pytest.raises(
        TaskError, match=rf"task t: its folder holds 6 MB, and at most 2 MB travel .* the largest: {largest}\. Keep"
    ):
        packed(folder)


# On the node


def test_what_was_unpacked_is_found_and_not_unpacked_again(folder, root):
    key, content = packed(folder)
    assert parcel.find(key, root) is None
    place = parcel.unpack(content, key, root)
    written_at = (place / "manifest.json").stat().st_mtime_ns
    os.utime(place, (1, 1))
    assert parcel.find(key, root) == place
    assert place.stat().st_mtime > 1  # it is wanted still
    assert parcel.unpack(content, key, root) == place
    assert (place / "manifest.json").stat().st_mtime_ns == written_at
    assert [*root.iterdir()] == [place]


TAMPERING = [
    lambda place: (place / "folder" / "my task" / "evaluate.py").write_text("def evaluate(program): return 10**9\n"),
    lambda place: (place / "folder" / "my task" / "data" / "points.bin").unlink(),
    lambda place: (place / "folder" / "my task" / "tool.sh").chmod(0o644),
    lambda place: (place / "task.pickle").write_bytes(b"cos\nsystem\n(S'true'\ntR."),
    lambda place: (place / "manifest.json").write_text('{"task": "", "files": {}}'),
    lambda place: (place / "manifest.json").unlink(),
    lambda place: shutil.rmtree(place / "folder"),
]


@pytest.mark.parametrize("tamper", TAMPERING)
def test_what_was_tampered_with_is_not_used_and_is_replaced(folder, root, tamper):
    key, content = packed(folder)
    tamper(parcel.unpack(content, key, root))
    assert parcel.find(key, root) is None
    place = parcel.unpack(content, key, root)
    assert parcel.find(key, root) == place
    task = parcel.load(place)
    assert dataclasses.replace(task, folder=folder) == load(folder, "folder")
    assert (task.folder / "evaluate.py").read_bytes() == (folder / "evaluate.py").read_bytes()


def test_another_parcel_than_the_one_asked_for_is_refused(folder, root):
    _, content = packed(folder)
    with pytest.raises(ValueError, match=f"not the one with key {'0' * 64}"):
        parcel.unpack(content, "0" * 64, root)
    assert [*root.iterdir()] == []


@pytest.mark.parametrize("cut", [0, 1, 10, -1, -10])
def test_a_parcel_that_arrives_cut_off_is_refused(folder, root, cut):
    key, content = packed(folder)
    with pytest.raises(ValueError, match="damaged"):
        parcel.unpack(content[:cut], key, root)
    assert [*root.iterdir()] == []


def test_a_parcel_whose_files_are_others_than_it_lists_is_refused(folder, root):
    key, content = packed(folder)
    plain = parcel.msgpack.unpackb(parcel.zlib.decompress(content))
    plain["folder"]["my task/evaluate.py"] = b"def evaluate(program): return 10**9\n"
    forged = parcel.zlib.compress(parcel.msgpack.packb(plain))
    with pytest.raises(ValueError, match="damaged"):
        parcel.unpack(forged, key, root)
    assert parcel.find(key, root) is None


def test_a_disk_that_is_full_is_left_no_fuller(folder, root, monkeypatch):
    def full(path, mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    key, content = packed(folder)
    with monkeypatch.context() as patch:
        patch.setattr(parcel.Path, "chmod", full)
        with pytest.raises(OSError, match="No space left"):
            parcel.unpack(content, key, root)
    assert [*root.iterdir()] == []
    assert parcel.find(key, parcel.unpack(content, key, root).parent)


def test_several_that_unpack_at_once_end_with_one_place(folder, root):
    key, content = packed(folder)
    with ThreadPoolExecutor(8) as pool:
        places = [*pool.map(lambda _: parcel.unpack(content, key, root), range(32))]
    assert set(places) == {root / key}
    assert parcel.find(key, root)
    assert [*root.iterdir()] == [root / key]


def test_two_processes_that_unpack_at_once_end_with_one_place(folder, root, tmp_path):
    key, content = packed(folder)
    (tmp_path / "parcel").write_bytes(content)
    script = (
        "import sys; from pathlib import Path; from evolve.executors.cluster import parcel\n"
        "root, content = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()\n"
        "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n"
        "sys.stdout.write(str(parcel.unpack(content, sys.argv[3], root)))"
    )
    words = [sys.executable, "-c", script, root, tmp_path / "parcel", key]
    both = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == [str(root / key)] * 2
    assert [*root.iterdir()] == [root / key]


def test_parcels_that_nobody_has_asked_for_in_weeks_are_forgotten(folder, root):
    for name, days in (("old", 15), ("recent", 13)):
        (root / name).mkdir()
        (root / name / "manifest.json").write_text("{}")
        os.utime(root / name, (time.time() - days * 86400,) * 2)
    key, content = packed(folder)
    parcel.unpack(content, key, root)
    assert sorted(path.name for path in root.iterdir()) == sorted([key, "recent"])


def test_a_task_that_does_not_load_says_what_is_missing(root):
    place = root / "p"
    place.mkdir()
    (place / "task.pickle").write_bytes(b"cno_such_module\nevaluate\n.")
    with pytest.raises(TaskError, match=r"cannot be loaded on this node: .*no_such_module.*; install what it needs on every node"):
        parcel.load(place)


def test_another_frameworks_task_is_scored_with_the_folder_of_the_node(folder, root):
    shared = SharedEvaluator(Framework.OPENEVOLVE, folder, "evaluate.py", "initial.py", thresholds=(0.5,))
    task = dataclasses.replace(load(folder, "folder"), evaluate=shared, shared_process=True)
    key, content = parcel.pack(task)
    arrived = parcel.load(parcel.unpack(content, key, root))
    assert arrived.evaluate == dataclasses.replace(shared, folder=arrived.folder)
    assert arrived.evaluate.folder.is_relative_to(root)
    assert str(folder).encode() not in parcel.zlib.decompress(content)


def test_templates_of_prompts_stay_with_the_controller(folder, root):
    task = dataclasses.replace(load(folder, "folder"), prompts=folder / "prompts")
    key, content = parcel.pack(task)
    assert parcel.load(parcel.unpack(content, key, root)).prompts is None


# Where it is kept


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    parcel._own_root.cache_clear()
    yield tmp_path / f"evolve-parcels-{os.getuid()}"
    parcel._own_root.cache_clear()


def test_parcels_are_kept_where_nobody_else_can_write(temporary):
    assert parcel.cache_root() == parcel.cache_root() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(temporary, mode):
    temporary.mkdir()
    temporary.chmod(mode)
    unused(temporary)


def test_a_folder_of_somebody_elses_is_not_used(temporary, monkeypatch):
    somebody = os.getuid() + 1
    theirs = temporary.with_name(f"evolve-parcels-{somebody}")
    theirs.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: somebody)
    unused(theirs)


def test_a_link_is_not_used(temporary, tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o700)
    temporary.symlink_to(tmp_path / "theirs")
    unused(temporary)


def test_a_file_in_its_place_is_not_used(temporary):
    temporary.write_text("")
    unused(temporary)


def unused(place):
    root = parcel.cache_root()
    assert parcel.cache_root() == root  # what was unpacked there is found again
    assert root != place
    assert root.parent == place.parent
    assert root.is_dir()
    assert root.stat().st_mode & 0o777 == 0o700
