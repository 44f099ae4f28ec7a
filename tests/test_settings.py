"""Settings from files and texts; what beats what is tested in tests/cli/test_about.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtrec.declared import FEATURE_NAMES
from rtrec.errors import InputError
from rtrec.settings import Settings, declarations, load_settings, make_settings


def write(folder: Path, content: str) -> Path:
    (folder / "mine.yaml").write_text(content)
    return folder / "mine.yaml"


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "{}\n"])
def test_an_empty_file_changes_nothing(tmp_path, content):
    assert load_settings(write(tmp_path, content)) == Settings()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "on: true\n",
            r"mine\.yaml: expected names of settings; got True \(YAML reads on, off, yes and no as truth",
        ),
        ("ring_length: 20\noff: 1\n", r"mine\.yaml: expected names of settings; got False"),
        ("1: 2\n", r"mine\.yaml: expected names of settings; got 1 "),
        ("- ring_length\n", r"mine\.yaml: expected 'name: value' lines, got list"),
        ("ring_length: [\n", r"mine\.yaml: cannot be read"),
        ("'on': true\n", "unknown setting 'on'"),
        (
            "ring_length: 20\nrepeat: yes\nring_length: 5\n",
            r"mine\.yaml: line 3: 'ring_length' is there a second time; keep one",
        ),
        ("5: 3\n5: 4\n", "line 2: 5 is there a second time"),
        ("ring_length: yes\n", "setting 'ring_length': expected a number; got the truth value True"),
        ("half_life_long_h: false\n", "setting 'half_life_long_h': expected a number; got the truth value"),
    ],
)
def test_a_file_that_names_no_settings_is_refused_by_what_it_says(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        load_settings(write(tmp_path, content))


@pytest.mark.parametrize(
    "written",
    [
        "count,near_ring",
        " near_ring , count, ",
        ("near_ring", "count"),
        ["count", "near_ring", "count"],
        {"near_ring", "count"},
    ],
)
def test_features_are_left_out_by_names_in_any_form_and_order(written):
    assert make_settings({"without": written}) == Settings(without=("near_ring", "count"))


@pytest.mark.parametrize("nothing", ["", " , ", (), [], None])
def test_nothing_left_out_is_the_default(nothing):
    assert make_settings({"without": nothing}) == Settings()


def test_what_is_left_out_survives_json():
    settings = Settings(without=("near_ring", "heat_now"))
    again = Settings(**json.loads(json.dumps(settings.model_dump())))
    assert again == settings
    assert again.without == ("near_ring", "heat_now")
    assert settings.changed(ring_length=5).without == ("near_ring", "heat_now")


@pytest.mark.parametrize("content", ["without: [heat_now, near_ring]", "without: near_ring,heat_now"])
def test_a_file_leaves_out_features_by_a_list_or_a_text(tmp_path, content):
    assert load_settings(write(tmp_path, content)).without == ("near_ring", "heat_now")


def test_the_environment_leaves_out_features_and_a_flag_beats_it():
    environ = {"RTREC_WITHOUT": "near_ring,heat_now"}
    assert load_settings(environ=environ).without == ("near_ring", "heat_now")
    assert load_settings(environ=environ, overrides={"without": ""}).without == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "near_rng",
            r"'without': there is no feature 'near_rng'; did you mean 'near_ring'\?; got 'near_rng'",
        ),
        (["near_ring", "hot"], "there is no feature 'hot'"),
        (True, "setting 'without': expected names of features, such as near_ring,heat_now; got True"),
        (3, "expected names of features"),
        ([3], "there is no feature 3"),
    ],
)
def test_what_is_no_feature_cannot_be_left_out(value, words):
    with pytest.raises(InputError, match=words):
        make_settings({"without": value})


def test_a_setting_that_names_things_declares_what_can_be_named():
    choices = {each.name: each.choices for each in declarations() if each.choices}
    assert choices == {"without": FEATURE_NAMES}


def test_a_truth_value_is_one_where_it_is_meant(tmp_path):
    assert load_settings(write(tmp_path, "repeat: yes\n")).repeat is True


def test_a_misspelt_variable_is_warned_about_with_the_nearest_and_others_are_not():
    environ = {"RTREC_RING_LENGHT": "3", "RTREC_HOME": "x", "RTREC_DATASETS": "y", "RING_LENGHT": "4"}
    with capture_logs() as logs:
        assert load_settings(environ=environ | {"RTREC_REPEAT": "true"}) == Settings(repeat=True)
    assert [(each["variable"], each["did_you_mean"]) for each in logs] == [
        ("RTREC_RING_LENGHT", "RTREC_RING_LENGTH")
    ]
