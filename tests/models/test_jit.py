"""What compiled kernels are kept under: the content of exactly the files they are made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtrec.models.jit import _PACKAGE, _cache_folder, _kernel_sources


def test_kernels_are_keyed_by_their_files_and_by_what_those_import() -> None:
    names = {str(path.relative_to(_PACKAGE)) for path in _kernel_sources()}
    assert {"models/kernel.py", "models/candidates.py", "models/streaming/isgd.py"} <= names  # have kernels
    assert {"declared.py", "models/nearline/tables.py", "types.py"} <= names  # have what they read
    assert not names & {"models/snapshot.py", "models/registry.py", "models/nearline/ease.py"}


def test_an_empty_cache_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the folder one happens to be in, as the XDG specification has it too."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert _cache_folder().parent == Path.home() / ".cache" / "rtrec"
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert _cache_folder().parent == Path("/elsewhere/rtrec")
