"""What `rtrec models` and `rtrec settings` list is what there is."""

from __future__ import annotations

import pytest

from rtrec.declared import FEATURE_NAMES
from rtrec.models.registry import MODELS
from rtrec.settings import declarations
from tests.cli.samples import json_lines


def test_models_lists_the_registry(rtrec):
    result = rtrec("models")
    assert result.exit_code == 0
    assert all(name in result.stdout and entry.sentence in result.stdout for name, entry in MODELS.items())
    assert [line["model"] for line in json_lines(rtrec("models", "--json").stdout)] == list(MODELS)


def test_settings_lists_every_declaration(rtrec):
    result = rtrec("settings", "--json")
    assert [line["name"] for line in json_lines(result.stdout)] == [each.name for each in declarations()]
    table = rtrec("settings").stdout
    assert all(each.name in table and each.sentence in table for each in declarations())


def test_flag_beats_environment_beats_file_beats_default(rtrec, tmp_path, monkeypatch):
    def value() -> dict:
        lines = json_lines(rtrec("settings", "--json", *words).stdout)
        return {line["name"]: line["value"] for line in lines}["ring_length"]

    words: list[str] = []
    assert value() == 10
    (tmp_path / "mine.yaml").write_text("ring_length: 11\n")
    words = ["--settings", "mine.yaml"]
    assert value() == 11
    monkeypatch.setenv("RTREC_RING_LENGTH", "12")
    assert value() == 12
    words += ["--set", "ring_length=13"]
    assert value() == 13


def test_a_changed_value_is_shown_beside_its_default(rtrec):
    assert "20 (default 10)" in rtrec("settings", "--set", "ring_length=20").stdout


def test_features_are_listed_by_the_names_that_leave_them_out(rtrec):
    lines = json_lines(rtrec("settings", "--features", "--set", "without=count", "--json").stdout)
    assert [line["name"] for line in lines] == list(FEATURE_NAMES)
    assert [line["name"] for line in lines if line["left_out"]] == ["count"]
    table = rtrec("settings", "--features", "--set", "without=count").stdout
    assert "is popular this very hour" in table
    assert table.count("left out") == 1


def test_features_left_out_are_shown_as_they_are_typed(rtrec, monkeypatch):
    table = rtrec("settings", "--set", "without=heat_now,near_ring").stdout
    assert "near_ring,heat_now (default none)" in table
    monkeypatch.setenv("RTREC_WITHOUT", "count")
    line = next(line for line in json_lines(rtrec("settings", "--json").stdout) if line["name"] == "without")
    assert (line["value"], line["default"], line["type"]) == (["count"], [], "names")
    assert "near_ring" in line["choices"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "ring_lenth=3"], "unknown setting 'ring_lenth'; did you mean 'ring_length'?"),
        (["--set", "ring_length=300"], "setting 'ring_length': Input should be less than or equal to 32"),
        (["--set", "ring_length"], "expected name=value"),
        (["--set", "without=near_rng"], "there is no feature 'near_rng'; did you mean 'near_ring'?"),
        (["--settings", "nowhere.yaml"], "settings file nowhere.yaml: cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_exits_with_2(rtrec, words, expected):
    result = rtrec("settings", *words)
    assert result.exit_code == 2
    assert expected in result.stderr
