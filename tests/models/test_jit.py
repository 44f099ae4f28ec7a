"""What compiled kernels are kept under: the content of exactly the files they are made from."""

from __future__ import annotations

from rtrec.models.jit import _PACKAGE, _kernel_sources


def test_kernels_are_keyed_by_their_files_and_by_what_those_import() -> None:
    names = {str(path.relative_to(_PACKAGE)) for path in _kernel_sources()}
    assert {"models/kernel.py", "models/candidates.py", "models/streaming/isgd.py"} <= names  # have kernels
    assert {"features/declared.py", "models/nearline/tables.py", "types.py"} <= names  # have what they read
    assert not names & {"models/snapshot.py", "models/registry.py", "models/nearline/ease.py"}
