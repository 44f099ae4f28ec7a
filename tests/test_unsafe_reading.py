"""No path of data runs code: nothing of ours reads pickles, or evaluates what it reads.

(Dask's own messages are pickles; who may reach a scheduler is said in the README.)
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(each for folder in ("rtrec", "dashboards") for each in (ROOT / folder).rglob("*.py"))
#: Modules whose only use is to make objects, and so to run code, from bytes.
BARRED = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve", "skops"}
#: Calls that do so; those of numpy, only unless told not to.
CALLS = {
    *("eval", "exec", "pandas.read_pickle", "pd.read_pickle", "torch.load"),
    *("yaml.full_load", "yaml.load", "yaml.load_all", "yaml.unsafe_load"),
}
UNLESS_BARRED = {"np.load", "numpy.load", "np.lib.format.read_array"}


def unsafe(source: str) -> list[str]:
    """Return what in ``source`` could run code that it read, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names if each.name.split(".")[0] in BARRED]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in BARRED:
            names = [str(node.module)]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            options = {each.arg: getattr(each.value, "value", ...) for each in node.keywords}
            pickles = options.get("allow_pickle", name in UNLESS_BARRED) is not False
            if name in CALLS or pickles or options.get("weights_only", True) is not True:
                names = [name]
        found += [f"line {node.lineno}: {name}" for name in names]  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_read_is_run(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import cloudpickle as cp",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "np.save(path, array, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "torch.load(path)",
        "np.lib.format.read_array(file)",
        "torch.save(model, path, weights_only=False)",
        "pd.read_pickle(path)",
        "eval(text)",
        "exec(text)",
    ],
)
def test_what_would_is_found(line: str) -> None:
    assert len(unsafe(f"a = 1\n{line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "json.loads(text)",
        "self.load(text)",
        "np.eval",
    ],
)
def test_what_would_not_is_left_alone(line: str) -> None:
    assert unsafe(line) == []
