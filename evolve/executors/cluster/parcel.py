"""Ships a task to where its programs are evaluated: by the hash of its content, so that nothing stale is ever used.

A *parcel* holds the pickled task and every file of its folder. Its key is the hash of a manifest that lists them with their own
hashes. A node keeps what it unpacked, under the key, and looks at every file again before it evaluates with it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import msgpack

from evolve.errors import TaskError
from evolve.evaluators.compat import SharedEvaluator
from evolve.executors.pickling import pickled
from evolve.program import Task

#: More than that is no task any more, but a data set: it belongs on storage that every node sees.
LIMIT_BYTES = 256 * 2**20
#: Never shipped: caches, what is hidden, and archives of runs under their usual name.
_LEFT_OUT = ("__pycache__",)
_LEFT_OUT_BEGINNINGS = (".", "evolve.db")
_LEVEL = 1
#: How long a node keeps what no run has asked for.
_KEPT_S = 14 * 86400
_MANIFEST, _TASK, _FOLDER = "manifest.json", "task.pickle", "folder"


class Parcel(NamedTuple):
    """A task as it travels: its key, and its compressed content."""

    key: str
    content: bytes


class _File(NamedTuple):
    path: str
    executable: bool
    content: bytes


def pack(task: Task) -> Parcel:
    """Packs a task with the files of its folder.

    Raises:
        TaskError: If a function of it cannot be pickled, or its folder is too large.
    """
    files = [] if task.folder is None else _read(task.name, task.folder)
    task_bytes = pickled(_at(task, Path(task.folder.name)) if task.folder is not None else task, by_value=True)
    manifest = _manifest(task_bytes, files)
    # Keyed by path, not by position: the folder may be listed in any order.
    content = {_MANIFEST: manifest, _TASK: task_bytes, _FOLDER: {file.path: file.content for file in files}}
    return Parcel(_sha256(manifest), zlib.compress(msgpack.packb(content), _LEVEL))


def unpack(parcel: bytes, key: str, root: Path) -> Path:
    """Unpacks a parcel below a folder, unless it is there already, and returns where.

    Raises:
        ValueError: If it is damaged, or another one than the key says.
        OSError: If it cannot be written.
    """
    content = _opened(parcel, key)
    place = root / key
    if find(key, root) is not None:
        return place
    _forget_old(root)
    building = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=root))
    try:
        _write(content, building)
        _put(building, place)
    except OSError:
        shutil.rmtree(building, ignore_errors=True)  # a disk that is full must not be kept so
        raise
    return place


def find(key: str, root: Path) -> Path | None:
    """Returns where a parcel was unpacked, if every file of it is as it was; None otherwise."""
    place = root / key
    try:
        manifest = (place / _MANIFEST).read_bytes()
        if _sha256(manifest) != key:
            return None
        listed: Mapping[str, Any] = json.loads(manifest)  # Any: our own JSON, proven by its hash
        if _sha256((place / _TASK).read_bytes()) != listed["task"]:
            return None
        for path, (digest, executable) in listed["files"].items():
            file = place / _FOLDER / path
            if _sha256(file.read_bytes()) != digest or _is_executable(file) != executable:
                return None
        os.utime(place)
    except OSError:
        return None
    return place


def load(place: Path) -> Task:
    """Reads the task of an unpacked parcel; its folder is the one here.

    Raises:
        TaskError: If a module that it refers to is not to be found on this machine.
    """
    try:
        task: Task = cloudpickle.loads((place / _TASK).read_bytes())
    except Exception as error:  # unpickling imports an author's modules
        raise TaskError(f"the task cannot be loaded on this node: {error!r}; install what it needs on every node") from error
    return task if task.folder is None else _at(task, place / _FOLDER / task.folder.name)


def cache_root() -> Path:
    """Returns the folder in which this user's processes keep parcels on this machine; nobody else can write there."""
    root = Path(tempfile.gettempdir(), f"evolve-parcels-{os.getuid()}")
    with suppress(FileExistsError):
        root.mkdir(mode=0o700)
    status = root.lstat()
    if not root.is_dir() or root.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        return _own_root()
    return root


@functools.cache
def _own_root() -> Path:
    """A folder of this process's alone: what it unpacks once, it finds again."""
    return Path(tempfile.mkdtemp(prefix="evolve-parcels-"))


