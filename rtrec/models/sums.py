"""Arithmetic over candidates, of whom the processor takes eight or sixteen at a time."""

from __future__ import annotations

import numpy as np

from rtrec.models.jit import kernel, sum_kernel

#: 2^x between 0 and 1 as a polynomial, the highest power first: closer than single precision can tell.
_POWER_OF_TWO = tuple(
    np.polynomial.Chebyshev.interpolate(lambda x: 2.0**x, 6, domain=[0, 1])
    .convert(kind=np.polynomial.Polynomial)
    .coef[::-1]
    .astype(np.float32)
)
_LOG2_E = np.float32(np.log2(np.e))
_LOWEST = np.float32(-126.0)  # exponent of the smallest number in single precision that is kept whole
_MANTISSA_BITS = np.int32(23)


@sum_kernel
def total_of(values, n):
    """Return the sum of the first ``n`` values."""
    total = np.float32(0.0)
    for place in range(n):
        total += values[place]
    return total


@sum_kernel
def product(one, other, n):
    """Return the sum of products of the first ``n`` values."""
    total = np.float32(0.0)
    for place in range(n):
        total += one[place] * other[place]
    return total


@sum_kernel
def squares_about(values, mean, n):
    """Return the sum of squared distances of the first ``n`` values from ``mean``."""
    total = np.float32(0.0)
    for place in range(n):
        distance = values[place] - mean
        total += distance * distance
    return total


@kernel
def add_weighted(weight, rows, active, n, total):
    """Add the weighted sum of the active rows to ``total``; only the first ``n`` values of each.

    Four rows at a time: else most of the time goes into loading and storing ``total``.

    Parameters
    ----------
    weight, active
        ``(row,)``.
    rows
        ``(row, value)``.
    """
    first, second, third, waiting = 0, 0, 0, 0
    for row in range(len(active)):
        if not active[row]:
            continue
        if waiting == 0:
            first = row
        elif waiting == 1:
            second = row
        elif waiting == 2:
            third = row
        else:
            one, two, three, four = weight[first], weight[second], weight[third], weight[row]
            a, b, c, d = rows[first], rows[second], rows[third], rows[row]
            for place in range(n):
                total[place] += one * a[place] + two * b[place] + three * c[place] + four * d[place]
            waiting = -1
        waiting += 1
    if waiting > 0:
        none = np.float32(0.0)  # a row that is not waiting has been added already, or is not active
        one = weight[first]
        two, three = weight[second] if waiting > 1 else none, weight[third] if waiting > 2 else none
        a, b, c = rows[first], rows[second], rows[third]
        for place in range(n):
            total[place] += one * a[place] + two * b[place] + three * c[place]


@kernel
def fill_exponential(values, highest, n, exponential):
    """Fill e^(value - highest) of the first ``n`` values, none of which is above ``highest`` by 88.

    A library's takes one at a time. This one is off by 4e-6 of the result at most, as
    the exponent is rounded, and never below 2^-126.
    """
    bits = exponential.view(np.int32)
    for place in range(n):
        power = max((values[place] - highest) * _LOG2_E, _LOWEST)
        whole = np.floor(power)
        rest, part = np.float32(0.0), power - whole
        for factor in _POWER_OF_TWO:
            rest = rest * part + factor
        exponential[place] = rest
        bits[place] += np.int32(whole) << _MANTISSA_BITS  # times 2^whole
