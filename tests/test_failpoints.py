"""Failpoints: nothing unless armed; then the process ends, or the step fails, at the n-th time."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtrec import failpoints
from rtrec.failpoints import FAILPOINTS, arm, arm_as_told, disarm, failpoint
from tests.sources import tree_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    disarm()


def test_unarmed_nothing_happens_and_nothing_is_made() -> None:
    assert failpoint("log.append") is failpoint("log.cut")
    with failpoint("log.append"):
        pass


def test_the_step_fails_at_the_time_it_was_told_and_only_then() -> None:
    arm("log.cut", "raise", at=2)
    done = []
    with failpoint("log.cut"):
        done.append(1)
    with pytest.raises(OSError, match=r"failpoint log\.cut: raise"), failpoint("log.cut"):
        done.append(2)
    with failpoint("log.cut"):
        done.append(3)
    assert done == [1, 3]


def test_behind_a_step_it_is_done_all_the_same() -> None:
    arm("log.cut", "raise-after")
    done = []
    with pytest.raises(OSError, match="raise-after"), failpoint("log.cut"):
        done.append(1)
    assert done == [1]


@pytest.mark.parametrize(("action", "said"), [("kill", "before\n"), ("kill-after", "before\nwithin\n")])
def test_a_process_is_killed_where_its_environment_says(action: str, said: str) -> None:
    code = (
        "from rtrec.failpoints import failpoint\n"
        "print('before', flush=True)\n"
        "with failpoint('log.append'): print('within', flush=True)\n"
        "print('behind', flush=True)\n"
    )
    environment = {failpoints.VARIABLE: f"log.append={action}@1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, said)


@pytest.mark.parametrize("action", ["kill", "kill-after", "raise", "raise-after"])
def test_what_acts_leaves_its_mark_and_what_does_not_leaves_none(tmp_path: Path, action: str) -> None:
    """Fails if the mark is written when a failpoint is armed or passed, or only once the process is gone."""
    mark = tmp_path / "mark"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rtrec.failpoints import arm, failpoint\n"
        f"arm('log.cut', '{action}', at=2, mark=Path(sys.argv[1]))\n"
        "with failpoint('log.cut'): pass\n"
        "print(Path(sys.argv[1]).exists(), flush=True)\n"
        "with failpoint('log.cut'): pass\n"
    )
    command = [sys.executable, "-c", code, str(mark)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL if "kill" in action else 1, "False\n")
    assert mark.read_text() == f"log.cut {action}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log.apend=kill", r"no failpoint 'log\.apend'; did you mean 'log\.append'"),
        ("log.append=explode", "expected one of kill, kill-after, raise, raise-after.*'explode'"),
        ("log.append", r"expected NAME=ACTION.*'log\.append'"),
        ("log.append=kill@0", "at 1 or later"),
    ],
)
def test_what_cannot_be_armed_is_said(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        arm_as_told(text)


def test_every_declared_failpoint_stands_somewhere_and_no_other_does() -> None:
    used = {
        node.args[0].value
        for path in (ROOT / "rtrec").rglob("*.py")
        for node in ast.walk(tree_of(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    }
    assert used == set(FAILPOINTS)
