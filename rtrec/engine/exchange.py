"""What driver and shards tell each other: a batch, its outcome, and what all shards then agree on.

A shard learns its own users at once. What a batch teaches about *items* it hands back, and so does every
other shard; put in one order (event time, then shard, then place) all of it is the batch's *agreement*,
which every shard applies before its next batch. All shards so hold the same item tables, bit by bit. With
one shard there is nobody to agree with: it learns everything at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rtrec.engine.sampling import Asked
from rtrec.models.base import Ranks
from rtrec.models.guard import SOUND, Faults, fault_in
from rtrec.models.published import Published
from rtrec.models.ranker import Ranker, merge_rankers
from rtrec.models.tables import Operations
from rtrec.settings import Settings
from rtrec.types import Floats, Forgetting, Ints, NumberedEvents


@dataclass(frozen=True)
class Agreement:
    """What all shards learn of a batch, in one order, and the ranker they go on with.

    ``refused`` says that this is the ranker they had: what they learned came to one that is not sane.
    """

    seq: int
    operations: Operations
    ranker: Ranker
    refused: bool = False


@dataclass(frozen=True)
class Batch:
    """One shard's part of one cut.

    Attributes
    ----------
    seq
        Number of the cut; a shard takes them one after the other.
    events
        Its events, in the order of its log partition.
    n_warm
        How many of the first are learned but not counted.
    settings
        Changed settings, live from this batch on.
    published
        What has an opinion from this batch on, by slot, in place of what there was.
    forgetting
        Users and items to forget before some of the events, in the order of those.
    agreement
        Of the batch before, where there are several shards.
    asked
        Which of the events are tested, shape ``(event,)``; None: all of them.
    """

    seq: int
    events: NumberedEvents
    n_warm: int = 0
    settings: dict[str, Any] | None = None
    published: Mapping[str, Published] = field(default_factory=dict)
    forgetting: tuple[Forgetting, ...] = ()
    agreement: Agreement | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Outcome:
    """What one shard made of its batch: ranks ``(event, racer)``, and what the others have to learn of it.

    ``faults`` says what was wrong with the lesson of each event, 0 if nothing (:mod:`rtrec.models.guard`).
    """

    ranks: Ranks
    operations: Operations | None
    ranker: Ranker
    faults: Faults


def batch_order(parts: Sequence[NumberedEvents]) -> Ints:
    """Return the common order of a batch's events, as places in the shards' events laid end to end.

    With one shard the order is that of its log; with several, event time decides, then shard and place.
    """
    n_events = sum(part.n_events for part in parts)
    if len(parts) == 1:
        return np.arange(n_events)
    return np.argsort(np.concatenate([part.timestamp for part in parts]), kind="stable")


def in_common_order(parts: Sequence[NumberedEvents]) -> Floats:
    """Return the times of a batch's events in the common order."""
    timestamps: Floats = np.concatenate([part.timestamp for part in parts])[batch_order(parts)]
    return timestamps


def agree(seq: int, base: Ranker, outcomes: Sequence[Outcome], order: Ints) -> Agreement:
    """Put together what shards learned from the same ``base``, in the common ``order``.

    Each of their rankers is sane; if all of them together are not, that is a strike, and ``base`` stays.
    """
    together = concatenate([each.operations for each in outcomes if each.operations is not None])
    operations = Operations(*[column[order] for column in together])  # type: ignore[arg-type]
    merged = merge_rankers(base, [each.ranker for each in outcomes])
    if fault_in(merged) == SOUND:
        return Agreement(seq, operations, merged)
    return Agreement(seq, operations, base._replace(strikes=merged.strikes + 1.0), refused=True)


def concatenate(operations: Sequence[Operations]) -> Operations:
    """Return several operations as one, in the order given."""
    columns = zip(*operations, strict=True)
    return Operations(*[np.concatenate(each) for each in columns])


def cut_up(
    seq: int,
    parts: Sequence[NumberedEvents],
    n_warm: int,
    *,
    settings: Settings | None = None,
    published: Mapping[str, Published] | None = None,
    forgetting: Sequence[tuple[Forgetting, ...]] | None = None,
    agreement: Agreement | None = None,
    asked: Asked | None = None,
) -> tuple[list[Batch], Ints]:
    """Return each shard's batch, and the common order.

    In that order ``n_warm`` of the first events only warm up, and those are tested that are ``asked`` of.
    """
    order = batch_order(parts)
    ends = np.cumsum([part.n_events for part in parts])
    warm = np.bincount(np.searchsorted(ends, order[:n_warm], side="right"), minlength=len(parts))
    changed = settings.model_dump() if settings is not None else None
    batches = [
        Batch(seq, part, int(n), changed, published or {}, gone, agreement)
        for part, n, gone in zip(parts, warm.tolist(), forgetting or [()] * len(parts), strict=True)
    ]
    if asked is not None:
        by_place = np.empty(len(order), np.bool_)
        by_place[order] = asked
        of_each = np.split(by_place, ends[:-1])
        batches = [replace(each, asked=own) for each, own in zip(batches, of_each, strict=True)]
    return batches, order
