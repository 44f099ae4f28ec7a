"""`rtrec log redrive` and `rtrec log resume`: what they say, and that a run's options reach the cleaner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.samples import json_lines

COLUMNS = ("--user", "user", "--item", "item", "--time", "at", "--kind", "kind", "--event-id", "id")


def write(path: Path, n: int, **cells: dict[int, str]) -> Path:
    """Write a file of ``n`` rows; ``cells`` has what stands elsewhere in a column, by row."""
    lines = []
    for row in range(1, n + 1):
        record = {
            "id": f"e{row}",
            "user": f"u{row % 7}",
            "item": f"i{row % 5}",
            "at": 1_700_000_000 + 60 * row,
            "kind": "view",
        }
        lines.append(json.dumps(record | {name: each[row] for name, each in cells.items() if row in each}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def refused(rtrec, tmp_path, in_threads):
    """Return the home of a run with three kinds of dead letters."""
    file = write(
        tmp_path / "shop.jsonl",
        100,
        at={10: "14.11.2023 23:00", 11: "14.11.2023 23:01", 12: "soon"},
        kind={20: "impression", 21: "impression"},
        user={30: ""},
    )
    result = rtrec("run", file, *COLUMNS, "--home", "home", "--headless")
    assert result.exit_code == 0, result.stderr
    return "home"


def test_with_the_format_of_times_said_the_letters_are_events(rtrec, refused):
    chosen = ("--home", refused, "--reason", "unparsable time", "--time-format", "%d.%m.%Y %H:%M")
    trial = rtrec("log", "redrive", *chosen, "--dry-run")
    said = "would be redriven: 2; still bad: 1 (unparsable time 1)"
    assert said in " ".join(trial.stderr.split())
    [done] = json_lines(rtrec("log", "redrive", *chosen, "--json").stdout)
    assert done == {
        "redriven": 2,
        "left_out": {},
        "still_bad": {"unparsable time": 1},
        "kept_in_part": 0,
        "dry_run": False,
    }
    [info] = json_lines(rtrec("log", "info", "--home", refused, "--json").stdout)
    assert info["events"] == 96
    assert info["dead_letters"] == {"missing user": 1, "unknown kind": 2, "unparsable time": 1}
    # The next run learns them.
    summary = json.loads(rtrec("run", "--home", refused, "--headless", "--json").stdout.splitlines()[-1])
    assert (summary["events"], summary["dead_letters"]) == (96, 4)


def test_kinds_can_be_named_and_rows_mended(rtrec, refused, tmp_path):
    result = rtrec("log", "redrive", "--home", refused, "--kind-map", "impression=view")
    assert "redriven: 2; still bad: 4 (unparsable time 3, missing user 1)" in " ".join(result.stderr.split())
    [letter] = json_lines(
        rtrec("log", "dead-letters", "--home", refused, "--reason", "missing user", "--json").stdout
    )
    letter["payload"] = letter["payload"].replace('"user": ""', '"user": "u9"')
    (tmp_path / "mended.jsonl").write_text(json.dumps(letter) + "\n")
    result = rtrec("log", "redrive", "--home", refused, "--edited", "mended.jsonl")
    assert result.stderr.strip() == "redriven: 1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reason", "unparsable tim"), "did you mean 'unparsable time'?"),
        (("--kind-map", "impression=viev"), "did you mean 'view'?"),
        (("--ids", "9-3"), "--ids '9-3': expected two ids, such as 12-40, or one"),
        (("--edited", "nowhere"), "--edited nowhere: no such file"),
        (("--time", "when"), "no column 'when'"),
    ],
)
def test_what_cannot_be_meant_exits_with_2_and_changes_nothing(rtrec, refused, options, words):
    result = rtrec("log", "redrive", "--home", refused, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    [info] = json_lines(rtrec("log", "info", "--home", refused, "--json").stdout)
    assert sum(info["dead_letters"].values()) == 6


def test_a_lateness_that_is_allowed_refuses_what_comes_later_and_says_how_to_take_it(
    rtrec, tmp_path, in_threads
):
    file = write(tmp_path / "shop.jsonl", 100, at={50: 1_600_000_000, 60: 1_700_003_000})
    options = (*COLUMNS, "--no-sort", "--headless", "--json")
    result = rtrec("run", file, *options, "--home", "home", "--lateness", "1h")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["counts"] == {"accepted": 99, "late": 1}
    assert "rtrec log redrive --reason late --home home" in result.stderr
    [info] = json_lines(rtrec("log", "info", "--home", "home", "--json").stdout)
    assert (info["late"], info["lateness_allowed"]) == (1, "1:00:00")
    assert info["most_late_s"] == 100_002_940
    # Row 100 is dated 1,700,006,000, which is 23:53:20.
    assert info["watermark"] == "2023-11-14T22:53:20+00:00"
    result = rtrec("run", file, *options, "--home", "other")
    assert json.loads(result.stdout.splitlines()[-1])["counts"] == {"accepted": 100}


@pytest.mark.parametrize("text", ["soon", "5", "-3d", "nan"])
def test_a_lateness_that_is_none_exits_with_2(rtrec, tmp_path, text):
    file = write(tmp_path / "shop.jsonl", 10)
    result = rtrec("run", file, *COLUMNS, "--headless", f"--lateness={text}")
    assert result.exit_code == 2
    assert "expected a number with a unit, such as 90s, 30m, 12h or 7d, or off" in result.stderr


def test_a_headless_run_whose_source_goes_bad_ends_and_says_how_to_go_on(rtrec, tmp_path, in_threads):
    file = write(tmp_path / "shop.jsonl", 5000, user=dict.fromkeys(range(1001, 3000), ""))
    run = ("run", file, *COLUMNS, "--home", "home", "--headless", "--json", "--warmup", 100)
    result = rtrec(*run)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "home: the source is paused: shop.jsonl: 201 of the last 1,000 rows cannot be events" in said
    assert "rtrec log resume --home home" in said
    assert "--accept-bad" in said
    assert rtrec(*run).exit_code == 1  # it stays so until somebody says otherwise
    [info] = json_lines(rtrec("log", "info", "--home", "home", "--json").stdout)
    assert info["paused"].startswith("shop.jsonl: 201 of the last")
    result = rtrec("log", "resume", "--home", "home")
    assert "the source is read on; it was paused: shop.jsonl" in " ".join(result.stderr.split())
    assert "nothing is paused" in rtrec("log", "resume", "--home", "home").stderr
    result = rtrec(*run, "--accept-bad")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["events"] == 3001
