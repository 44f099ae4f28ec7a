"""The campaign of bad rows, a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.poison import POISON, campaign


@pytest.mark.faults
@pytest.mark.slow
def test_bad_rows_among_good_ones_change_nothing(tmp_path: Path) -> None:
    """Fails if a row that is no event is taken for one, is lost, or takes a good one with it."""
    found = campaign(tmp_path, 2000, seed=3)
    assert found["equal"], found
    assert found["dead_letters"] == found["poison"] == 600 > 20 * len(POISON)
