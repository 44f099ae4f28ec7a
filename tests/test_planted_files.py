"""Files that would run code if they were unpickled: every reader refuses them, and says which file it is.

Checksums say that a file is whole, not that it is honest, so those of what is planted here are right.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rtrec
from rtrec.engine.deployment import Deployment
from rtrec.errors import RtrecError
from rtrec.events.database import seal
from rtrec.events.embedded_log import EmbeddedLog
from rtrec.events.history import HistoryFile, read_history
from rtrec.events.synthetic import SyntheticStream
from rtrec.features.catalogue import Catalogue
from rtrec.files import blake2b
from rtrec.models.historical import latest_features
from rtrec.models.nearline.tables import NeighbourTable
from rtrec.models.snapshot import _checksum, read_snapshot, write_snapshot
from rtrec.models.table_store import TableStore
from rtrec.settings import Settings, load_settings
from tests.cli.samples import write_events

torch = pytest.importorskip("torch")
MAPPING = rtrec.ColumnMapping("user_id", "item_id", "timestamp")
TABLE = NeighbourTable(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32), np.ones(1, np.int32))


class Trap:
    """Leaves a mark wherever it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    """Return a trap that works, and has left no mark yet."""
    trap = Trap(tmp_path / "mark")
    pickle.loads(pickle.dumps(trap))  # noqa: S301
    assert trap.mark.exists()
    trap.mark.unlink()
    return trap


def pickled(trap: Trap) -> bytes:
    return pickle.dumps(trap)


def array_of_objects(trap: Trap) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([trap], object), allow_pickle=True)
    return content.getvalue()


def archive_of_arrays(trap: Trap) -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.array([trap], object), allow_pickle=True)
    return content.getvalue()


def torch_state(trap: Trap) -> bytes:
    content = io.BytesIO()
    torch.save({"weight": trap}, content)
    assert zipfile.is_zipfile(io.BytesIO(content.getvalue()))
    return content.getvalue()


def refuses(read: Callable[[], Any], file: Path, trap: Trap) -> None:
    with pytest.raises(RtrecError, match=re.escape(str(file))):
        read()
    assert not trap.mark.exists()


def plant(snapshot: Path, content: bytes) -> Path:
    """Put ``content`` in place of an array, with all sizes and checksums made anew; return that file."""
    manifest = snapshot / "manifest.json"
    said = json.loads(manifest.read_text())
    name, entry = next(iter(said["arrays"].items()))
    file = snapshot / f"{name}.npy"
    file.write_bytes(content)
    entry |= {"bytes": len(content), "blake2b": blake2b(file), "dtype": "object", "shape": [1]}
    del said["checksum"]
    manifest.write_text(json.dumps(said | {"checksum": _checksum(said)}))
    return file


@pytest.mark.parametrize("make", [pickled, array_of_objects, archive_of_arrays, torch_state])
class TestArrays:
    """One format holds snapshots, tables, features and what models learned, torch ones too."""

    @pytest.mark.parametrize("mmap", [False, True])
    def test_of_a_snapshot(self, make, mmap: bool, trap: Trap, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path / "snapshots", "000", {"items/count": np.zeros(3)}, {})
        file = plant(path, make(trap))
        refuses(lambda: read_snapshot(path, mmap=mmap).arrays(), file, trap)

    def test_of_a_published_table(self, make, trap: Trap, tmp_path: Path) -> None:
        store = TableStore(tmp_path)
        store.write("history", "one", TABLE, {})
        file = plant(store.path("history", "one"), make(trap))
        sealed = blake2b(store.path("history", "one") / "manifest.json")
        refuses(lambda: store.read("history", "one", sealed), file, trap)

    def test_of_a_fitted_model(self, make, trap: Trap, tmp_path: Path) -> None:
        store = TableStore(tmp_path)
        store.write_model("history", "one", {"network/weight": np.zeros(3)}, {"model": "two-tower"})
        file = plant(store.models / "history" / "one", make(trap))
        refuses(lambda: store.read_model("history", {"model": "two-tower"}), file, trap)

    def test_of_historical_features(self, make, trap: Trap, tmp_path: Path) -> None:
        path = write_snapshot(tmp_path, "version-1", {"item/features": np.zeros((1, 1))}, {})
        file = plant(path, make(trap))
        refuses(lambda: latest_features(tmp_path), file, trap)


