"""Settings from files and texts; what beats what is tested in tests/cli/test_about.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rtrec.errors import InputError
from rtrec.settings import Settings, load_settings


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


def test_a_truth_value_is_one_where_it_is_meant(tmp_path):
    assert load_settings(write(tmp_path, "repeat: yes\n")).repeat is True


def test_a_misspelt_variable_is_warned_about_with_the_nearest_and_others_are_not():
    environ = {"RTREC_RING_LENGHT": "3", "RTREC_HOME": "x", "RTREC_DATASETS": "y", "RING_LENGHT": "4"}
    with capture_logs() as logs:
        assert load_settings(environ=environ | {"RTREC_REPEAT": "true"}) == Settings(repeat=True)
    assert [(each["variable"], each["did_you_mean"]) for each in logs] == [
        ("RTREC_RING_LENGHT", "RTREC_RING_LENGTH")
    ]
