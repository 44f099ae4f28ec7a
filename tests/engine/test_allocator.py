"""Few pools of memory, whatever the number of threads."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from rtrec.engine.allocator import give_memory_back

#: Eight threads that hold memory at the same time; then glibc says how many pools it has.
_PROGRAM = """
import ctypes, sys, threading
from rtrec.engine.allocator import give_memory_back
if sys.argv[1] == "ours":
    give_memory_back()
ready, libc = threading.Barrier(9), ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def hold():
    held = [libc.malloc(1000) for _ in range(100)]
    ready.wait()
    ready.wait()
for _ in range(8):
    threading.Thread(target=hold, daemon=True).start()
ready.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
ready.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(
    ("whose", "variables", "fits"),
    [
        ("ours", {}, lambda n: n <= 2),
        ("its own", {}, lambda n: n > 4),
        ("ours", {"MALLOC_ARENA_MAX": "5"}, lambda n: n == 5),
    ],
)
def test_eight_threads_have_two_pools_unless_the_environment_says_otherwise(whose, variables, fits) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM, whose],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert fits(said.count("<heap nr=")), said[:2000]


def test_without_glibc_nothing_is_said_and_what_the_environment_says_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[tuple[int, int]] = []
    library = SimpleNamespace()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "5")
    give_memory_back()
    assert not said

    library.mallopt = lambda option, value: said.append((option, value))
    give_memory_back()
    assert said == [(-1, 65536)]
