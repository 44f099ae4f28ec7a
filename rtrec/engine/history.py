"""Historical features for a deployment: a version from its log, and the part of it that kernels read.

The version, with all it says of users, items and cohorts, goes under the deployment's ``features``. What is
published is a part of it, in the numbers that shards have for items and users; as with any table, a control
record in the log says from where on it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rtrec.engine.deployment import Deployment
from rtrec.engine.learned import learned_numbers
from rtrec.features.historical.build import Progress, compute_features
from rtrec.features.historical.cohorts import size_drift
from rtrec.features.historical.features import HistoricalFeatures
from rtrec.features.historical.frame import frame_of_log, moment_after
from rtrec.models.beginning import known_items
from rtrec.models.historical import next_version, usable_features, write_features
from rtrec.models.past import Past
from rtrec.models.past_of import past_of
from rtrec.settings import Settings

if TYPE_CHECKING:
    import dask.dataframe as dd


class Recomputed(NamedTuple):
    """A new version, where it lies, and how it differs from the one before, if that is of use."""

    features: HistoricalFeatures
    before: HistoricalFeatures | None
    cohort_size_drift: float | None
    path: Path


def frame_up_to(deployment: Deployment, ends: Sequence[int], settings: Settings) -> dd.DataFrame:
    """Return the events of the log below ``ends`` as a Dask frame, with the weights of these settings."""
    with closing(deployment.open_log(mode="read")) as log:
        return frame_of_log(log, ends, settings.kind_weights())


def recompute(
    deployment: Deployment,
    frame: dd.DataFrame,
    ends: Sequence[int],
    *,
    about: Mapping[str, Any],
    progress: Progress | None = None,
) -> Recomputed:
    """Compute and write the next version, with the Dask scheduler at hand.

    Features are as of a microsecond after the latest event of the frame, by event time.
    """
    before = usable_features(deployment.features)
    features = compute_features(
        frame,
        as_of=moment_after(frame),
        ends=ends,
        version=next_version(deployment.features),
        earlier=None if before is None else before.earlier,
        progress=progress,
    )
    drift = None if before is None else size_drift(_sizes(before), _sizes(features))
    path = write_features(deployment.features, features, {**about, "cohort_size_drift": drift})
    return Recomputed(features, before, drift, path)


def part_to_publish(
    deployment: Deployment, features: HistoricalFeatures, seq: int, settings: Settings
) -> Past:
    """Return what kernels read of a version, in the numbers that items and users had at cut ``seq``."""
    known = known_items(deployment.texts(), deployment.categories())
    with closing(deployment.open_log(mode="read")) as log:
        numbering = learned_numbers(log, seq, settings, known)
    return past_of(features, numbering.items.ids(), [users.ids() for users in numbering.users])


def _sizes(features: HistoricalFeatures) -> list[int]:
    return [cohort.n_users for cohort in features.cohorts]
