"""Groups of options become options of the command line, and come back as one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from rtrec.cli.options import expanded


@dataclass(frozen=True)
class Place:
    """Where."""

    street: Annotated[str, typer.Option()] = "Main"
    number: Annotated[int | None, typer.Option("--no")] = None


def make_app() -> tuple[typer.Typer, list]:
    app, seen = typer.Typer(), []

    @app.command()
    @expanded
    def visit(place: Place, twice: bool = False) -> None:
        """Go there."""
        seen.append((place, twice))

    return app, seen


def test_fields_are_given_one_by_one():
    app, seen = make_app()
    result = CliRunner().invoke(app, ["--street", "High", "--no", "7", "--twice"])
    assert result.exit_code == 0, result.output
    assert seen == [(Place("High", 7), True)]


def test_fields_keep_their_defaults():
    app, seen = make_app()
    assert CliRunner().invoke(app, []).exit_code == 0
    assert seen == [(Place(), False)]


def test_help_and_docstring_are_those_of_the_command():
    app, _ = make_app()
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "Go there." in shown
    assert "--no" in shown
