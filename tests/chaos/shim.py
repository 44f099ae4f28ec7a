"""The layer between a process and its disk (``io_shim.c``): built with the compiler there is, preloaded."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

from tests.needs import missing

SOURCE = Path(__file__).with_name("io_shim.c")


class Action(IntEnum):
    """What happens at the n-th call that changes a file: the names are those of ``io_shim.c``."""

    NOTHING = 0
    KILL = 1  # the process ends before the call
    AFTER = 2  # behind it
    TORN = 3  # in the midst: part of what is written arrives
    POWER = 4  # the machine ends: what was not synced is lost, all of it or what came last
    EIO = 5  # the call fails, and so do some behind it
    ENOSPC = 6


def compiler() -> str | None:
    """Return a C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


def require() -> None:
    """Skip the test that calls this where the layer cannot be built, or fail it: see :mod:`tests.needs`."""
    if not sys.platform.startswith("linux") or compiler() is None:
        missing("a layer below a process needs Linux and a C compiler (Debian: apt install gcc libc6-dev)")


def build(folder: Path) -> Path:
    """Compile the layer into ``folder``."""
    built = folder / "io_shim.so"
    command = [str(compiler()), "-O2", "-shared", "-fPIC", "-o", str(built), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return built


def is_loaded() -> bool:
    """Say whether this process runs on top of the layer."""
    return hasattr(ctypes.CDLL(None), "chaos_arm")


def start_again_with(library: Path, module: str, arguments: list[str]) -> None:
    """Replace this process by one that runs ``module`` on top of the layer."""
    environment = os.environ | {"LD_PRELOAD": str(library), "RTREC_IO_SHIM": str(library)}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)


def arm(folder: Path, report: Path, action: Action, *, at: int, seed: int, span: int = 1) -> None:
    """Let ``action`` happen at the ``at``-th call from now on below ``folder`` (0: at none).

    Parameters
    ----------
    report
        A file that will say which call it was, the first if several fail; it must not be there yet.
    span
        How many calls fail, from that one on.
    """
    arm_it = ctypes.CDLL(None).chaos_arm
    arm_it.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_long,
    ]
    arm_it.restype = None
    arm_it(os.fsencode(folder), os.fsencode(report), at, int(action), seed, span)


def count() -> int:
    """Return how many calls there were since the layer was armed."""
    counted = ctypes.CDLL(None).chaos_count
    counted.restype = ctypes.c_long
    return int(counted())
