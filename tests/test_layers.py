"""Imports point one way: a module may use its own layer and those below, never one above or beside it."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rtrec
from tests.sources import tree_of

ROOT = Path(__file__).resolve().parent.parent
#: From the ground up; what shares a line must not know of the other, except within its own layer.
LAYERS = (
    ("types", "errors", "declared", "settings", "files", "clock", "failpoints"),
    ("events",),
    ("features",),
    ("models",),
    ("evaluation",),
    ("engine", "serving"),
    ("jobs", "dashboard"),
    ("cli",),
)
#: The ground floor is one layer whose modules may use each other.
GROUND = LAYERS[0]
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}
#: `import rtrec` offers the names of all layers lazily, so it stands above them.
TOP = ("__init__", "__main__")
OUTSIDE = ("notebooks", "dashboards", "benchmarks", "tests", "rtrec.testing")

MODULES = sorted((ROOT / "rtrec").rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT / "rtrec").parts[0].removesuffix(".py")


def imports_of(source: str, package: str, *, for_types: bool = True) -> set[str]:
    """Return the absolute dotted names that ``source`` imports, function bodies included.

    Without ``for_types`` those are left out that only a type checker follows.
    """
    found = set()
    tree = tree_of(source)
    only_types = set()
    if not for_types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                only_types |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in only_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def wrong_way(layer: str, imported: str) -> str | None:
    """Say what is wrong with a module of ``layer`` importing ``imported``; None if nothing is."""
    if any(imported == each or imported.startswith(f"{each}.") for each in OUTSIDE):
        return f"rtrec must not import {imported}"
    parts = imported.split(".")
    if parts[0] != "rtrec" or layer in TOP or len(parts) == 1:
        return None
    # What `from rtrec import ...` offers lives in some module, which is then what is imported.
    target = rtrec._HOMES.get(parts[1], imported).split(".")[1]
    if target not in LEVELS or target == layer or (target in GROUND and layer in GROUND):
        return None
    if LEVELS[target] >= LEVELS[layer]:
        return f"{layer} is not above {target}, so it must not import {imported}"
    return None


def circle_in(sources: dict[str, str]) -> list[str]:
    """Return modules that import each other in a circle, the first one again at the end; empty without."""
    graph = {}
    for name, source in sources.items():
        package = name.rpartition(".")[0]
        imported = {_module_of(each, sources) for each in imports_of(source, package, for_types=False)}
        graph[name] = sorted(imported - {None, name})
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_of(imported: str, known: dict[str, str]) -> str | None:
    """Return the module that a dotted name is, or is something of; None for those of others."""
    while imported and imported not in known:
        imported = imported.rpartition(".")[0]
    return imported or None


def test_no_modules_import_each_other_in_a_circle():
    sources = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in MODULES
        if path.stem != "__init__"  # these only gather what their package offers
    }
    assert not circle_in(sources)


def test_a_circle_is_found_also_where_an_import_is_late_but_not_where_it_is_for_types_alone():
    late = "def f():\n    from rtrec.b import g"
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rtrec.b import g"
    b = "from rtrec.a import f"
    assert set(circle_in({"rtrec.a": late, "rtrec.b": b})) == {"rtrec.a", "rtrec.b"}
    assert not circle_in({"rtrec.a": for_types, "rtrec.b": b})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_below(path):
    layer = layer_of(path)
    assert layer in LEVELS or layer in TOP, f"{path.name}: in no layer; add it to LAYERS"
    package = ".".join(path.relative_to(ROOT).parent.parts)
    problems = [
        wrong_way(layer, each) for each in sorted(imports_of(path.read_text(encoding="utf-8"), package))
    ]
    assert not any(problems), "; ".join(filter(None, problems))


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("events", "from rtrec.engine.shard import Shard"),
        ("events", "def late():\n    import rtrec.models.kernel"),
        ("engine", "from rtrec.serving import api"),
        ("dashboard", "from rtrec import jobs"),
        ("types", "from .events import schema"),
        ("declared", "from rtrec.features.content import features_of"),
        ("events", "from rtrec import LiveRun"),
        ("cli", "import rtrec.testing"),
        ("cli", "from dashboards import live"),
    ],
)
def test_an_import_upwards_sideways_or_outside_is_found(layer, source):
    assert [each for each in imports_of(source, "rtrec") if wrong_way(layer, each)]


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        ("cli", "from rtrec.dashboard.app import serve"),
        ("settings", "from rtrec.errors import nearest"),
        ("settings", "from rtrec.declared import FEATURES"),
        ("events", "from rtrec.events.schema import EVENT_SCHEMA\nimport numpy as np"),
        ("engine", "from rtrec import __version__"),
    ],
)
def test_an_import_from_below_is_allowed(layer, source):
    assert not [each for each in imports_of(source, "rtrec") if wrong_way(layer, each)]
