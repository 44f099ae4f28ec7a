"""The one way rtrec compiles its kernels.

numba keys a cached kernel by the file that defines it, not by the files it calls, so after a change in
``tables.py`` a kernel in ``kernel.py`` would go on with the old code. All our kernels therefore share a cache
folder named after the content of every file they are made from: those that import this one, and what those
import of rtrec.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config

_Function = TypeVar("_Function", bound=Callable[..., Any])
_PACKAGE = Path(__file__).parent.parent
_IMPORT = re.compile(r"^\s*(?:from|import) rtrec\.([\w.]+)", re.MULTILINE)


def _kernel_sources() -> list[Path]:
    """Return the files with kernels and, one from the other, all of rtrec that they import."""
    files = [file for layer in ("features", "models") for file in (_PACKAGE / layer).rglob("*.py")]
    imports = {file: set(_IMPORT.findall(file.read_text(encoding="utf-8"))) for file in files}
    found: set[Path] = set()
    waiting = [file for file, names in imports.items() if "models.jit" in names]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [_PACKAGE / f"{name.replace('.', '/')}.py" for name in imports.get(file, ())]
    return sorted(file for file in found if file.exists())


def _cache_folder() -> Path:
    """Return where compiled kernels of exactly this source are kept."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rtrec"
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for file in _kernel_sources():
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
