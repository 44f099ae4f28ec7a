"""A log small enough to follow by hand, and models as plain as can be."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pandas as pd

from rtrec.evaluation.splits import time_split
from rtrec.models.base import Recommender

START = 1_700_000_000


def log(*events: tuple[str, str], **columns: list) -> pd.DataFrame:
    frame = pd.DataFrame(events, columns=["user_id", "item_id"])
    return frame.assign(timestamp=[START + number for number in range(len(frame))], **columns)


class ByCount(Recommender):
    """All-time popularity."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.array([self.counts[item] for item in range(max(self.counts, default=-1) + 1)], float)

    def learn_one(self, user_num: int, item_num: int, timestamp: float, kind: int, value: float) -> None:
        self.counts[item_num] += 1


class Constant(ByCount):
    """The same score for every item: items come by their number."""

    def score(self, user_num: int, timestamp: float) -> np.ndarray:
        return np.zeros(1000)


#: The train part is the first seven events: a 3, b 2, c 1, d 1. Then u takes b, c and new, v takes d, w takes
#: b, and the new user y takes a.
FRAME = log(
    ("u", "a"), ("v", "a"), ("w", "a"), ("v", "b"), ("x", "b"), ("x", "c"), ("x", "d"),
    ("u", "b"), ("u", "c"), ("u", "new"), ("v", "d"), ("w", "b"), ("y", "a"),
)  # fmt: skip
BY_TIME = partial(time_split, at=START + 7)


def value(evaluation, metric: str, model: str = "mine", cohort: str = "all") -> float:
    return float(evaluation.dataset["value"].sel(model=model, metric=metric, cohort=cohort).item())
