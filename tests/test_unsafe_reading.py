"""No path of data runs code: nothing that ships reads pickles, or evaluates what it reads.

This guards against slips, not against an author who hides: names are followed through imports, attributes
and :func:`getattr`, but not through variables. What Dask sends is pickles: see docs/security.md.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import tree_of

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("rtrec", "dashboards", "benchmarks", "notebooks")
FILES = sorted(
    each for name in FOLDERS for each in (ROOT / name).rglob("*") if each.suffix in (".py", ".ipynb")
)

#: Modules that make objects, and so run code, from bytes; wherever they are, as in ``torch.serialization``.
MODULES = (
    "cloudpickle|_?pickle|dill|joblib|jsonpickle|marshal|pickle_compat|shelve|skops|numcodecs|pickletools|"
    "imp|runpy|code|codeop"
)
#: What does so under any of its names.
RUNS = re.compile(
    rf"(.+\.)?({MODULES})(\..+)?"
    r"|builtins\.(compile|eval|exec)"
    r"|(pandas|dask)\.(.+\.)?(HDFStore|eval|read_hdf|read_pickle)"  # HDF keeps columns of objects as pickles
    r"|torch\.(.+\.)?load|torch\.(hub|package)(\..+)?"
    r"|yaml\.((full|unsafe)_)?load(_all)?|yaml\.(.+\.)?C?(Full|Unsafe)?Loader"
    r"|pyarrow\.(.+\.)?(deserialize\w*|PyExtensionType)"
    r"|xarray\.(.+\.)?open_zarr|zarr\.(.+\.)?(load|open\w*)"  # a store names its codecs; pickle is one
    r"|multiprocessing\.(connection|managers|reduction)(\..+)?"
    r"|(dask\.)?distributed\.protocol(\..+)?"
    r"|logging\.config(\..+)?|importlib\.(.+\.)?(\w+Loader|module_from_spec|spec_from\w+)"
    r"|os\.(exec\w+|popen|spawn\w+|system)"
)
#: NumPy's readers do unless told not to: ``allow_pickle=False`` has to stand there.
UNLESS_TOLD = re.compile(r"numpy\.(.+\.)?(load|read_array)")
#: Libraries with such a name: of these, an attribute by a name that is only known later is one too many.
FAMILIES = {"builtins", "numpy", "pandas", "pyarrow", "torch", "yaml"}


class Names:
    """What the names of a module stand for, whichever function imported them."""

    def __init__(self, tree: ast.AST) -> None:
        self.known: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    root = each.name.partition(".")[0]
                    self._add(each.asname or root, each.name if each.asname else root)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for each in node.names:
                    self._add(each.asname or each.name, f"{node.module}.{each.name}")

    def _add(self, name: str, stands_for: str) -> None:
        self.known.setdefault(name, set()).add(stands_for)

    def of(self, node: ast.AST) -> set[str]:
        """Return the dotted names that an expression may stand for."""
        if isinstance(node, ast.Name):
            own = {f"builtins.{node.id}"} if hasattr(builtins, node.id) else set()
            return self.known.get(node.id, own)
        if isinstance(node, ast.Attribute):
            return {f"{base}.{node.attr}" for base in self.of(node.value)}
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            # sys.modules["yaml"], vars(np)["load"], np.__dict__["load"]
            if self.of(node.value) == {"sys.modules"}:
                return {str(node.slice.value)}
            return {f"{base.removesuffix('.__dict__')}.{node.slice.value}" for base in self.of(node.value)}
        if isinstance(node, ast.Call):
            function, first = self.of(node.func), node.args[0] if node.args else None
            if function & {"builtins.__import__", "importlib.import_module"}:
                return {str(first.value)} if isinstance(first, ast.Constant) else set()
            if function & {"builtins.vars"} and first is not None:
                return self.of(first)
            if function & {"builtins.getattr"} and isinstance(node.args[1], ast.Constant):
                return {f"{base}.{node.args[1].value}" for base in self.of(node.args[0])}
        return set()


def unsafe(source: str) -> list[str]:
    """Return what in ``source`` could run code that it read, with its line."""
    tree = tree_of(source)
    names = Names(tree)
    told = {
        node.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and any(each.arg == "allow_pickle" and _is(each.value, False) for each in node.keywords)
    }
    found = {
        f"line {node.lineno}: {name}"  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        for name in _suspects(node, names)
        if RUNS.fullmatch(name) or (UNLESS_TOLD.fullmatch(name) and node not in told) or name.endswith("!")
    }
    return sorted(found)


def _suspects(node: ast.AST, names: Names) -> Iterator[str]:
    """Yield the names that a node uses; what is wrong under any name ends in an exclamation mark."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        for each in node.names:
            star = each.name == "*" and str(node.module).partition(".")[0] in FAMILIES
            # A reader of NumPy is judged where it is called.
            name = f"{node.module}.{each.name}"
            yield f"{name}!" if star else "" if UNLESS_TOLD.fullmatch(name) else name
    elif isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        yield from names.of(node)
    elif isinstance(node, ast.Call):
        yield from names.of(node)
        function = names.of(node.func)
        first = node.args[0] if node.args else ast.Constant(None)
        if function & {"builtins.__import__", "importlib.import_module"} and not _is_ours(first):
            yield "import by a name only known later!"
        if function & {"builtins.getattr"} and not isinstance(node.args[1], ast.Constant):
            yield from (f"getattr({each})!" for each in names.of(first) if each.partition(".")[0] in FAMILIES)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "eval" and node.args:
            yield "eval of a frame!"
        for each in node.keywords:
            if each.arg == "allow_pickle" and not _is(each.value, False):
                yield "allow_pickle!"
            if each.arg == "weights_only" and not _is(each.value, True):
                yield "weights_only!"
            if each.arg == "shell" and not _is(each.value, False):
                yield "shell!"


