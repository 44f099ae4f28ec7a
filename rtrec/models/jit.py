"""The one way rtrec compiles its kernels.

numba keys a cached kernel by the file that defines it, not by the files it calls, so after a change in
``tables.py`` a kernel in ``kernel.py`` would go on with the old code. All our kernels therefore share a cache
folder named after the content of every file of the layers they are made from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _cache_folder() -> Path:
    """Return where compiled kernels of exactly this source are kept."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rtrec"
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    package = Path(__file__).parent.parent
    layers = [package / "types.py", *package.glob("models/**/*.py"), *package.glob("features/**/*.py")]
    for file in sorted(layers):
        digest.update(file.read_bytes())
    return base / f"kernels-{digest.hexdigest()}"


_CACHE_FOLDER = str(_cache_folder())


def kernel(function: _Function) -> _Function:
    """Compile ``function`` to machine code that runs without the GIL and is kept on disk."""
    return _compile(function, fastmath=False)


def sum_kernel(function: _Function) -> _Function:
    """Compile a sum whose terms may be added in any order, so that the processor adds eight at a time.

    The order is fixed by the machine code: one machine always gets the same result.
    """
    return _compile(function, fastmath={"reassoc", "nsz", "contract"})


def _compile(function: _Function, *, fastmath: bool | set[str]) -> _Function:
    before = config.CACHE_DIR
    config.CACHE_DIR = _CACHE_FOLDER  # read while numba decorates, and only then
    try:
        compiled: _Function = numba.njit(nogil=True, cache=True, fastmath=fastmath)(function)
        return compiled
    finally:
        config.CACHE_DIR = before
