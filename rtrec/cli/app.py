"""The command line itself: its commands, its exit codes, and how errors leave it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rtrec import __version__
from rtrec.cli import about, cluster, data, demo, evaluate, jobs, log, offline, run, snapshots, tables, tune
from rtrec.cli.blame import tell_value
from rtrec.cli.console import complain
from rtrec.errors import InputError, RtrecError

FAILED, UNUSABLE = 1, 2


class _Commands(TyperGroup):
    """Commands whose errors become one line on stderr and an exit code."""

    _words: Sequence[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        self._words = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RtrecError as error:
            self._tell(ctx, error, str(error))
            raise typer.Exit(UNUSABLE if isinstance(error, InputError) else FAILED) from error
        except Exception as error:
            # Usage errors and exits know what to do; a reader of our output that left is no error of ours.
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort | BrokenPipeError):
                tell_value(error, self._words)
                raise
            if isinstance(error, OSError) and error.filename is not None and error.strerror:
                advice = "name a place that can be read and written, or make room there"
                self._tell(ctx, error, f"{error.filename}: {error.strerror.lower()}; {advice}")
                raise typer.Exit(FAILED) from error
            self._tell(ctx, error, f"{type(error).__name__}: {error} (`rtrec --debug ...` says where)")
            raise typer.Exit(FAILED) from error

    def _tell(self, ctx: Any, error: Exception, message: str) -> None:
        if ctx.params.get("debug"):
            traceback.print_exception(error)
        complain(message)


app = typer.Typer(
    name="rtrec",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rtrec {__version__}")
        raise typer.Exit()


@app.callback(
    epilog="Exit codes: 0 all went well, 1 something failed, 2 the input or the command cannot be used. "
    "RTREC_HOME names the deployment, RTREC_RING_LENGTH and the like change settings, NO_COLOR turns "
    "colours off."
)
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Real-time recommendation: event log in, live and honestly measured recommender out.

    Example, with a synthetic stream of events, to see it move: `rtrec demo`
    """
    _log_to_stderr(debug=debug)


def main() -> None:
    """Run the command line; the exit code says how it went."""
    app(prog_name="rtrec")


def _log_to_stderr(*, debug: bool) -> None:
    import structlog

    def stderr_now(*_: Any) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)  # whatever stderr is then: a progress bar takes its place

    def in_a_line(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        error = sys.exc_info()[1] if entry.pop("exc_info", None) else None
        return entry if error is None else {**entry, "error": f"{type(error).__name__}: {error}"}

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            *([] if debug else [in_a_line]),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=stderr_now,
    )


app.command(rich_help_panel="Start here")(demo.demo)
app.command(rich_help_panel="Start here")(run.run)
app.command(rich_help_panel="Start here")(evaluate.evaluate)
app.command(rich_help_panel="Choose")(tune.tune)
app.command("evaluate-offline", rich_help_panel="Choose")(offline.evaluate_offline)
app.add_typer(data.app, name="data", rich_help_panel="Look around")
app.command(rich_help_panel="Look around")(about.models)
app.command(rich_help_panel="Look around")(about.settings)
app.add_typer(log.app, name="log", rich_help_panel="Deployments")
app.add_typer(snapshots.app, name="snapshots", rich_help_panel="Deployments")
app.add_typer(tables.app, name="tables", rich_help_panel="Deployments")
app.add_typer(jobs.app, name="jobs", rich_help_panel="Deployments")
app.add_typer(cluster.app, name="cluster", rich_help_panel="Deployments")
