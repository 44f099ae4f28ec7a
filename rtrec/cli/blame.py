"""Errors on the command line name the option they come from, and what was given for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rtrec.errors import InputError


@contextmanager
def blaming(flag: str, given: object) -> Iterator[None]:
    """Have an error of the block begin with the option and its value, unless it names an option itself."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if message.startswith("--"):
            raise
        # What is said of a file begins with its name already.
        where = flag if message.startswith(f"{given}:") else f"{flag} {given}:"
        raise InputError(f"{where} {message}") from error


def tell_value(error: Any, words: Sequence[str]) -> None:
    """Say what came where a value was refused before a command began: the parser says what it expects.

    Parameters
    ----------
    error
        A usage error, changed in place; one of no option stays as it is.
    words
        The command line.
    """
    flags = getattr(getattr(error, "param", None), "opts", ())
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in flags:
            given = value if equals else "".join(words[place + 1 : place + 2])
            error.message = f"{error.message}; got {given!r}"
            return
