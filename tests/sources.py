"""Source text as a syntax tree."""

from __future__ import annotations

import ast


def tree_of(source: str) -> ast.Module:
    """Return the tree of a module's source.

    Python 3.11 counts depths for all threads together, and takes a parse beside or within another one for an
    error of its own (CPython issue 106905); the second try is alone.
    """
    try:
        return ast.parse(source)
    except SystemError:
        return ast.parse(source)
