"""A Docker engine for the tests of the image and the compose file: the machine's, or one made of Debian's packages.

The second lives in a temporary folder and needs root on Debian 12. It runs twice: in the machine's network, without bridges, to
build the images; then in a network namespace of its own, where its bridges and firewall rules touch nothing of the machine's and
go when it goes. Public images cannot be had everywhere, so the base is bootstrapped, and Postgres is Debian's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
IMAGE = "evolve-test"
_SUITE, _DEBIAN = "bookworm", "http://deb.debian.org/debian"
#: Its package of Compose is version 2, that of Debian 12 is 1.
_COMPOSE_SUITE = "trixie"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_STEP_S = 240.0


@dataclass(frozen=True)
class Engine:
    """An engine that holds the image.

    Attributes:
        docker: The command of its client.
        compose: The command of Compose.
        environment: What both are run with, and what the compose file is filled in with.
    """

    docker: Sequence[str]
    compose: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, timeout_s: float = _STEP_S) -> str:
        """Runs a command of the client; returns what it prints."""
        return checked([*self.docker, *words], self.environment, timeout_s)


def why_not() -> str:
    """Says why there can be no engine here; empty if there can."""
    if _present():
        return ""
    if os.geteuid() != 0:
        return "no Docker engine with Compose 2 answers, and only root can start one"
    if f"VERSION_CODENAME={_SUITE}" not in Path("/etc/os-release").read_text():
        return f"no Docker engine with Compose 2 answers, and one can be made of packages on Debian {_SUITE} alone"
    return ""


@contextmanager
def engine() -> Iterator[Engine]:
    """Provides an engine that has built the image; what was started and made for that is gone afterwards."""
    if _present():
        environment = {**os.environ, "EVOLVE_IMAGE": IMAGE, "DOCKER_BUILDKIT": "1"}
        checked(["docker", "build", "--tag", IMAGE, str(ROOT)], environment, 3 * _STEP_S)
        yield Engine(["docker"], ["docker", "compose"], environment)
        return
    folder = Path(tempfile.mkdtemp(prefix="evolve-docker-"))
    try:
        made = _of_packages(folder)
        base = _bootstrapped(folder, made)
        with _daemon(folder, made, bridges=False):
            _build(folder, made, base)
        with _daemon(folder, made, bridges=True):
            yield made
    finally:
        _remove(folder)


def checked(command: Sequence[str], environment: Mapping[str, str], timeout_s: float = _STEP_S) -> str:
    """Runs a command that must succeed; returns what it prints on standard output."""
    ran = subprocess.run(
        command,
        env=dict(environment),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return ran.stdout


def _present() -> bool:
    asked = (["docker", "info"], ["docker", "compose", "version"])
    return shutil.which("docker") is not None and all(
        subprocess.run(command, capture_output=True, timeout=_STEP_S, check=False).returncode == 0 for command in asked
    )


def _of_packages(folder: Path) -> Engine:
    """Unpacks the engine, its tools and Compose below a folder; nothing is installed."""
    root, debs, apt = folder / "root", folder / "debs", folder / "apt"
    for path in (root, debs / "partial", apt / "lists" / "partial", apt / "cache" / "archives" / "partial"):
        path.mkdir(parents=True)
    options = ["-o", f"Dir::Cache::archives={debs}", "-o", "Debug::NoLocking=true", "--no-install-recommends", "--download-only"]
    checked(["apt-get", "--yes", *options, "install", "docker.io", "debootstrap"], os.environ)
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_DEBIAN} {_COMPOSE_SUITE} main\n")
    (apt / "status").touch()
    (apt / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{apt}/sources.list"; Dir::Etc::SourceParts "/nonexistent"; Dir::State::Lists "{apt}/lists";'
        f'Dir::State::Status "{apt}/status"; Dir::Cache "{apt}/cache";\n'
    )
    other = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    checked(["apt-get", "--quiet", "update"], other)
    checked(["sh", "-c", f"cd {debs} && apt-get --quiet download docker-compose"], other)
    for deb in debs.glob("*.deb"):
        checked(["dpkg", "-x", str(deb), str(root)], os.environ)
    commands = folder / "bin"
    commands.mkdir()
    for name in ("iptables", "ip6tables"):  # on an installed system these links are made by update-alternatives
        if (nft := root / "usr" / "sbin" / f"{name}-nft").is_symlink() or nft.exists():
            (commands / name).symlink_to(nft)
    environment = {
        **os.environ,
        "PATH": f"{commands}:{root}/usr/sbin:{root}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu",
        "XTABLES_LIBDIR": f"{root}/usr/lib/x86_64-linux-gnu/xtables",
        "DEBOOTSTRAP_DIR": f"{root}/usr/share/debootstrap",
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_BUILDKIT": "1",
        "EVOLVE_IMAGE": IMAGE,
        "POSTGRES_IMAGE": f"{IMAGE}-postgres",
    }
    compose = f"{root}/usr/libexec/docker/cli-plugins/docker-compose"
    return Engine([f"{root}/usr/bin/docker"], [compose], environment)


def _bootstrapped(folder: Path, made: Engine) -> Path:
    """Makes a file system of a base image."""
    base, included = folder / "base", "python3,python3-venv,ca-certificates"
    checked(["debootstrap", "--variant=minbase", f"--include={included}", _SUITE, str(base), _DEBIAN], made.environment)
    return base


@contextmanager
def _daemon(folder: Path, made: Engine, *, bridges: bool) -> Iterator[None]:
    command = [f"{folder}/root/usr/sbin/dockerd", "--host", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data"]
    command += ["--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "--cgroup-parent", f"/{folder.name}"]
    if bridges:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    else:
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=dict(made.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_for(made, process, folder / "log")
        yield
    finally:
        process.terminate()  # it ends its containers, and its containerd
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(made: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + 30
    while subprocess.run([*made.docker, "info"], env=dict(made.environment), capture_output=True, check=False).returncode:
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < last, f"dockerd does not answer\n{log.read_text()[-2000:]}"
        time.sleep(0.2)


def _build(folder: Path, made: Engine, base: Path) -> None:
    image = f"{IMAGE}-base"
    checked(["sh", "-c", f"tar -C {base} -c . | {made.docker[0]} import - {image}"], made.environment)
    # Where the network has certificates of its own, the machine has them.
    (folder / "pip.conf").write_text(
        "[global]\ntimeout = 180\n" + ("cert = /run/secrets/certificates\n" if _CERTIFICATES.exists() else "")
    )
    secrets = ["--secret", f"id=pip,src={folder}/pip.conf"]
    secrets += ["--secret", f"id=certificates,src={_CERTIFICATES}"] if _CERTIFICATES.exists() else []
    how = ["build", "--quiet", "--network", "host", "--build-arg", f"BASE={image}"]
    made.run(*how, *secrets, "--tag", IMAGE, str(ROOT), timeout_s=2 * _STEP_S)
    made.run(*how, "--tag", f"{IMAGE}-postgres", str(Path(__file__).parent / "postgres"))


def _remove(folder: Path) -> None:
    """Ends what is left of the engine, and removes its mounts, control groups and files."""
    groups = [*Path("/sys/fs/cgroup").glob(folder.name), *Path("/sys/fs/cgroup").glob(f"*/{folder.name}")]
    for file in (file for group in groups for file in group.rglob("cgroup.procs")):
        for pid in file.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    for group in groups:
        for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            with suppress(OSError):
                path.rmdir()
        with suppress(OSError):
            group.rmdir()
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)
