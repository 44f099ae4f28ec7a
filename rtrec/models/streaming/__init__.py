"""Models that learn from every event the moment it has been answered, in numba.

Nothing is fitted: a vector a user and a vector an item take one small step an event, so what somebody just
did counts in their very next list, and new users and items get a row when they first appear. The price is
depth: each event is seen once, and a fit that goes over the history many times knows more about old tastes
(:mod:`rtrec.models.nearline`).

- :class:`~rtrec.models.streaming.isgd.ISGD` pulls the score of what a user took towards 1, and, as an option,
  that of what nobody took for long towards 0;
- :class:`~rtrec.models.streaming.bpr.BPR` lifts what a user took above items drawn by chance.

Both keep all their state, chance included, in arrays (:mod:`~rtrec.models.streaming.state`): a restored model
goes on as if it had never been away.
"""
