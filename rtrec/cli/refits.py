"""Models fitted beside a run: read from options before it, and what came of them told behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtrec.cli.blame import blaming
from rtrec.errors import InputError

if TYPE_CHECKING:
    from rtrec.engine.refits import RefitPlan
    from rtrec.engine.status import Status
    from rtrec.models.nearline.recipe import Recipe


def read_plan(nearline: Sequence[str], historical: int | None, *, every: int, wait: bool) -> RefitPlan:
    """Return what to make beside the stream, and when.

    Raises
    ------
    InputError
        As :func:`parse_nearline`, or if historical features are asked for twice.
    """
    from rtrec.engine.refits import RefitPlan

    recipes = parse_nearline(nearline)
    if historical is None:
        return RefitPlan(recipes, every=every, wait=wait)
    from rtrec.declared import HISTORICAL
    from rtrec.engine.fitting import FEATURES

    if HISTORICAL in recipes:
        raise InputError(f"--historical: --nearline {HISTORICAL}={FEATURES.model} asks for it too; keep one")
    recipes |= {HISTORICAL: FEATURES}
    return RefitPlan(recipes, every=every, wait=wait, every_of={HISTORICAL: historical})


def parse_nearline(texts: Sequence[str]) -> dict[str, Recipe]:
    """Read ``SLOT=MODEL`` or ``SLOT=MODEL:OPTION=VALUE,...``.

    Raises
    ------
    InputError
        If a text is nothing of the kind, there is no such slot, model or option, or a slot comes twice.
    """
    if not texts:
        return {}
    from rtrec.engine.refits import RefitPlan
    from rtrec.models.nearline.recipe import Recipe

    recipes: dict[str, Recipe] = {}
    for text in texts:
        slot, equals, recipe = text.partition("=")
        if not equals:
            raise InputError(f"--nearline {text!r}: expected SLOT=MODEL, for example history=ease")
        if slot.strip() in recipes:
            raise InputError(f"--nearline {text!r}: slot {slot.strip()!r} has a model already; name it once")
        with blaming("--nearline", text):
            recipes[slot.strip()] = Recipe.parse(recipe)
            RefitPlan({slot.strip(): recipes[slot.strip()]}).check()
    return recipes


def outcomes(plan: RefitPlan, status: Status) -> list[str]:
    """Return a sentence on each slot of the plan: what was live, and what to do if that was late."""
    from rtrec.engine.status import Served

    began, sentences = status.events - status.run_events, []
    for slot, recipe in plan.recipes.items():
        if not status.run_events:
            continue
        every = plan.every_of.get(slot, plan.every)
        first_due = (began // every + 1) * every
        served = status.served.get(slot, Served())
        if not served.n_published and first_due > status.events:
            sentences.append(f"{slot}: no refit fell due; the next one comes at event {first_due:,}")
            continue
        times = "once" if served.n_published == 1 else f"{served.n_published:,} times"
        sentence = (
            f"{slot}: {recipe.model} was published {times}, and live for {served.n_events:,} of the "
            f"{status.run_events:,} events of this run"
        )
        if not plan.wait and 2 * served.n_events < status.events - first_due:
            sentence += (
                "; the stream was ahead of the fits, which hardly mattered: --refit-wait holds it for them"
            )
        sentences.append(sentence)
    return sentences
