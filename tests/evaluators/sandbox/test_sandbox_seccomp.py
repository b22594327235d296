"""The filter, run by an interpreter of the few instructions that it uses."""

import errno
import re
import struct
from pathlib import Path

import pytest

from evolve.evaluators.sandbox import seccomp

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = "allowed"
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(machine, number, *arguments, audit=None):
    """What the kernel would do with a call."""
    arguments = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=iIQ6Q", number, audit or MACHINES[machine], 0, *arguments)
    program = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    loaded, at = 0, 0
    tests = {0x15: lambda a, b: a == b, 0x35: lambda a, b: a >= b, 0x45: lambda a, b: bool(a & b)}
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            loaded &= value
        elif code == 0x06:
            return {0x7FFF0000: ALLOWED, 0x80000000: "killed"}.get(value) or errno.errorcode[value & 0xFFFF]
        else:
            at += if_true if tests[code](loaded, value) else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_every_refused_call_is_refused(machine):
    assert {verdict(machine, number) for number in seccomp.refused(machine).values()} == {"EPERM", "ENOSYS"}


@pytest.mark.parametrize("machine", MACHINES)
def test_every_other_number_up_to_the_newest_is_allowed(machine):
    numbers = seccomp._ARCHITECTURES[machine].numbers
    others = set(range(480)) - set(numbers.values())
    assert {verdict(machine, number) for number in others} == {ALLOWED}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_only_unix_sockets_can_be_made(machine, call):
    number = seccomp._ARCHITECTURES[machine].numbers[call]
    assert [verdict(machine, number, family) for family in (1, 2, 10, 16, 17, 40)] == [ALLOWED, *["EACCES"] * 5]


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_that_nobody_maps_cannot_be_kept(machine):
    number = seccomp._ARCHITECTURES[machine].numbers["mmap"]
    private, shared_file, shared = 0x22, 0x01, 0x21
    assert [verdict(machine, number, 0, 0, 0, flags) for flags in (private, shared_file, shared)] == [ALLOWED, ALLOWED, "EPERM"]


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_and_processes_can_be_made_but_no_namespace(machine):
    number = seccomp._ARCHITECTURES[machine].numbers["clone"]
    thread = 0x3D0F00
    assert verdict(machine, number, thread) == verdict(machine, number, 17) == ALLOWED
    spaces = (0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000, 0x04000000, 0x08000000)
    assert {verdict(machine, number, 17 | space) for space in spaces} == {"EPERM"}


@pytest.mark.parametrize("machine", MACHINES)
def test_terminals_cannot_be_typed_into(machine):
    number = seccomp._ARCHITECTURES[machine].numbers["ioctl"]
    assert [verdict(machine, number, 0, request) for request in (0x5412, 0x541C, 0x5401)] == ["EPERM", "EPERM", ALLOWED]


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architectures_calls_kill(machine):
    assert verdict(machine, 1, audit=0x40000003) == "killed"
    assert verdict(machine, 0x40000000 + 39) == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip(f"the kernel's headers for {machine} are not installed")
    text = HEADERS[machine].read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    numbers = seccomp._ARCHITECTURES[machine].numbers
    assert {name: number for name, number in numbers.items() if name in known and known[name] != number} == {}
    assert len(set(numbers) & set(known)) > 60


def test_an_unknown_processor_is_named():
    assert not seccomp.supported("riscv64")
    with pytest.raises(OSError, match="no system-call filter for riscv64; there is for x86_64, aarch64"):
        seccomp.program("riscv64")
