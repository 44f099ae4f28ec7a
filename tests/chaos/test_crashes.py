"""A small set of crashes; `make chaos` tries many more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import shim

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _can_be_built() -> None:
    if not sys.platform.startswith("linux") or shim.compiler() is None:
        pytest.skip("a layer below a process needs Linux and a C compiler")


def crashes(*options: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "tests.chaos.crashes", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_wherever_a_life_ends_the_next_one_comes_to_the_same() -> None:
    """Fails if ``synchronous = FULL`` is taken out of the log, or the order out of ``publish_file``."""
    *bad, summary = crashes("--points", "12", "--seed", "5")
    assert bad == []
    assert summary["points"] == 12


@pytest.mark.parametrize("syncs", ["files", "log"])
def test_without_syncs_a_failure_of_the_power_is_found_out(syncs: str) -> None:
    """Fails if what looks for lost writes cannot find them: it leaves the syncs out itself."""
    *bad, _ = crashes("--points", "8", "--seed", "5", "--action", "power", "--without", syncs)
    assert bad
