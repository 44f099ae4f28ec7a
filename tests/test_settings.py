"""Settings from files and texts; what beats what is tested in tests/cli/test_about.py."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    ],
)
def test_a_file_that_names_no_settings_is_refused_by_what_it_says(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        load_settings(write(tmp_path, content))
