"""`rtrec evaluate-offline`: models learn one part of a log and rank all items for the users of the other."""

from __future__ import annotations

import json as json_text
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtrec.cli.console import print_json, print_table, say
from rtrec.cli.options import InputOptions, Json, Repeat, SettingsOptions, expanded

if TYPE_CHECKING:
    from rtrec.evaluation.offline_result import OfflineEvaluation

_PROTOCOL = "Protocol"
_SHOWN = ("ndcg", "recall", "mrr", "coverage", "novelty", "diversity")
_SUFFIXES = (".nc", ".csv", ".parquet")


@expanded
def evaluate_offline(
    given: InputOptions,
    chosen: SettingsOptions,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            rich_help_panel=_PROTOCOL,
            help="Which models; `all` there are; `list` says which.",
        ),
    ] = "default,popularity",
    split: Annotated[
        str,
        typer.Option(
            metavar="temporal|time|random|leave_one_out",
            rich_help_panel=_PROTOCOL,
            help="What is tested: the end of each user's events, the end of the log, a random part of each "
            "user's items, or each user's last event.",
        ),
    ] = "temporal",
    test_share: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_PROTOCOL, help="Share that is tested. (default: 0.2; of a random split 0.25)"
        ),
    ] = None,
    k: Annotated[
        str, typer.Option("--k", metavar="K,K", rich_help_panel=_PROTOCOL, help="Lengths of the lists.")
    ] = "5,10,20",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            rich_help_panel=_PROTOCOL,
            help="Which metrics the table shows, such as ndcg@10,map@5. (default: a choice at one k)",
        ),
    ] = None,
    cohorts: Annotated[
        str,
        typer.Option(
            metavar="user,item|none",
            rich_help_panel=_PROTOCOL,
            help="Also by new and known users, by head and tail of the catalogue.",
        ),
    ] = "user,item",
    windows: Annotated[
        int,
        typer.Option(
            min=1, rich_help_panel=_PROTOCOL, help="Windows of time in the tested part (see --out)."
        ),
    ] = 1,
    baseline: Annotated[
        str,
        typer.Option(rich_help_panel=_PROTOCOL, help="The model that each other one is compared with."),
    ] = "popularity",
    graded: Annotated[
        bool, typer.Option("--graded", rich_help_panel=_PROTOCOL, help="Also weigh hits by --value.")
    ] = False,
    repeat: Repeat = None,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel=_PROTOCOL, help="Of splits and intervals.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write all figures: .nc (a cube for xarray), .csv or .parquet."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Train models on one part of a log, and measure their full rankings on the other.

    All items are ranked for every tested user; nothing is sampled. Differences to the baseline are paired by
    user, with a bootstrap interval and a sign test.

    Example: `rtrec evaluate-offline --dataset movielens-latest-small --models ease,ials,popularity`

    Or: `rtrec evaluate-offline events.csv --items items.csv --item-text title --k 10 --out figures.csv`
    """
    from rtrec.cli.about import read_settings
    from rtrec.cli.bars import bar_each
    from rtrec.cli.inputs import find_input, model_names, tell_rejected
    from rtrec.errors import InputError, nearest
    from rtrec.evaluation.offline import evaluate_offline as measure
    from rtrec.models.registry import MODELS

    if models == "list":
        from rtrec.cli.about import models as list_models

        return list_models(json)
    settings = read_settings(chosen)
    names = model_names(models, MODELS, settings)
    if baseline not in names and baseline != "popularity":
        raise InputError(
            f"--baseline {baseline}: expected a model of --models{nearest(baseline, names)}; there are "
            f"{', '.join(names)}"
        )
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError(f"--out {out}: expected a name that ends with {', '.join(_SUFFIXES)}")
    ks, splitter = _lengths(k), _splitter(split, test_share, seed)
    shown = _shown(ks, metrics, graded=graded)  # a wrong name is an error now, not after the work
    found = find_input(given)
    loaded = found.load()
    tell_rejected(loaded.name, loaded.counts, loaded.dead_letters)
    with bar_each() as progress:
        evaluation = measure(
            loaded,
            names,
            split=splitter,
            k=ks,
            cohorts=() if cohorts == "none" else _words(cohorts),
            windows=windows,
            categories=found.categories or None,
            graded=graded,
            repeat=repeat,
            texts=found.texts,
            settings=settings,
            seed=seed,
            progress=progress,
        )
    if json:
        for line in _json_lines(evaluation, shown[0], baseline):
            print_json(line)
    else:
        _print(evaluation, shown, baseline)
    if out is not None:  # last, so that a place that cannot be written loses no figure
        _write(evaluation, out)
        say(f"Written: {out}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _lengths(text: str) -> list[int]:
    from rtrec.errors import InputError

    try:
        ks = sorted({int(word) for word in _words(text)})
    except ValueError:
        ks = []
    if not ks or ks[0] < 1:
        raise InputError(f"--k {text!r}: expected lengths of lists, each at least 1, such as 5,10")
    return ks


def _splitter(name: str, test_share: float | None, seed: int) -> Any:
    """Return the split of that name with its options set; one without options by its name alone."""
    from functools import partial

    from rtrec.errors import InputError, nearest
    from rtrec.evaluation.splits import SPLITS

    if name not in SPLITS:
        raise InputError(f"--split {name}: unknown{nearest(name, SPLITS)}; there are {', '.join(SPLITS)}")
    options: dict[str, Any] = {}
    if test_share is not None:
        if name == "leave_one_out":
            raise InputError("--test-share: leave_one_out tests one event of each user; leave it out")
        if not 0.0 < test_share < 1.0:
            raise InputError(f"--test-share {test_share:g}: expected a share between 0 and 1, such as 0.2")
        options["test_share"] = test_share
    if name == "random":
        options["seed"] = seed
    return partial(SPLITS[name], **options) if options else name


def _shown(ks: list[int], metrics: str | None, *, graded: bool) -> list[str]:
    """Return which metrics the table has: those asked for, or some at 10 or the longest k."""
    from rtrec.errors import InputError, nearest
    from rtrec.evaluation.figures import metric_names

    if metrics is None:
        k = 10 if 10 in ks else max(ks)
        return [f"{name}@{k}" for name in _SHOWN]
    known = metric_names(tuple(ks), graded=graded, categories=False)
    chosen = _words(metrics)
    for name in chosen:
        if name not in known:
            raise InputError(
                f"--metrics {metrics}: no metric {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )
    return chosen or known


def _print(evaluation: OfflineEvaluation, shown: list[str], baseline: str) -> None:
    from rtrec.evaluation.slices import ALL

    rows = []
    for model in evaluation.models:
        seconds = (
            float(evaluation.overall[f"{what}_seconds"].sel(model=model)) for what in ("learn", "answer")
        )
        cells = (_cell(evaluation, model, name, ALL) for name in shown)
        rows.append([model, *cells, " + ".join(f"{each:.1f}" for each in seconds)])
    about = ", ".join(f"{name} {_counted(value)}" for name, value in evaluation.data.items())
    title = f"{len(evaluation.tested.pairs.users):,} users tested; {about}"
    print_table(["model", *shown, "s to learn + answer"], rows, title=title)
    main = next((name for name in shown if _has_users(name)), None)
    others = [model for model in evaluation.models if model != baseline]
    if main is not None and baseline in evaluation.models and others:
        head = ["model", f"{main} minus {baseline}", "p (bootstrap)", "users better / worse", "p (sign)"]
        differences = [[model, *_difference(evaluation, model, baseline, main)] for model in others]
        print_table(head, differences, title=f"Against {baseline}, on the same users")
    users = evaluation.overall["users"]
    named = [each for each in users["cohort"].values.tolist() if each != ALL and users.sel(cohort=each)]
    if named and main is not None:
        by_cohort = [
            [name, f"{int(users.sel(cohort=name)):,}"]
            + [_cell(evaluation, model, main, name) for model in evaluation.models]
            for name in named
        ]
        print_table(["cohort", "users", *evaluation.models], by_cohort, title=f"{main} by cohort")


def _cell(evaluation: OfflineEvaluation, model: str, metric: str, cohort: str) -> str:
    cell = evaluation.overall.sel(model=model, metric=metric, cohort=cohort)
    value, low, high = (_figure(float(cell[each])) for each in ("value", "low", "high"))
    return value if value == "-" else f"{value} [{low}, {high}]"


def _difference(evaluation: OfflineEvaluation, model: str, baseline: str, metric: str) -> list[str]:
    test = evaluation.difference(model, baseline, metric)
    value, low, high = (_figure(each, "+.4f") for each in test.difference)
    wins = f"{test.a_wins:,} / {test.b_wins:,}"
    return [f"{value} [{low}, {high}]", f"{test.p_bootstrap:.3g}", wins, f"{test.p_sign:.3g}"]


def _json_lines(evaluation: OfflineEvaluation, shown: str, baseline: str) -> list[dict[str, Any]]:
    """Return an object a model with all its figures over all users, their intervals and its difference."""
    from rtrec.evaluation.slices import ALL

    lines = []
    for model in evaluation.models:
        whole = evaluation.overall.sel(model=model, cohort=ALL)
        line: dict[str, Any] = {
            "model": model,
            "users": int(whole["users"]),
            "split": evaluation.data["split"],
        }
        for metric in evaluation.tested.metrics:
            cell = whole.sel(metric=metric)
            line[metric] = float(cell["value"])
            line |= {f"{metric}_{end}": float(cell[end]) for end in ("low", "high")}
        line |= {name: round(float(whole[name]), 3) for name in ("learn_seconds", "answer_seconds")}
        if baseline in evaluation.models and model != baseline and _has_users(shown):
            test = evaluation.difference(model, baseline, shown)
            name = f"{shown}_minus_{baseline}"
            line |= {name: test.difference.value, f"{name}_low": test.difference.low}
            line |= {f"{name}_high": test.difference.high, f"{name}_p": test.p_bootstrap}
            line[f"{name}_p_sign"] = test.p_sign
        lines.append({name: _finite(value) for name, value in line.items()})
    return lines


def _write(evaluation: OfflineEvaluation, path: Path) -> None:
    from rtrec.files import make_folder

    make_folder(path.parent)
    if path.suffix == ".csv":
        evaluation.to_frame().to_csv(path, index=False)
    elif path.suffix == ".parquet":
        evaluation.to_frame().to_parquet(path, index=False)
    else:
        # NetCDF knows no truth values; of its engines SciPy's is always there.
        about = {
            name: json_text.dumps(value) if isinstance(value, bool) else value
            for name, value in evaluation.dataset.attrs.items()
        }
        evaluation.dataset.assign_attrs(about).to_netcdf(path, engine="scipy")


def _has_users(metric: str) -> bool:
    from rtrec.evaluation.figures import OF_ALL_LISTS

    return metric.split("@")[0] not in OF_ALL_LISTS


def _counted(value: Any) -> str:
    return f"{value:,}" if type(value) is int else f"{value}"


def _figure(value: float, form: str = ".4f") -> str:
    return format(value, form) if math.isfinite(value) else "-"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
