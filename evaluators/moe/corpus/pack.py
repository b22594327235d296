"""The frozen pack: code and prose that ship with the package, since an installed library differs by version.

What is in it, where it comes from and under which licence: ``PROVENANCE.md`` beside it. `freeze` made it.

A pack is xz-compressed: one line of JSON that says what follows (`PackContents.header`), then the texts one after another.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evolve.errors import EvolveError

PACK = Path(__file__).with_name("pack.xz")

#: Of the compressed file. A run's scores are comparable only with those of runs on the same bytes.
PACK_SHA256 = "9df5db632efe6c618b078a7ee67264630e614fc5084791b01e31b1166abf88e1"

#: Ends every document. No document contains it.
END = b"\0"


class SplitText(NamedTuple):
    """The text of one domain: documents, each followed by `END`.

    Attributes:
        training: What batches are cut from.
        held_out: Documents that batches never see.
    """

    training: bytes
    held_out: bytes


class PackContents(NamedTuple):
    """What a pack holds.

    Attributes:
        python: Version of the CPython that it was made from.
        modules: What ``modules.toml`` said when it was made.
        texts: Text by domain.
    """

    python: str
    modules: Mapping[str, Sequence[str]]
    texts: Mapping[str, SplitText]


def read_pack(path: Path = PACK, sha256: str = PACK_SHA256) -> PackContents:
    """Reads a pack and makes sure that it is the one that is meant.

    Args:
        path: The file.
        sha256: What it must hash to, in hexadecimal.

    Raises:
        EvolveError: If the file is missing or has another hash.
    """
    try:
        compressed = path.read_bytes()
    except OSError as error:
        raise EvolveError(f"cannot read the corpus {path}: {error.strerror}; install evolve-platform again") from error
    found = hashlib.sha256(compressed).hexdigest()
    if found != sha256:
        raise EvolveError(
            f"the corpus {path} has sha256 {found[:16]}…, expected {sha256[:16]}…: scores on it would not compare with "
            "others; install evolve-platform again, or restore the file from version control"
        )
    head, _, body = lzma.decompress(compressed).partition(b"\n")
    header = json.loads(head)
    texts = {}
    for domain, training, held_out in header["texts"]:
        texts[domain] = SplitText(body[:training], body[training : training + held_out])
        body = body[training + held_out :]
    return PackContents(header["python"], header["modules"], texts)


def write_pack(path: Path, contents: PackContents) -> str:
    """Writes a pack and returns the sha256 that belongs into `PACK_SHA256`."""
    header = {
        "python": contents.python,
        "modules": contents.modules,
        "texts": [[domain, len(text.training), len(text.held_out)] for domain, text in contents.texts.items()],
    }
    body = b"".join(text.training + text.held_out for text in contents.texts.values())
    compressed = lzma.compress(json.dumps(header).encode() + b"\n" + body, preset=9 | lzma.PRESET_EXTREME)
    path.write_bytes(compressed)
    return hashlib.sha256(compressed).hexdigest()
