"""The README's Python, word for word, as files of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_what_the_readme_shows_runs_as_a_file(tmp_path: Path, number: int) -> None:
    script = tmp_path / "first.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "default" in done.stdout


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) == 2
