"""Exit codes, errors, and where things are printed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from rtrec import __version__
from rtrec.cli import app
from rtrec.cli.console import printable
from rtrec.errors import CorruptionError, DeploymentError, InputError


def commands(group: Any, *above: str) -> Iterator[str]:
    """Yield the words of every command, those of groups within groups included."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, *above, name)
        else:
            yield " ".join((*above, name))


COMMANDS = list(commands(typer.main.get_command(app)))


def test_help_lists_every_command(rtrec):
    assert {"demo", "run", "log dead-letters"} <= set(COMMANDS)
    result = rtrec("--help")
    assert result.exit_code == 0
    assert all(command.split()[0] in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(rtrec, command):
    result = rtrec(*command.split(), "--help")
    assert result.exit_code == 0
    assert re.search(r"Example.*: rtrec \w+", result.stdout.replace("\n", " "))


def test_version(rtrec):
    result = rtrec("--version")
    assert (result.exit_code, result.stdout) == (0, f"rtrec {__version__}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evalute"], "Did you mean 'evaluate', 'evaluate-offline'?"),
        (["tun"], "Did you mean 'tune'"),
        (["evaluate", "--userr", "x"], "No such option: --userr"),
        (["run", "--shards", "0"], "--shards"),
        (["run", "--limit", "9" * 20], "--limit"),
        (["run", "--snapshot-every", "9" * 20], "--snapshot-every"),
        (["evaluate", "--limit", "9" * 20], "--limit"),
        (["evaluate", "--batch", "1" + "0" * 19], "--batch"),
        (["log", "dead-letters", "--limit", "9" * 20], "--limit"),
    ],
)
def test_a_mistyped_command_exits_with_2(rtrec, words, expected):
    result = rtrec(*words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"), [(InputError, 2), (DeploymentError, 1), (CorruptionError, 1), (ValueError, 1)]
)
def test_an_error_becomes_one_line_and_an_exit_code(rtrec, monkeypatch, error, code):
    def fail(*_):
        raise error("the disk is full")

    monkeypatch.setattr("rtrec.cli.about.read_settings", fail)
    result = rtrec("settings")
    assert result.exit_code == code
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "the disk is full" in line
    assert "Traceback" not in result.stderr


def test_an_unforeseen_error_says_how_to_learn_more(rtrec, monkeypatch):
    monkeypatch.setattr("rtrec.cli.about.read_settings", lambda _: 1 / 0)
    assert "ZeroDivisionError: division by zero (`rtrec --debug ...`" in rtrec("settings").stderr


@pytest.mark.parametrize("error", [PermissionError, FileExistsError, OSError])
def test_a_place_that_cannot_be_used_is_said_in_a_sentence(rtrec, monkeypatch, error):
    def fail(*_):
        raise error(30, "Read-only file system", "home/lock")

    monkeypatch.setattr("rtrec.cli.about.read_settings", fail)
    result = rtrec("settings")
    assert result.exit_code == 1
    advice = "name a place that can be read and written, or make room there"
    assert result.stderr == f"Error: home/lock: read-only file system; {advice}\n"


@pytest.mark.parametrize("error", [InputError, ValueError])
def test_debug_shows_the_traceback_as_well(rtrec, monkeypatch, error):
    def fail(*_):
        raise error("the disk is full")

    monkeypatch.setattr("rtrec.cli.about.read_settings", fail)
    result = rtrec("--debug", "settings")
    assert "Traceback" in result.stderr
    assert "in fail" in result.stderr


def test_what_a_file_says_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\x07\x9b1m\u202e") == r"a\x1b[2Jb\x07\x9b1m\u202e"


def test_a_column_named_with_control_characters_is_spelt_out(rtrec, tmp_path):
    (tmp_path / "events.csv").write_text("us\x1b[31mer,item,at\nu,i,1\n")
    result = rtrec("evaluate", "events.csv", "--user", "user", "--item", "item", "--time", "at")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


def test_no_colours_where_no_color_is_set(rtrec_process):
    forced = os.environ | {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    result = rtrec_process("run", "--speed", "fast", env=forced)
    assert result.returncode == 2
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", result.stderr)


def test_a_reader_that_leaves_early_is_no_error(own_place):
    import subprocess
    import sys

    command = f"{sys.executable} -m rtrec settings --json | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert result.stdout.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_errors_leave_stdout_alone(rtrec):
    result = rtrec("evaluate", "nowhere.csv", "--json")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(("words", "expected"), [([], "error=ValueError: no"), (["--debug"], "Traceback")])
def test_what_is_logged_goes_to_stderr_in_a_line_unless_debugged(rtrec, monkeypatch, words, expected):
    import structlog

    def log_it(*_):
        try:
            raise ValueError("no")
        except ValueError:
            structlog.get_logger().exception("it failed", file="events.csv")
        raise InputError("stop")

    monkeypatch.setattr("rtrec.cli.about.read_settings", log_it)
    result = rtrec(*words, "settings")
    assert result.stdout == ""
    assert "it failed" in result.stderr
    assert expected in result.stderr.replace("'", "")
