"""Keep going where our own code fails on a row nobody thought of.

A batch that raises is halved until the row at fault stands alone, so one such row costs itself and some
repeated work, never its neighbours and never the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from rtrec.errors import RtrecError

Result = TypeVar("Result")


def piecewise(
    do: Callable[[int, int], Result], start: int, stop: int
) -> Iterator[tuple[int, int, Result | Exception]]:
    """Yield ``do(start, stop)`` in as few pieces as go through, with where each begins and ends.

    A row alone on which ``do`` raises comes with its error. An error that rtrec raises on purpose is about
    more than a row, and passes. Whatever ``do`` did before it raised must not count.

    >>> def half(start, stop):
    ...     return [10 // (place - 2) for place in range(start, stop)]
    >>> list(piecewise(half, 0, 4))
    [(0, 2, [-5, -10]), (2, 3, ZeroDivisionError('integer division or modulo by zero')), (3, 4, [10])]
    """
    try:
        result = do(start, stop)
    except RtrecError:
        raise
    except Exception as error:
        if stop - start <= 1:
            yield start, stop, error
            return
        middle = (start + stop) // 2
        yield from piecewise(do, start, middle)
        yield from piecewise(do, middle, stop)
    else:
        yield start, stop, result