@pytest.mark.parametrize("make", [pickled, array_of_objects, torch_state])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.pkl", "a.npy", "a.pt"])
def test_a_table_of_events_or_items(make, name: str, trap: Trap, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(make(trap))
    refuses(lambda: rtrec.load_events(file, MAPPING), file, trap)
    refuses(lambda: Catalogue.read(file, item="item", text=["title"]), file, trap)


def test_a_column_that_says_it_is_made_by_python(trap: Trap, tmp_path: Path) -> None:
    """Arrow once unpickled the metadata of such columns; they are read as what they hold."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickled(trap),
    }
    fields = [pa.field("user_id", pa.string(), metadata=metadata), pa.field("item_id", pa.string())]
    schema = pa.schema([*fields, pa.field("timestamp", pa.int64())])
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table([["ann"], ["tea"], [1_700_000_000]], schema=schema), file)
    assert rtrec.load_events(file, MAPPING).events["user_id"].to_pylist() == ["ann"]
    assert not trap.mark.exists()


@pytest.mark.parametrize("make", [pickled, torch_state])
def test_a_record_of_the_log(make, trap: Trap, tmp_path: Path) -> None:
    file, events = tmp_path / "log.sqlite", SyntheticStream().events(3)
    log = EmbeddedLog(file, partitions=1)
    log.append([events])
    log.close()
    body = make(trap)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE records SET body = ?, seal = ?", (body, seal(0, 0, 3, body)))
    connection.close()
    log = EmbeddedLog(file, mode="read")
    refuses(lambda: log.read(0, 0, 3), file, trap)
    log.close()


@pytest.mark.parametrize("make", [pickled, torch_state])
def test_a_file_of_the_history(make, trap: Trap, tmp_path: Path) -> None:
    file = tmp_path / "000000000000-000000000002.parquet"
    file.write_bytes(make(trap))
    history = HistoryFile(0, 0, 2, file, blake2b(file))
    refuses(lambda: read_history(history, 0, 3), file, trap)


@pytest.mark.parametrize("make", [pickled, torch_state])
@pytest.mark.parametrize("name", ["deployment.json", "texts.json", "categories.json", "titles.json"])
def test_a_file_of_a_deployment(make, name: str, trap: Trap, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "home")
    about = {"shards": 1, "source": "x", "warmup_events": 0, "settings": Settings().model_dump()}
    known = {"tea": "green"}
    deployment.create(about, texts=known, categories={"tea": ["drinks"]})
    deployment.keep_titles(known)
    file = deployment.home / name
    assert file.exists()
    file.write_bytes(make(trap))

    def read() -> None:
        _ = deployment.manifest
        deployment.texts()
        deployment.categories()
        deployment.keep_titles(None)

    refuses(read, file, trap)


@pytest.mark.parametrize("make", [pickled, torch_state])
def test_the_trials_of_a_study(make, trap: Trap, tmp_path: Path) -> None:
    file = tmp_path / "trials.json"
    file.write_bytes(make(trap))
    events = write_events(tmp_path / "events.csv", 200)
    columns = {"user": "user", "item": "item", "time": "at"}
    refuses(lambda: rtrec.tune(events, **columns, trials=2, out=tmp_path, resume=True), file, trap)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "ring_length: !!python/object/new:os.system ['touch {mark}']",
        "ring_length: !!python/name:os.system",
        "ring_length: !!python/module:os",
    ],
)
def test_settings(text: str, trap: Trap, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text.format(mark=trap.mark))
    refuses(lambda: load_settings(file), file, trap)