def _at(task: Task, folder: Path) -> Task:
    """The same task in another folder."""
    evaluate = task.evaluate
    if isinstance(evaluate, SharedEvaluator):
        evaluate = dataclasses.replace(evaluate, folder=folder)
    # Templates of prompts are the controller's business.
    return dataclasses.replace(task, folder=folder, evaluate=evaluate, prompts=None)


def _read(name: str, folder: Path) -> list[_File]:
    sizes = {path: path.stat().st_size for path in _paths(folder)}
    if sum(sizes.values()) > LIMIT_BYTES:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
        listed = ", ".join(f"{path.relative_to(folder)} ({sizes[path] / 2**20:.0f} MB)" for path in largest)
        raise TaskError(
            f"task {name}: its folder holds {sum(sizes.values()) / 2**20:.0f} MB, and at most {LIMIT_BYTES // 2**20} MB travel to "
            f"a cluster; the largest: {listed}. Keep results elsewhere, and large data on storage that every node sees"
        )
    # The folder's own name travels along: evaluators may say it.
    return [
        _File(f"{folder.name}/{path.relative_to(folder).as_posix()}", _is_executable(path), path.read_bytes())
        for path in sorted(sizes)
    ]


def _paths(folder: Path) -> Iterator[Path]:
    """Lists what travels; a link travels as what it leads to, unless that holds the link itself."""
    above: dict[str, tuple[Path, ...]] = {str(folder): ()}
    for path, folders, names in os.walk(folder, followlinks=True):
        real, outer = Path(path).resolve(), above.pop(path)
        if any(place.is_relative_to(real) for place in outer):
            folders.clear()
            continue
        # Results that `evolve best --output` took away.
        if "provenance.json" in names and Path(path) != folder:
            folders.clear()
            continue
        folders[:] = [name for name in folders if _travels(name)]
        above.update((os.path.join(path, name), (*outer, real)) for name in folders)
        yield from (file for name in names if _travels(name) and (file := Path(path, name)).is_file())


def _travels(name: str) -> bool:
    return name not in _LEFT_OUT and not name.startswith(_LEFT_OUT_BEGINNINGS)


def _manifest(task: bytes, files: list[_File]) -> bytes:
    listed = {file.path: (_sha256(file.content), file.executable) for file in files}
    return json.dumps({"task": _sha256(task), "files": listed}, sort_keys=True).encode()


def _opened(parcel: bytes, key: str) -> Mapping[str, Any]:  # Any: our own data, proven by hashes
    """Reads a parcel and proves that it holds what its key says."""
    try:
        content: dict[str, Any] = msgpack.unpackb(zlib.decompress(parcel))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"the parcel with key {key} arrived damaged: {error}") from error
    if _sha256(content[_MANIFEST]) != key:
        raise ValueError(f"the parcel that arrived is not the one with key {key}")
    manifest = json.loads(content[_MANIFEST])
    arrived = {path: _sha256(body) for path, body in content[_FOLDER].items()}
    if arrived != {path: digest for path, (digest, _) in manifest["files"].items()} or _sha256(content[_TASK]) != manifest["task"]:
        raise ValueError(f"the parcel with key {key} arrived damaged: a file of it is another than it lists")
    return content


def _write(content: Mapping[str, Any], building: Path) -> None:  # Any: see above
    listed = json.loads(content[_MANIFEST])["files"]
    (building / _MANIFEST).write_bytes(content[_MANIFEST])
    (building / _TASK).write_bytes(content[_TASK])
    for path, body in content[_FOLDER].items():
        target = building / _FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        target.chmod(0o755 if listed[path][1] else 0o644)


def _put(building: Path, place: Path) -> None:
    """Moves what was unpacked to its place; another process of this node may have been quicker, or a broken one be there."""
    for _ in range(3):
        try:
            building.rename(place)
            return
        except OSError:
            if find(place.name, place.parent) is not None:
                shutil.rmtree(building, ignore_errors=True)
                return
            with suppress(OSError):
                place.rename(tempfile.mkdtemp(prefix=f"{place.name}.broken.", dir=place.parent))
    raise OSError(f"{place} cannot be replaced")


def _forget_old(root: Path) -> None:
    for path in root.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                shutil.rmtree(path, ignore_errors=True)


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
