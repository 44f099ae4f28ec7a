"""Tuning: find settings on the first part of a log, and confirm them on the rest.

optuna proposes, Dask replays, and what was proposed is judged only by events that were answered before they
were learned. A trial goes up a ladder of rungs, each of twice as many events as the one before; at each rung
the worse half stays behind (asynchronous successive halving, Li et al. 2020). The events held out are neither
seen by the search nor by the choice of the best trial, so the difference found on them is no optimist's.
"""
