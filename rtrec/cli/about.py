"""`rtrec models` and `rtrec settings`: what there is to choose from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from rtrec.cli.console import print_json, print_table
from rtrec.cli.options import Json, SettingsOptions, expanded

if TYPE_CHECKING:
    from rtrec.settings import Settings


def models(json: Json = False) -> None:
    """List the models, with one line on each.

    Example: `rtrec models`, then `rtrec evaluate events.csv --models default,popularity`
    """
    from rtrec.models.registry import MODELS

    if json:
        for name, entry in MODELS.items():
            print_json({"model": name, "sentence": entry.sentence})
        return
    print_table(["model", "what it recommends"], [[name, entry.sentence] for name, entry in MODELS.items()])


@expanded
def settings(
    chosen: SettingsOptions,
    features: Annotated[
        bool, typer.Option("--features", help="List the features, any of which `without` leaves out.")
    ] = False,
    json: Json = False,
) -> None:
    """List the settings: value in force, bounds, and what they do.

    A flag beats the environment, the environment beats a file, a file beats the default.

    Example, to see what they add up to: `rtrec settings --settings mine.yaml --set ring_length=20`

    To leave out some of what the ranker sees: `rtrec settings --features`, then
    `rtrec run clicks.csv --set without=heat_now,near_last`
    """
    from rtrec.settings import ENVIRONMENT_PREFIX, as_text, declarations

    if features:
        _list_features(read_settings(chosen), json=json)
        return
    in_force = read_settings(chosen).model_dump()
    if json:
        for each in declarations():
            declared = each._asdict() | {
                "type": "names" if each.choices else each.type.__name__,
                "value": in_force[each.name],
            }
            print_json(declared | {"environment": ENVIRONMENT_PREFIX + each.name.upper()})
        return
    rows = []
    for each in declarations():
        value, bounds = in_force[each.name], "" if each.low is None else f"{each.low:g} to {each.high:g}"
        if each.choices:
            bounds = "names of features"
        default = as_text(each.default) or "none"
        shown = default if value == each.default else f"{as_text(value) or 'none'} (default {default})"
        rows.append([each.name, shown, bounds, each.unit, "yes" if each.live else "no", each.sentence])
    print_table(["setting", "value", "bounds", "unit", "live", "what it does"], rows, right=["value"])


def _list_features(settings: Settings, *, json: bool) -> None:
    from rtrec.declared import FEATURES

    if json:
        for each in FEATURES:
            said = {"name": each.name, "source": each.source, "transform": each.transform}
            print_json(said | {"sentence": each.sentence, "left_out": each.name in settings.without})
        return
    rows = [
        [
            each.name,
            each.source,
            each.transform,
            "left out" if each.name in settings.without else "",
            each.sentence,
        ]
        for each in FEATURES
    ]
    print_table(["feature", "comes from", "as", "", "an item that ranks high for it"], rows)


def read_settings(options: SettingsOptions) -> Settings:
    """Return the settings that options, environment and file add up to."""
    from rtrec.cli.blame import blaming
    from rtrec.settings import load_settings, make_settings, parse_assignments

    assigned = parse_assignments(options.assignments or [])
    for name, value in assigned.items():
        with blaming("--set", f"{name}={value}"):
            make_settings({name: value})
    if options.settings_file is not None:
        with blaming("--settings", options.settings_file):
            load_settings(options.settings_file)
    return load_settings(options.settings_file, environ=os.environ, overrides=assigned)
