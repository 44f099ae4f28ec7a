"""What the README says was tried is what `make chaos` tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import CAMPAIGNS, Campaign

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda each: each.name)
def test_each_campaign_has_its_row_in_the_readme(campaign: Campaign) -> None:
    rows = [each for each in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "|" in each]
    assert any(f"`{campaign.words(campaign.whole)}`" in row for row in rows)
