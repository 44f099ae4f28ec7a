"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.needs import missing

if TYPE_CHECKING:
    from tests.kafka_cluster import Cluster

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_datasets() -> Path:
    """Return the folder of real data beside the checkout, or skip the test where there is none."""
    folder = Path(os.environ.get("RTREC_DATASETS", REPOSITORY.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip(f"real data not here: no folder {folder} (set RTREC_DATASETS to its place)")
    return folder


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[Cluster]:
    """Return a broker that all tests share; each takes a topic of its own."""
    pytest.importorskip("confluent_kafka", reason="needs the extra [kafka]")
    from tests.kafka_cluster import Cluster

    cluster = Cluster()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the Chromium for browser tests; without one :func:`tests.needs.missing` decides."""
    named = os.environ.get("RTREC_CHROMIUM")
    for name in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        found = shutil.which(name)
        if found:
            return Path(found)
    reason = (
        f"no Chromium: RTREC_CHROMIUM names {named}, which does not run"
        if named
        else ("no Chromium on PATH (Debian: apt install chromium; elsewhere set RTREC_CHROMIUM to its path)")
    )
    missing(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cells of notebooks as such, and every test that asks for a browser."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker("notebook")
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
