"""The command line in this process, and runs of it in processes of their own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rtrec.cli import app


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Let every test begin in an empty folder and without settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RTREC_")]:
        monkeypatch.delenv(name)
    # Tables are not folded, so that whole words can be looked for.
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def rtrec() -> Callable[..., Result]:
    """Return the command line as a function of its words."""

    def call(*words: object, text: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], input=text, prog_name="rtrec")

    return call


@pytest.fixture
def rtrec_process(own_place) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return the command line as a function that runs a real process."""

    def call(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rtrec", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, **options)

    return call


@pytest.fixture
def in_threads(monkeypatch):
    """Run shards in threads of this process: workers of their own take seconds to start."""
    from rtrec.engine.live import LiveRun

    start = functools.partial(LiveRun.start, processes=False)
    monkeypatch.setattr(LiveRun, "start", start)
