"""A Dask cluster that is not ours, all in processes of its own, as an operator would run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil


class OperatedCluster:
    """A scheduler, and workers under a supervisor that starts again whichever ends.

    Dask's workers end by themselves when their scheduler is gone, so nobody runs them without one.

    Parameters
    ----------
    folder
        Where workers put their files.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._folder = folder
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._supervisors: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all of it."""
        self.start_scheduler()
        options = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(self._folder))
        supervised = ("sh", "-c", 'while :; do "$@"; sleep 0.1; done', "supervisor")
        self._supervisors = [
            _run(*supervised, *_command("dask_worker", self.address, *options)) for _ in range(2)
        ]

    def start_scheduler(self) -> None:
        """Start the scheduler, at the same address each time."""
        self._scheduler = _run(*_command("dask_scheduler", "--port", str(self.port), "--no-dashboard"))

    def kill_scheduler(self) -> None:
        """Kill the scheduler alone."""
        if self._scheduler is not None:
            _kill(self._scheduler)
            self._scheduler = None

    def signal_workers(self, number: signal.Signals) -> None:
        """Send a signal to the workers and their nannies."""
        for supervisor in self._supervisors:
            for process in psutil.Process(supervisor.pid).children(recursive=True):
                process.send_signal(number)

    def stop(self) -> None:
        """Kill all of it."""
        self.kill_scheduler()
        for supervisor in self._supervisors:
            _kill(supervisor)
        self._supervisors = []


def _command(module: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1", *options)


def _run(*command: str) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload,no-any-return]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
