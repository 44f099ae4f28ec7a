"""A workbench for real-time recommendation: event log in, live and honestly measured recommender out.

>>> import rtrec
>>> stream = rtrec.SyntheticStream()
>>> evaluation = rtrec.evaluate(stream.events(2000), models=["popularity"])
>>> evaluation["popularity"].events
1600
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rtrec.engine.live import LiveRun
    from rtrec.engine.refits import RefitPlan
    from rtrec.evaluation.offline import evaluate_offline
    from rtrec.evaluation.prequential import evaluate
    from rtrec.events.loading import load_events
    from rtrec.events.mapping import ColumnMapping
    from rtrec.events.synthetic import SyntheticConfig, SyntheticStream
    from rtrec.jobs.tuning.tune import tune
    from rtrec.models.base import Recommender
    from rtrec.models.nearline.recipe import Recipe
    from rtrec.settings import Settings

# Imported when first asked for: `import rtrec` and `rtrec --help` answer at once.
_HOMES = {
    "LiveRun": "rtrec.engine.live",
    "ColumnMapping": "rtrec.events.mapping",
    "Recipe": "rtrec.models.nearline.recipe",
    "Recommender": "rtrec.models.base",
    "RefitPlan": "rtrec.engine.refits",
    "Settings": "rtrec.settings",
    "SyntheticConfig": "rtrec.events.synthetic",
    "SyntheticStream": "rtrec.events.synthetic",
    "evaluate": "rtrec.evaluation.prequential",
    "evaluate_offline": "rtrec.evaluation.offline",
    "load_events": "rtrec.events.loading",
    "tune": "rtrec.jobs.tuning.tune",
}
__all__ = [
    "ColumnMapping",
    "LiveRun",
    "Recipe",
    "Recommender",
    "RefitPlan",
    "Settings",
    "SyntheticConfig",
    "SyntheticStream",
    "__version__",
    "evaluate",
    "evaluate_offline",
    "load_events",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rtrec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
