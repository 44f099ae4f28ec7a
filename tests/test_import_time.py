"""`rtrec --help` answers at once because nothing heavy is imported before it is used.

Seconds differ from machine to machine; which modules were loaded does not, so that is what is tested.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "bokeh",
    "confluent_kafka",
    "cryptography",
    "dask",
    "dask_ml",
    "distributed",
    "numba",
    "optuna",
    "pandas",
    "panel",
    "param",
    "pyarrow",
    "river",
    "scipy",
    "sklearn",
    "streamz",
    "torch",
    "xarray",
}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after ``statement``."""
    report = (
        f"{statement}\nimport json, sys\nprint(json.dumps([each.partition('.')[0] for each in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["rtrec", "rtrec.cli"])
def test_import_loads_nothing_heavy(module):
    assert not loaded_by(f"import {module}") & HEAVY


def test_the_help_loads_nothing_heavy():
    help_text = (
        "import contextlib, rtrec.cli\nwith contextlib.suppress(SystemExit): rtrec.cli.app(['--help'])"
    )
    assert not loaded_by(help_text) & HEAVY


def test_the_check_would_notice_a_heavy_import():
    assert "pyarrow" in loaded_by("import rtrec.events.schema")
