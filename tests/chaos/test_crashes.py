"""A small set of crashes; `make chaos` tries many more."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtrec.failpoints import FAILPOINTS
from tests.chaos import at_failpoints, shim
from tests.chaos.trying import Expected

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def compiler() -> None:
    shim.require()


def crashes(*options: str) -> list[dict[str, object]]:
    command = [sys.executable, "-m", "tests.chaos.crashes", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (len(found) > 1)  # whoever looks at nothing else knows it too
    return found


@pytest.mark.usefixtures("compiler")
def test_wherever_a_life_ends_the_next_one_comes_to_the_same() -> None:
    """Fails if ``synchronous = FULL`` is taken out of the log, or the order out of ``publish_file``."""
    *bad, summary = crashes("--points", "12", "--seed", "5")
    assert bad == []
    assert summary["points"] >= 10  # lives differ in their last calls, so one at the end may be calm
    assert summary["points"] == summary["equal"] == 12 - summary.get("calm", 0)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("syncs", ["files", "log"])
def test_without_syncs_a_failure_of_the_power_is_found_out(syncs: str) -> None:
    """Fails if what looks for lost writes cannot find them; the small set above finds both too."""
    *bad, _ = crashes("--points", "8", "--seed", "5", "--action", "power", "--without", syncs)
    assert bad


def test_killed_before_and_behind_every_failpoint_a_deployment_ends_as_if_undisturbed() -> None:
    """Fails if a rollback takes the journal back before newer snapshots go, or no life meets a failpoint."""
    *bad, summary = crashes("--failpoints", "--in-a-row")
    assert bad == []
    assert summary == {"points": 2 * len(FAILPOINTS), "equal": 2 * len(FAILPOINTS)}


def test_a_failpoint_that_no_life_comes_by_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That no life comes by a second time is none: a deployment is made once."""
    monkeypatch.setattr(at_failpoints, "_undisturbed", lambda _: Expected({}, ""))
    monkeypatch.setattr(at_failpoints, "FAILPOINTS", ["nowhere"])
    monkeypatch.setattr(at_failpoints, "try_point", lambda _, __, point, ___: replace(point, outcome="calm"))
    found = at_failpoints.at_failpoints(tmp_path)
    assert [each.outcome for each in found] == ["never reached", "calm"] * 4
    assert [each.is_bad for each in found] == [True, False] * 4
    assert "no life came by the failpoint nowhere" in capsys.readouterr().err
