"""A deployment: one directory with log, snapshots and reports, and what was fixed when it was made."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from rtrec.errors import CorruptionError, DeploymentError, DeploymentInUse
from rtrec.events.database import Mode, is_made
from rtrec.events.journaled_log import JournaledLog
from rtrec.events.log import Control
from rtrec.events.opening import open_log
from rtrec.events.recorded_log import RecordedLog
from rtrec.failpoints import failpoint
from rtrec.files import blake2b, make_folder, new_hash, publish_text

#: Since 7 the manifest says which texts and categories there are, with their checksums.
FORMAT_VERSION = 7
_READABLE = (6, FORMAT_VERSION)
#: What a run calls its snapshots, by the last cut in them; other folders beside them are not its own.
SNAPSHOT_NAME = re.compile("[0-9]{12,}")
_MANIFEST, _LOCK = "deployment.json", "lock"
_TEXTS, _CATEGORIES, _TITLES = "texts.json", "categories.json", "titles.json"
_FEED = "feed.json"
#: What lies in a home that is ours to remove when a run starts afresh.
#: The manifest goes first: without it, what a crash leaves of the rest is no deployment.
_OURS = (_MANIFEST, "log", "snapshots", "tables", "models", "features", _TEXTS, _CATEGORIES, _TITLES, _FEED)


class Deployment:
    """Paths and manifest of a deployment's home; nothing is made before :meth:`create`."""

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self.log_path = self.home / "log" / "events.sqlite"
        self.snapshots = self.home / "snapshots"
        self.features = self.home / "features"
        self.reports = self.home / "reports"

    def __repr__(self) -> str:
        return f"Deployment({str(self.home)!r})"

    @property
    def exists(self) -> bool:
        """Say whether a run has made this deployment."""
        return (self.home / _MANIFEST).is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        """Return what was fixed when the deployment was made: shards, source, feed, warmup_events, settings.

        With its events in a topic of Kafka, also ``log``: where that is, but not how one gets in there.

        Raises
        ------
        DeploymentError
            If there is no deployment, or another version of rtrec made it.
        CorruptionError
            If the manifest cannot be read.
        """
        path = self.home / _MANIFEST
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DeploymentError(
                f"{self.home}: no deployment here (no {_MANIFEST}); first: rtrec run --home {self.home} ..."
            ) from None
        except (OSError, ValueError) as error:
            raise CorruptionError(f"{path}: cannot be read: {error}") from error
        found = manifest.get("format") if isinstance(manifest, dict) else None
        if found not in _READABLE:
            raise DeploymentError(
                f"{path}: expected format {FORMAT_VERSION}, got {found!r}: made by another version "
                "of rtrec; use that one, or start afresh with --fresh"
            )
        if manifest.pop("checksum", None) != _checksum(manifest):
            raise CorruptionError(
                f"{path}: its content does not match its checksum; restore it from a copy (settings of a "
                "deployment are changed in the dashboard, not here)"
            )
        return manifest

    def refuse_remains(self) -> None:
        """Raise if there is a log with events, or a snapshot, but no manifest that says what they are.

        A log without events is what a crash leaves while a deployment is made.

        Raises
        ------
        DeploymentError
            If there is.
        """
        if self.exists:
            return
        n_events = self._n_logged()
        if n_events or (self.snapshots.is_dir() and any(self.snapshots.iterdir())):
            raise DeploymentError(
                f"{self.home}: a log with {n_events:,} events, but no {_MANIFEST}: restore it from a copy, "
                "or start afresh with --fresh"
            )

    def _n_logged(self) -> int:
        """Return how many events the log has; none where its making was cut short."""
        if not is_made(self.log_path):
            return 0
        with closing(JournaledLog(self.log_path, mode="read")) as log:
            return sum(log.ends())

    def texts(self) -> dict[str, str]:
        """Return the texts of items that the deployment was made with.

        Raises
        ------
        CorruptionError
            If they are not what was written then.
        """
        return self._known(_TEXTS)

    def categories(self) -> dict[str, list[str]]:
        """Return the categories of items that the deployment was made with; raises as :meth:`texts`."""
        return self._known(_CATEGORIES)

    def _known(self, name: str) -> dict[str, Any]:
        """Return what the deployment was made with by item id, if it is what its manifest says."""
        path, files = self.home / name, self.manifest.get("files")
        if files is not None:  # format 6 has no list: what is there is believed
            if name not in files and not path.exists():
                return {}
            found = blake2b(path) if path.is_file() else "no file"
            if found != files.get(name):
                expected = files.get(name, "of no such file")
                raise CorruptionError(
                    f"{path}: expected checksum {expected}, got {found}; restore it from a copy"
                )
        return _read_json(path, "restore it from a copy")

    def keep_titles(self, titles: Mapping[str, str] | None) -> dict[str, str]:
        """Keep the titles of items for people, if any are given, and return those that are kept.

        Raises
        ------
        CorruptionError
            If those that are there are not what was written.
        """
        path, by_id = self.home / _TITLES, dict(titles or {})
        try:
            kept = self._kept_titles(path)
        except CorruptionError:
            if not by_id:
                raise
            kept = {}
        if not by_id or by_id == kept:  # which takes no room on a disk that is full
            return kept
        _publish_sealed(path, "titles", by_id)
        return by_id

    def _kept_titles(self, path: Path) -> dict[str, str]:
        found = _read_json(path, "delete it")
        if not isinstance(found.get("titles"), dict) and self.manifest["format"] < FORMAT_VERSION:
            return found  # of format 6, which kept them without a checksum
        return _unsealed(path, found, "titles", "delete it")

    def last_feed(self) -> dict[str, Any]:
        """Return the identity of the feed as the last run began with it: a file may have grown since."""
        path, advice = self.home / _FEED, "restore it from a copy"
        return _unsealed(path, _read_json(path, advice), "feed", advice) or self.manifest["feed"]

    def keep_feed(self, identity: Mapping[str, Any]) -> None:
        """Keep the identity of a feed that goes on where the last one stood."""
        if identity != self.last_feed():
            _publish_sealed(self.home / _FEED, "feed", identity)

    def create(
        self,
        manifest: Mapping[str, Any],
        *,
        texts: Mapping[str, str] | None = None,
        categories: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Make the deployment; the manifest is the last thing written, so a half-made one does not exist.

        Parameters
        ----------
        manifest
            See :attr:`manifest`.
        texts
            Titles and other words of items by id, as far as they are known now. They number the items and
            make the content table, so they are fixed for the life of the deployment.
        categories
            Of items by id, likewise fixed.
        """
        make_folder(self.home)
        files = {}
        for name, by_id in ((_TEXTS, texts), (_CATEGORIES, categories)):
            if by_id:
                publish_text(self.home / name, json.dumps(dict(by_id), ensure_ascii=False))
                files[name] = blake2b(self.home / name)
        open_log(self.log_path, manifest.get("log"), partitions=int(manifest["shards"])).close()
        content = json.loads(json.dumps({"format": FORMAT_VERSION, **manifest, "files": files}))
        text = json.dumps(content | {"checksum": _checksum(content)}, indent=1, sort_keys=True)
        with failpoint("deployment.create"):
            publish_text(self.home / _MANIFEST, text)

    def clear(self) -> None:
        """Remove log, snapshots, tables, features and manifest; reports and whatever else lies there stay."""
        for name in _OURS:
            path = self.home / name
            with failpoint("deployment.clear"):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def open_log(self, *, mode: Mode = "write") -> RecordedLog:
        """Open the log; ``"read"`` looks on while a run writes."""
        return open_log(self.log_path, self.manifest.get("log"), mode=mode)

    def append_control(self, body: Mapping[str, Any]) -> Control:
        """Append a control to the log, whether a run is active here or not.

        An active run takes it at its next cut, a later one when it starts.
        """
        try:
            with self.lock(), closing(JournaledLog(self.log_path)) as log:
                return log.append_control(body)
        except DeploymentInUse:
            with closing(JournaledLog(self.log_path, mode="join")) as log:
                return log.append_control(body)

    @contextmanager
    def log_beside_a_run(self) -> Iterator[RecordedLog]:
        """Open the log to write, whether a run is active here or not."""
        with ExitStack() as held:
            try:
                held.enter_context(self.lock())
            except DeploymentInUse:
                yield held.enter_context(closing(self.open_log(mode="join")))
            else:
                yield held.enter_context(closing(self.open_log()))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the deployment for one run; the system lets go of it when the process ends, however it ends.

        Raises
        ------
        DeploymentInUse
            If another run holds it.
        """
        make_folder(self.home)
        with (self.home / _LOCK).open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise DeploymentInUse(
                    f"{self.home}: another run is active (process {file.read().strip() or 'unknown'}); "
                    "stop it first, or give another --home"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _read_json(path: Path, advice: str) -> dict[str, Any]:
    """Return what a file of the deployment says; nothing if there is no such file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CorruptionError(f"{path}: cannot be read: {error}; {advice}") from error
    if not isinstance(content, dict):
        raise CorruptionError(f"{path}: expected an object, got {type(content).__name__}; {advice}")
    return content


def _publish_sealed(path: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write what may be replaced while the deployment lives, so that damage is noticed."""
    sealed = {"checksum": _checksum(content), name: dict(content)}
    publish_text(path, json.dumps(sealed, ensure_ascii=False))


def _unsealed(path: Path, found: Mapping[str, Any], name: str, advice: str) -> dict[str, Any]:
    """Return what :func:`_publish_sealed` wrote, found in a file; nothing where there was none."""
    content: dict[str, Any] = found.get(name, {})
    if found and found.get("checksum") != _checksum(content):
        raise CorruptionError(f"{path}: its content does not match its checksum; {advice}")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    digest = new_hash()
    digest.update(json.dumps(content, sort_keys=True).encode())
    return digest.hexdigest()
