"""Arrays with a JSON object that describes them, in one compressed ``.npz`` that numpy reads without pickles.

The object is kept as the array ``meta``, a 0-dimensional string; it has ``format`` and ``version`` besides what its writer puts in.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

#: What `ArrayFormat.read` raises of a file that is there and holds something else.
MALFORMED = (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        arrays: By name.
        meta: The JSON object, whose format, version and declared fields are right.
    """

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]  # Any: JSON values


@dataclass(frozen=True, slots=True)
class ArrayFormat:
    """A kind of such files.

    Attributes:
        name: What ``meta`` calls it.
        version: That is written, and alone read.
        fields: What ``meta`` has to hold, and of which type.
        required: Arrays that have to be there.
        optional: Arrays that may be.
    """

    name: str
    version: int
    fields: Mapping[str, type]
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def write(self, path: Path, arrays: Mapping[str, np.ndarray | None], meta: Mapping[str, object]) -> None:
        """Writes a file: it is there whole or not at all, and the same contents give the same bytes every time.

        Args:
            path: File to write; one that is there is replaced.
            arrays: By name; None where there is none.
            meta: What to put into ``meta`` besides format and version, plain data.

        Raises:
            OSError: If the folder cannot be written to.
        """
        described = np.array(json.dumps({"format": self.name, "version": self.version, **meta}))
        present = {name: array for name, array in arrays.items() if array is not None}
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                # allow_pickle is not named: numpy below 2.2 has no such argument here, and plain numbers need none.
                np.savez_compressed(file, **present, meta=described)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def read(self, path: Path) -> Contents:
        """Reads a file.

        Raises:
            OSError: If it cannot be read.
            Exception: One of `MALFORMED` if it is no such file; the message says why.
        """
        with path.open("rb") as stream:  # numpy closes no file that it takes for an archive and cannot read
            if not stream.peek(2).startswith((b"PK", b"\x93N")):  # numpy would advise to read it as a pickle
                raise ValueError("it is no zip archive")
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array and no names")
            with file:
                return self._contents(file)

    def _contents(self, file: np.lib.npyio.NpzFile) -> Contents:
        if missing := {*self.required, "meta"} - set(file.files):
            raise ValueError(f"there is no array {' and no '.join(sorted(missing))}")
        described = file["meta"]
        if described.dtype.kind != "U" or described.shape:
            raise ValueError(f"meta must be a 0-dimensional string, got {described.dtype} of shape {described.shape}")
        meta = json.loads(str(described))
        self._check(meta)
        return Contents({name: file[name] for name in (*self.required, *self.optional) if name in file.files}, meta)

    def _check(self, meta: Any) -> None:  # Any: JSON of unknown origin
        if not isinstance(meta, dict) or meta.get("format") != self.name:
            raise ValueError(f"meta must be a JSON object whose format is {self.name!r}")
        if meta.get("version") != self.version:
            raise ValueError(f"it is of version {meta.get('version')!r} and this is read: {self.version}")
        for name, kind in self.fields.items():
            if type(meta.get(name)) is not kind:
                raise ValueError(f"{name} in meta must be of type {kind.__name__}, got {meta.get(name)!r}")
