"""The main job's figures on real logs: at least what the first study of the design reached."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rtrec.evaluation.model_result import ModelResult
from rtrec.evaluation.prequential import evaluate
from rtrec.events.datasets import get_dataset, load_source
from rtrec.events.fetching import fetch
from rtrec.events.loading import load_events

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


NAMES = ["movielens-latest-small", "online-retail"]


@pytest.fixture(scope="module")
def results(
    shared_datasets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[ModelResult]]]:
    """Evaluate both at the same time: kernels run without the interpreter's lock, a core each."""

    def found(name: str) -> ModelResult:
        dataset, data_dir = get_dataset(name), tmp_path_factory.mktemp("data")
        folder = fetch(dataset, data_dir=data_dir, source=shared_datasets, accept_licence=lambda _: True)
        return evaluate(load_events(load_source(dataset, folder)), models=["default"])["default"]

    with ThreadPoolExecutor(len(NAMES)) as pool:
        yield {name: pool.submit(found, name) for name in NAMES}


@pytest.mark.parametrize(
    ("name", "n_tested", "hit_rate", "ndcg"),
    [(NAMES[0], 80_004, 0.104, 0.056), (NAMES[1], 318_308, 0.209, 0.146)],
    ids=NAMES,
)
def test_default_reaches_the_first_study(
    results: dict[str, Future[ModelResult]], name: str, n_tested: int, hit_rate: float, ndcg: float
) -> None:
    result = results[name].result()
    assert result.events == n_tested
    assert hit_rate <= result.hit_rate < 2 * hit_rate  # much more would be a leak
    assert result.ndcg >= ndcg
