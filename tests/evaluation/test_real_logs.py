"""The main job's figures on real logs: at least what the first study of the design reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtrec.evaluation.prequential import evaluate
from rtrec.events.datasets import get_dataset, load_source
from rtrec.events.fetching import fetch
from rtrec.events.loading import load_events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("name", "n_tested", "hit_rate", "ndcg"),
    [("movielens-latest-small", 80_004, 0.104, 0.056), ("online-retail", 318_308, 0.209, 0.146)],
)
def test_default_reaches_the_first_study(
    shared_datasets: Path, tmp_path: Path, name: str, n_tested: int, hit_rate: float, ndcg: float
) -> None:
    dataset = get_dataset(name)
    folder = fetch(dataset, data_dir=tmp_path, source=shared_datasets, accept_licence=lambda _: True)
    source = load_source(dataset, folder)
    loaded = load_events(source)
    result = evaluate(loaded, models=["default"])["default"]
    assert result.events == n_tested
    assert hit_rate <= result.hit_rate < 2 * hit_rate  # much more would be a leak
    assert result.ndcg >= ndcg
