"""The C library's memory: handed back to the system, and kept in few pools.

A run lives for weeks and has dozens of threads, among them those of Dask, Arrow and the dashboard. By
default glibc keeps up to eight pools a core for them, and in each what was once needed at the same time. In
half an hour of use (``python -m tests.chaos.soak``) a run grew by 1.1 MB a minute that way, and by 0.2
beside it with two pools and what is free at their ends given back. Dask has its workers give back by itself.
"""

from __future__ import annotations

import ctypes
import os
import sys

#: Names of glibc's ``mallopt``, the variables that say the same from outside, and what we say.
_OPTIONS = (
    (-1, "MALLOC_TRIM_THRESHOLD_", 65536),  # bytes free at the end of a pool; as Dask's workers have it
    (-8, "MALLOC_ARENA_MAX", 2),
)


def give_memory_back() -> None:
    """Have this process keep little memory that nobody uses; whatever the environment says of it stays.

    Pools that were made before stay as well. Without glibc nothing happens.
    """
    if sys.platform != "linux":
        return
    say = getattr(ctypes.CDLL(None), "mallopt", None)
    for option, variable, value in _OPTIONS:
        if say is not None and variable not in os.environ:
            say(option, value)
