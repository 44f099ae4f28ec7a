"""What the log in SQLite and Parquet confirmed is there when the power comes back.

Power never really goes: a layer below the writer takes back what it did not sync (``tests/chaos/io_shim.c``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rtrec.errors import CorruptionError
from tests.chaos import shim
from tests.events.log_writer import assert_nothing_confirmed_is_missing

pytestmark = [pytest.mark.faults, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the layer; whoever preloads it runs on top of it."""
    shim.require()
    return shim.build(tmp_path_factory.mktemp("shim"))


def write_until_the_power_goes(library: Path, path: Path, *, at: int, seed: int, hasty: bool = False) -> int:
    """Return how many events the writer confirmed before its ``at``-th call, at which the power goes."""
    report = path.parent.with_name(f"report-{seed}")
    command = [sys.executable, "-m", "tests.events.log_writer", str(path), *["--hasty"] * hasty]
    command += ["--power-at", str(at), "--seed", str(seed), "--report", str(report)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"LD_PRELOAD": str(library)}, capture_output=True, text=True
    )
    assert report.exists(), done.stderr  # else it ended in some other way
    # Memory that processes share is gone with the power.
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    return max(
        (int(line) for line in done.stdout.splitlines(keepends=True) if line.endswith("\n")), default=0
    )


def test_what_was_confirmed_is_there_when_the_power_comes_back(library: Path, tmp_path: Path) -> None:
    """Eight lives of one log. Let ``synchronous`` of the log be ``NORMAL`` or ``OFF``, and this fails."""
    rng, path, most = np.random.default_rng(8), tmp_path / "log" / "events.sqlite", 0
    for life in range(8):
        at = int(rng.integers(20, 400))
        confirmed = write_until_the_power_goes(library, path, at=at, seed=life)
        assert_nothing_confirmed_is_missing(path, confirmed)
        most = max(most, confirmed)
    assert most > 100, "no writer came far"
    assert list(path.parent.glob("history/partition-*/0*.parquet")), "no writer lived to compact"


def test_without_syncs_something_confirmed_is_missing(library: Path, tmp_path: Path) -> None:
    """Fails if the test above cannot fail: it leaves the syncs of the log out itself."""
    rng, n_found = np.random.default_rng(8), 0
    for life in range(4):
        path = tmp_path / str(life) / "log" / "events.sqlite"
        path.parent.mkdir(parents=True)
        at = int(rng.integers(20, 400))
        confirmed = write_until_the_power_goes(library, path, at=at, seed=life, hasty=True)
        try:
            assert_nothing_confirmed_is_missing(path, confirmed)
        except (AssertionError, CorruptionError):
            n_found += 1
    assert n_found > 0
