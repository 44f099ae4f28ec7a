"""Rules of a data set: which sound rows its own cleaning leaves out.

A cancelled order is no broken row. Such rows are counted under the rule's reason and go no further; they are
not dead letters, because there is nothing to mend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from rtrec.events.parsing import Mask, RawColumn


@dataclass(frozen=True)
class Rule:
    """A named predicate on raw columns: ``leaves_out(frame)`` returns a mask, shape ``(row,)``."""

    reason: str
    columns: tuple[str, ...]
    leaves_out: Callable[[pd.DataFrame], Any]


def missing(column: str, reason: str) -> Rule:
    """Return the rule that leaves out rows whose ``column`` is empty."""
    return Rule(reason, (column,), partial(_is_missing, column=column))


def not_positive(column: str, reason: str) -> Rule:
    """Return the rule that leaves out rows whose ``column`` is a number of zero or less."""
    return Rule(reason, (column,), partial(_is_not_positive, column=column))


def _is_missing(frame: pd.DataFrame, *, column: str) -> Mask:
    return ~RawColumn(frame[column]).given


def _is_not_positive(frame: pd.DataFrame, *, column: str) -> Mask:
    return np.asarray(RawColumn(frame[column]).numbers <= 0, np.bool_)
