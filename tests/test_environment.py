"""The ways to install say the same: pyproject.toml, environment.yml and constraints.txt."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
EXTRAS_IN_CONDA = ("deep", "lab")
#: conda-forge calls these otherwise (its `dask` brings distributed and the data frames).
CONDA_NAMES = {"torch": "pytorch"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def conda() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in pinned}


def test_conda_environment_asks_for_what_pyproject_asks_for(project, conda):
    extras = [each for extra in EXTRAS_IN_CONDA for each in project["optional-dependencies"][extra]]
    expected = {("python", SpecifierSet(project["requires-python"])), ("pip", SpecifierSet())}
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        expected.add((CONDA_NAMES.get(requirement.name, requirement.name), requirement.specifier))
    asked = [Requirement(each) for each in conda if isinstance(each, str)]
    assert {(each.name, each.specifier) for each in asked} == expected


def test_conda_environment_installs_the_package_itself(conda):
    assert conda[-1] == {"pip": ["--editable ."]}


def test_every_requirement_is_pinned_within_its_bounds(project, pins):
    asked = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    for requirement in map(Requirement, asked):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name}: not pinned in constraints.txt"
        assert requirement.specifier.contains(pin), f"{requirement}: constraints.txt pins {pin}"


def test_no_file_asks_an_installer_for_the_other_project_called_rtrec(project, conda, pins):
    assert project["name"] == "rtrec-workbench"
    assert "rtrec" not in pins
    assert not any(isinstance(each, str) and Requirement(each).name == "rtrec" for each in conda)
