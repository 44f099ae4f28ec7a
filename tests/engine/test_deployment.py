"""What a deployment was made with is what its manifest says, or it is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rtrec.engine.deployment import FORMAT_VERSION, Deployment
from rtrec.errors import CorruptionError
from rtrec.failpoints import arm, disarm
from rtrec.files import new_hash
from rtrec.settings import Settings

TEXTS, CATEGORIES = {"i1": "a film", "i2": "another"}, {"i1": ["war"], "i2": ["war", "drama"]}


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment(tmp_path)
    manifest = {"shards": 1, "source": "x", "feed": {"file": "x"}, "warmup_events": 0}
    manifest["settings"] = Settings().model_dump()
    deployment.create(manifest, texts=TEXTS, categories=CATEGORIES)
    return deployment


def to_format_6(deployment: Deployment) -> None:
    """Make of a manifest what rtrec wrote before it listed the files beside it."""
    path = deployment.home / "deployment.json"
    content = json.loads(path.read_text()) | {"format": 6}
    del content["files"], content["checksum"]
    digest = new_hash()
    digest.update(json.dumps(content, sort_keys=True).encode())
    path.write_text(json.dumps(content | {"checksum": digest.hexdigest()}))


def test_what_it_was_made_with_is_read_back(deployment: Deployment) -> None:
    assert (deployment.texts(), deployment.categories()) == (TEXTS, CATEGORIES)
    assert deployment.manifest["format"] == FORMAT_VERSION
    assert sorted(deployment.manifest["files"]) == ["categories.json", "texts.json"]


@pytest.mark.parametrize(
    ("name", "read"), [("texts", Deployment.texts), ("categories", Deployment.categories)]
)
@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_text(path.read_text().replace("i1", "i3")),
        lambda path: path.write_text("{}"),
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 9),
    ],
    ids=["edited", "emptied", "removed", "cut off"],
)
def test_what_is_not_what_was_written_is_refused(
    deployment: Deployment, name: str, read: Callable, harm: Callable[[Path], None]
) -> None:
    harm(deployment.home / f"{name}.json")
    with pytest.raises(CorruptionError, match=rf"{name}\.json: expected checksum .* restore it from a copy"):
        read(deployment)


def test_what_it_was_not_made_with_is_refused(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.create({"shards": 1, "settings": {}})
    assert deployment.texts() == {}
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    with pytest.raises(CorruptionError, match=r"texts\.json: expected checksum of no such file"):
        deployment.texts()


def test_a_deployment_of_the_format_before_is_believed(deployment: Deployment) -> None:
    to_format_6(deployment)
    (deployment.home / "titles.json").write_text(json.dumps(TEXTS))
    assert (deployment.texts(), deployment.categories()) == (TEXTS, CATEGORIES)
    assert deployment.keep_titles(None) == TEXTS
    assert deployment.keep_titles({"titles": "a film of that name"}) == {"titles": "a film of that name"}
    assert deployment.keep_titles(None) == {"titles": "a film of that name"}


def test_titles_are_kept_and_damage_to_them_is_noticed_until_there_are_others(deployment: Deployment) -> None:
    path = deployment.home / "titles.json"
    assert deployment.keep_titles(None) == {}
    assert deployment.keep_titles(TEXTS) == deployment.keep_titles(None) == TEXTS
    path.write_text(path.read_text().replace("another", "anothex"))
    with pytest.raises(CorruptionError, match=r"titles\.json: its content does not match its checksum"):
        deployment.keep_titles(None)
    assert deployment.keep_titles(TEXTS) == deployment.keep_titles({}) == TEXTS
    path.write_text("[]")
    with pytest.raises(CorruptionError, match="expected an object, got list"):
        deployment.keep_titles(None)


def test_titles_that_are_there_already_are_not_written_again(deployment: Deployment) -> None:
    deployment.keep_titles(TEXTS)
    before = (deployment.home / "titles.json").stat().st_ino
    deployment.keep_titles(TEXTS)
    assert (deployment.home / "titles.json").stat().st_ino == before


def test_damage_to_what_the_last_feed_was_is_noticed(deployment: Deployment) -> None:
    """Read it as it stands, and a damaged size of the file would be taken for the right one."""
    assert deployment.last_feed() == {"file": "x"}
    deployment.keep_feed({"file": "clicks.csv", "rows": 700})
    assert deployment.last_feed() == {"file": "clicks.csv", "rows": 700}
    path = deployment.home / "feed.json"
    path.write_text(path.read_text().replace("700", "300"))
    with pytest.raises(CorruptionError, match=r"feed\.json: its content does not match its checksum"):
        deployment.last_feed()


@pytest.mark.parametrize("at", range(1, 11))
def test_one_whose_clearing_is_cut_short_is_no_deployment(deployment: Deployment, at: int) -> None:
    """Remove the manifest behind anything else, and this fails."""
    arm("deployment.clear", "raise-after", at=at)
    try:
        with pytest.raises(OSError, match=r"failpoint deployment\.clear"):
            deployment.clear()
    finally:
        disarm()
    assert not deployment.exists
    deployment.refuse_remains()  # what is left of one without events is no obstacle
    deployment.clear()
    assert list(deployment.home.iterdir()) == []
