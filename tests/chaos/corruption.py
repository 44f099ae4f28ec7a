"""Random damage to every file of a deployment: found and named, made good, or harmless; never believed.

    python -m tests.chaos.corruption --n 1000 --seed 1

makes a small deployment, killed and at rest, harms copies of it one way at a time, lets each be restored, and
prints what came of it as one JSON line:

- refused: an error of ours that names a file;
- made good: damage was noticed, and what is restored equals the undisturbed state bit by bit, since an older
  snapshot (or nothing) took its place;
- harmless: equal, and nobody noticed, as where a bit of unused space was flipped;
- loaded silently: another state, and no word;
- crashed: an error that is none of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from structlog.testing import capture_logs

from rtrec.engine.deployment import Deployment
from rtrec.engine.fitting import FitRequest, fit
from rtrec.engine.history import frame_up_to, recompute
from rtrec.errors import RtrecError
from rtrec.models.nearline.recipe import Recipe
from rtrec.settings import Settings
from tests.chaos.restoring import STREAM, driver_of, feed, restored

N_ACCEPTED, N_IN_ALL = 1300, 1400
PAGE = 4096


@dataclass(frozen=True)
class Trial:
    """One harm and what came of it: refused, made good, harmless, silent or crashed; ``words`` say how."""

    file: str
    kind: str
    harm: str
    outcome: str
    words: str


def make_deployment(home: Path, *, at_rest: bool = False) -> None:
    """Make a deployment with all that one can have, as a run leaves it that is killed, or stopped."""
    home.mkdir(parents=True)
    asyncio.run(_make(home, at_rest=at_rest))


async def _make(home: Path, *, at_rest: bool) -> None:
    working = home.with_name(home.name + "-working")
    deployment = Deployment(working)
    titles = STREAM.item_titles()
    deployment.create(
        {
            "shards": 1,
            "source": STREAM.name,
            "feed": {},
            "warmup_events": 200,
            "settings": Settings(use_historical=True).model_dump(),
        },
        texts=titles,
        categories={item: [f"shelf-{place % 5}"] for place, item in enumerate(titles)},
    )
    deployment.keep_titles(titles)
    with closing(deployment.open_log()) as log:
        driver = driver_of(deployment, log, batch_events=100, snapshot_every=250, keep=3)
        await driver.start()
        for until in range(100, N_ACCEPTED + 1, 100):
            feed(log, until, rows=50)
            await driver.advance()
            if until == 500:
                log.append_control({"control": "settings", "changes": {"ring_length": 7}})
            if until in (600, 1000):
                _publish(deployment, driver.ledger.seq, until, driver.ledger.settings)
            if until == 800:
                ends = driver.ledger.ends
                frame = frame_up_to(deployment, ends, driver.ledger.settings)
                recompute(deployment, frame, ends, about={"seq": driver.ledger.seq})
        await driver.written()
        feed(log, N_ACCEPTED + 30, rows=10)  # accepted, and not yet cut
        if not at_rest:  # most of the log is still in its write-ahead file
            _copy_without_locks(working, home)
    if at_rest:
        _copy_without_locks(working, home)
    shutil.rmtree(working)


def _publish(deployment: Deployment, seq: int, n_events: int, settings: Settings) -> None:
    request = FitRequest(
        deployment.home, "history", Recipe("ease"), seq, n_events, settings.model_dump(), anew=False
    )
    made = fit(request)
    with closing(deployment.open_log()) as log:
        log.append_control(made.control())


def trials(home: Path, scratch: Path, n: int, seed: int) -> Iterator[Trial]:
    """Harm ``n`` copies of a deployment under ``scratch``, one way each, and yield what came of it."""
    expected = _outcome_of(_copy(home, scratch / "undisturbed"))
    if expected[1] or not expected[0]:
        raise RuntimeError(f"the undisturbed one cannot be restored: {expected}")
    rng = np.random.default_rng(seed)
    kinds = kinds_of(home)
    for number in range(n):
        harmed = _copy(home, scratch / f"harmed-{number}")
        kind = sorted(kinds)[number % len(kinds)]
        file = harmed / kinds[kind][int(rng.integers(len(kinds[kind])))]
        harm = harm_file(file, rng)
        restored_to, words = _outcome_of(harmed)
        outcome = _judged(restored_to, words, expected[0], harmed)
        yield Trial(str(file.relative_to(harmed)), kind, harm, outcome, words)
        shutil.rmtree(harmed)


def kinds_of(home: Path) -> dict[str, list[Path]]:
    """Return the files of a deployment by what they are, relative to it."""
    found: dict[str, list[Path]] = {}
    snapshots = sorted(path.name for path in (home / "snapshots").iterdir())
    for path in sorted(path.relative_to(home) for path in home.rglob("*") if path.is_file()):
        top, name = path.parts[0], path.name
        if top == "snapshots":
            age = "newest" if path.parts[1] == snapshots[-1] else "older"
            kind = f"{age} snapshot, {'manifest' if name == 'manifest.json' else 'arrays'}"
        elif top == "log":
            kind = "history" if name.endswith(".parquet") else name
        else:
            kind = top
        found.setdefault(kind, []).append(path)
    return found


def harm_file(path: Path, rng: np.random.Generator) -> str:
    """Harm a file in one of many ways; return which."""
    content = bytearray(path.read_bytes())
    size = max(len(content), 1)
    place = int(rng.integers(size))
    harms = ["flip a bit"] * 4 + ["cut off", "zero a page", "overwrite", "remove", "append", "swap", "stray"]
    harm = harms[int(rng.integers(len(harms)))]
    match harm:
        case "flip a bit" if content:
            content[place] ^= 1 << int(rng.integers(8))
        case "cut off":
            del content[place:]
        case "zero a page":
            start = place // PAGE * PAGE
            content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))
        case "overwrite":
            noise = rng.bytes(int(rng.integers(1, 64)))
            content[place : place + len(noise)] = noise
        case "append":
            content += rng.bytes(int(rng.integers(1, 64)))
        case "remove":
            path.unlink()
            return harm
        case "swap":
            others = [each for each in path.parent.iterdir() if each.is_file() and each != path]
            if others:
                other = others[int(rng.integers(len(others)))]
                theirs = other.read_bytes()
                other.write_bytes(bytes(content))
                path.write_bytes(theirs)
                return f"swap with {other.name}"
        case "stray":
            path.with_name(f"stray-{path.name}").write_bytes(bytes(content))
            return harm
    path.write_bytes(bytes(content))
    return f"{harm} at {place:,} of {size:,}"


def _outcome_of(home: Path) -> tuple[dict[str, str], str]:
    """Return the digests of what is restored (none if nothing is), and what was said about it."""
    with capture_logs() as said:
        try:
            found = restored(home, N_IN_ALL)
        except RtrecError as error:
            return {}, f"{type(error).__name__}: {error}"
        except Exception:
            return {}, f"crash: {traceback.format_exc()}"
    warnings = [f"{each['event']} {each.get('error', '')}" for each in said if each["log_level"] == "warning"]
    return found, "; ".join(warnings)


def _judged(found: dict[str, str], words: str, expected: dict[str, str], home: Path) -> str:
    if words.startswith("crash:"):
        return "crashed"
    if not found:
        return "refused" if str(home) in words else "crashed"
    missing = expected.keys() - found.keys() - {"titles"}  # without them ids are shown
    if any(found[part] != expected[part] for part in found) or (missing and not words):
        return "silent"
    return "made good" if words else "harmless"


def _copy_without_locks(home: Path, target: Path) -> None:
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("*-shm", "*lock"), dirs_exist_ok=True)


def _copy(home: Path, target: Path) -> Path:
    shutil.copytree(home, target)
    return target


def report(found: list[Trial]) -> dict[str, object]:
    """Return the figures: how many of each outcome, in all and by kind of file, and what must not be."""
    by_kind: dict[str, Counter[str]] = {}
    for each in found:
        by_kind.setdefault(each.kind, Counter())[each.outcome] += 1
    counts = Counter(each.outcome for each in found)
    return {
        "tried": len(found),
        "refused": counts["refused"],
        "made_good": counts["made good"],
        "harmless": counts["harmless"],
        "loaded_silently": counts["silent"],
        "crashed": counts["crashed"],
        "by_kind": {kind: dict(of) for kind, of in sorted(by_kind.items())},
    }


def in_memory() -> Path | None:
    """Return where files need no disk, if there is such a place: most of the time goes into syncing."""
    place = Path("/dev/shm")
    return place if place.is_dir() and shutil.disk_usage(place).free > 500_000_000 else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = []
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        for at_rest, n in ((False, options.n - options.n // 2), (True, options.n // 2)):
            home = Path(folder, f"home-{at_rest}")
            make_deployment(home, at_rest=at_rest)
            for trial in trials(home, Path(folder, f"harmed-{at_rest}"), n, options.seed):
                found.append(trial)
                if options.verbose or trial.outcome in ("silent", "crashed"):
                    print(trial, file=sys.stderr)
    figures = report(found)
    print(json.dumps({"seed": options.seed, **figures}))
    return int(bool(figures["loaded_silently"] or figures["crashed"]))


if __name__ == "__main__":
    sys.exit(main())
