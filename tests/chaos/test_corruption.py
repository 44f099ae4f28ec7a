"""A few of the harms that ``python -m tests.chaos.corruption`` does by the thousand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.corruption import harm_file, in_memory, kinds_of, make_deployment, report, trials

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("at_rest", [False, True], ids=["killed", "at rest"])
def test_no_damage_is_loaded_silently(at_rest: bool) -> None:
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        home = Path(folder, "home")
        make_deployment(home, at_rest=at_rest)
        kinds = kinds_of(home)
        assert {"history", "events.sqlite", "tables", "newest snapshot, arrays", "texts.json"} < kinds.keys()
        assert ("events.sqlite-wal" in kinds) is not at_rest
        found = list(trials(home, Path(folder, "harmed"), n=30, seed=20))
    bad = [each for each in found if each.outcome in ("silent", "crashed")]
    assert not bad
    figures = report(found)
    assert figures["tried"] == 30
    assert figures["refused"] > 5
    assert figures["made_good"] > 3


def test_every_harm_but_a_stray_changes_the_file_or_its_neighbour(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    done = set()
    for number in range(80):
        folder = tmp_path / str(number)
        folder.mkdir()
        content = rng.bytes(9000)
        for name in ("a", "b"):
            (folder / name).write_bytes(content if name == "a" else b"other")
        harm = harm_file(folder / "a", rng).split(" at ")[0].split(" with ")[0]
        done.add(harm)
        left = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert left != {"a": content, "b": b"other"}
    assert done == {"flip a bit", "cut off", "zero a page", "overwrite", "remove", "append", "swap", "stray"}
