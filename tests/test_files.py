"""Files that appear whole, and never in place of another where that is promised."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtrec.files import publish_new_text, publish_text


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which file a descriptor is of")
def test_a_file_is_synced_before_it_has_its_name_and_the_name_behind_it(tmp_path, monkeypatch):
    """Fails if a sync is left out, or comes after what it is to come before."""
    steps = []

    def noted(step: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            of = [os.readlink(f"/proc/self/fd/{each}") if step == "sync" else each for each in arguments]
            steps.append((step, *(os.path.relpath(each, tmp_path) for each in of)))
            function(*arguments)

        return call

    monkeypatch.setattr("os.fsync", noted("sync", os.fsync))
    monkeypatch.setattr("os.replace", noted("name", os.replace))
    publish_text(tmp_path / "reports" / "a.txt", "x")
    assert steps == [
        ("sync", "."),  # the folder is new
        ("sync", "reports/.unfinished-a.txt"),
        ("name", "reports/.unfinished-a.txt", "reports/a.txt"),
        ("sync", "reports"),
    ]


def test_a_new_text_is_written_beside_those_of_its_name(tmp_path):
    path = tmp_path / "reports" / "a.html"
    assert [publish_new_text(path, text) for text in "xyz"] == [
        path,
        path.with_name("a_2.html"),
        path.with_name("a_3.html"),
    ]
    publish_text(path, "over it")
    assert [each.read_text() for each in sorted(path.parent.iterdir())] == ["over it", "y", "z"]


def test_of_many_at_once_each_has_a_name_of_its_own(tmp_path):
    texts = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda text: publish_new_text(tmp_path / "a.html", text), texts))
    assert [path.read_text() for path in paths] == texts
    assert len(list(tmp_path.iterdir())) == 40
