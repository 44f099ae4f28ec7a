"""What errors advise can be done."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rtrec.errors import to_install

ROOT = Path(__file__).parent.parent
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
_ADVISED = {
    extra
    for path in (ROOT / "rtrec").rglob("*.py")
    for extra in re.findall(r"to_install\(['\"](\w+)", path.read_text())
}


@pytest.mark.parametrize("extra", sorted(_ADVISED))
def test_what_is_to_be_installed_is_there_to_be_installed(extra: str) -> None:
    assert extra in _EXTRAS
    assert to_install(extra).endswith(f"pip install -c constraints.txt -e '.[{extra}]'")
    assert (ROOT / "constraints.txt").is_file()


def test_nobody_is_sent_to_an_index_for_rtrec() -> None:
    """The distribution is on none, and the name of the package there is somebody else's."""
    asked = re.compile(r"pip install [^\n]*\brtrec(-workbench)?\b")
    texts = [*(ROOT / "rtrec").rglob("*.py"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert [str(path) for path in texts if asked.search(path.read_text(encoding="utf-8"))] == []
