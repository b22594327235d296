"""Serves the local model over HTTP as OpenAI's interface has it, until Ctrl-C; `make local-model` fetches what it needs.

Run it with the interpreter that `fetch.py` made: ``~/.cache/evolve/models/venv/bin/python benchmarks/local_model/serve.py``.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

_NAME = "qwen2.5-coder-1.5b-instruct-q4_k_m"
_HEALTHY_WITHIN_S = 120.0


def main() -> int:
    """Starts the server, says how to use it, and waits to be told to end."""
    options = _options()
    try:
        import xllamacpp
    except ImportError:
        print(f"error: {sys.executable} has no xllamacpp; run make local-model, and use the interpreter that it names")
        return 1
    if not options.model.is_file():
        print(f"error: there is no model at {options.model}; fetch it with make local-model, or name another with --model")
        return 1
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    if _taken(options.port):
        print(f"error: something listens on port {options.port} already; end it, or name another port with --port")
        return 1
    server = xllamacpp.Server(_parameters(xllamacpp.CommonParams(), options))
    _wait_until_healthy(options.port)
    print(f"serving {options.model.name} at http://127.0.0.1:{options.port}/v1; Ctrl-C ends it. Use it with")
    context = options.context // options.slots
    brackets = f"[kinds=full,price=0,temperature=0.7,max_tokens={context // 3},context={context},concurrency={options.slots}]"
    print(f"  --arm '{f'openai/{options.model.stem}{brackets}@http://127.0.0.1:{options.port}/v1'}'", flush=True)
    ended.wait()
    del server  # its destructor ends the server's threads
    return 0


def _options() -> argparse.Namespace:
    folder = Path(os.environ.get("EVOLVE_MODELS", "~/.cache/evolve/models")).expanduser()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=folder / f"{_NAME}.gguf", help="a GGUF file")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--threads", type=int, default=1, help="leave processors for evaluations: waiting threads spin")
    parser.add_argument("--slots", type=int, default=1, help="answers made at once; they share the threads")
    parser.add_argument("--context", type=int, default=8192, help="tokens of all slots together")
    return parser.parse_args()


def _parameters(parameters, options):  # type: ignore[no-untyped-def]  # xllamacpp is not installed where types are checked
    parameters.model.path = str(options.model)
    parameters.model_alias = {options.model.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_ctx = options.context
    parameters.n_parallel = options.slots
    parameters.kv_unified = False  # each slot has a part of the context to itself
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    parameters.n_gpu_layers = 0
    parameters.cache_ram_mib = 512  # prompts kept beside the slots; llama.cpp's default would take 8 GiB
    parameters.ui = False
    parameters.verbosity = 1
    return parameters


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + _HEALTHY_WITHIN_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass  # it has not begun to listen
        if time.monotonic() > deadline:
            raise SystemExit(f"error: the server does not answer on port {port} after {_HEALTHY_WITHIN_S:.0f} s")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
