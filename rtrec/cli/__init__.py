"""The command line: `rtrec COMMAND`, or `python -m rtrec COMMAND`.

Tables and JSON go to stdout, everything else (progress, warnings, errors) to stderr. It exits with 0 when all
went well, 1 when something failed, and 2 when the input or the command cannot be used. Commands import what
they need when they are called, so that `--help` answers at once.
"""

from rtrec.cli.app import app, main

__all__ = ["app", "main"]