def _is(node: ast.AST, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_ours(name: ast.AST) -> bool:
    """Say whether a module is named in full, or is one of rtrec's."""
    if isinstance(name, ast.JoinedStr):
        start = name.values[0]
        return isinstance(start, ast.Constant) and str(start.value).startswith("rtrec.")
    return isinstance(name, ast.Constant)


def source_of(path: Path) -> str:
    """Return a file's Python; of a notebook all cells, less the lines that are for Jupyter."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = [each["source"] for each in json.loads(text)["cells"] if each["cell_type"] == "code"]
    lines = "\n".join("".join(each) for each in cells).splitlines()
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)


#: Imported by a name from a table of constants in the same file.
BY_TABLE = {"rtrec/__init__.py": 1, "benchmarks/rivals/catalogue.py": 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_read_is_run(path: Path) -> None:
    found = unsafe(source_of(path))
    by_table = [each for each in found if each.endswith("import by a name only known later!")]
    assert len(by_table) == BY_TABLE.get(path.relative_to(ROOT).as_posix(), 0), by_table
    assert [each for each in found if each not in by_table] == []


@pytest.mark.parametrize(
    "lines",
    [
        "import pickle",
        "import _pickle as p",
        "from joblib import load",
        "import cloudpickle as cp",
        "import pandas.compat.pickle_compat",
        "from torch.serialization import pickle as p",
        "from multiprocessing.reduction import ForkingPickler",
        "from multiprocessing import connection",
        "from distributed.protocol import deserialize",
        "import multiprocessing as mp; mp.connection.Client(address)",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy as np; np.load(path, allow_pickle=allowed)",
        "import numpy as np; np.save(path, array, allow_pickle=True)",
        "import numpy as np; np.lib.format.read_array(file)",
        "from numpy import load; load(path)",
        "from numpy import load as read; read(path)",
        "import numpy; numpy.lib.npyio.load(path)",
        "import numpy.lib.format as f; f.read_array(file)",
        "from numpy.lib import format as f; f.read_array(file)",
        "import numpy as np; list(map(np.load, paths))",
        "import numpy as np; read = np.load",
        "import numpy as np; getattr(np, 'load')(path)",
        "import numpy as np; getattr(np, name)(path)",
        "import numpy as np; vars(np)['load'](path)",
        "import numpy as np; np.__dict__['load'](path)",
        "def read():\n    import numpy as n\n    return n.load(path)",
        "from numpy import *",
        "import pandas as frames; frames.read_pickle(path)",
        "from pandas import read_pickle as read",
        "from pandas.io import pickle",
        "import pandas as pd; pd.read_hdf(path)",
        "import dask.dataframe as dd; dd.read_hdf(path, key)",
        "import pandas as pd; pd.eval(text)",
        "frame.eval(text)",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=True)",
        "import torch; torch.jit.load(path)",
        "import torch; torch.hub.load(repository, name)",
        "model.read(path, weights_only=False)",
        "import yaml; yaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml; yaml.unsafe_load(text)",
        "from yaml import full_load as safe_load",
        "import yaml\nclass Ours(yaml.Loader): pass",
        "from yaml import CUnsafeLoader as Loader",
        "import pyarrow as pa; pa.deserialize(body)",
        "import pyarrow as pa; pa.ipc.deserialize_pandas(body)",
        "import pyarrow as pa\nclass Mine(pa.PyExtensionType): pass",
        "import xarray as xr; xr.open_zarr(path)",
        "import numcodecs",
        "eval(text)",
        "exec(text)",
        "exec(compile(text, path, 'exec'))",
        "import builtins; builtins.eval(text)",
        "run = eval",
        "import builtins; getattr(builtins, name)(text)",
        "__import__('pickle').loads(body)",
        "__import__(name)",
        "import importlib; importlib.import_module('joblib')",
        "from importlib import import_module; import_module(name)",
        "from importlib import import_module; import_module(f'{package}.x')",
        "import importlib.util; importlib.util.spec_from_file_location(name, path)",
        "import sys; sys.modules['pickle'].loads(body)",
        "import os; os.system(command)",
        "import subprocess; subprocess.run(command, shell=True)",
        "import logging.config",
    ],
)
def test_what_would_is_found(lines: str) -> None:
    assert unsafe(f"a = 1\n{lines}\n")


@pytest.mark.parametrize(
    "lines",
    [
        "import numpy as np; np.load(path, allow_pickle=False)",
        "from numpy import load; load(path, allow_pickle=False)",
        "import numpy as np; np.fromfile(path, dtype)",  # refuses dtypes with objects by itself
        "import yaml; yaml.safe_load(text)",
        "import yaml\nclass Ours(yaml.SafeLoader): pass",
        "import json; json.loads(text, object_hook=make)",  # calls what is named here, not what is read
        "import pandas as pd; pd.read_parquet(path)",
        "import re; re.compile(pattern)",
        "self.load(text)",
        "model.eval()",
        "import torch; torch.utils.data.DataLoader(rows)",
        "import subprocess; subprocess.run(words)",
        "from importlib import import_module; import_module(f'rtrec.models.{name}')",
        "getattr(settings, name)",
        "from multiprocessing import resource_tracker",
        "from importlib.util import find_spec; find_spec('torch')",
    ],
)
def test_what_would_not_is_left_alone(lines: str) -> None:
    assert unsafe(lines) == []


def test_notebooks_are_read_too(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": ["%time\n", "import numpy as np\n", "np.load(path)"]}]
    cells.append({"cell_type": "markdown", "source": ["eval(all)"]})
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert unsafe(source_of(notebook)) == ["line 3: numpy.load"]
