"""Sums over candidates, whose terms the processor adds eight at a time."""

from __future__ import annotations

import numpy as np

from rtrec.models.jit import sum_kernel


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
