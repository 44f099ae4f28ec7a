"""The one way rtrec compiles its kernels.

numba keys a cached kernel by the file that defines it, not by the files it calls, so after a change in
``tables.py`` a kernel in ``kernel.py`` would go on with the old code. All our kernels therefore share a cache
folder named after the content of every file of this package that holds one.
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
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text = file.read_bytes()
        if b"@kernel" in text:
            digest.update(text)
    return base / f"kernels-{digest.hexdigest()}"


_CACHE_FOLDER = str(_cache_folder())


def kernel(function: _Function) -> _Function:
    """Compile ``function`` to machine code that runs without the GIL and is kept on disk."""
    before = config.CACHE_DIR
    config.CACHE_DIR = _CACHE_FOLDER  # read while numba decorates, and only then
    try:
        compiled: _Function = numba.njit(nogil=True, cache=True)(function)
        return compiled
    finally:
        config.CACHE_DIR = before
