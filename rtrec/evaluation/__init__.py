"""Evaluation: how good the lists are, said honestly.

In a stream every event is answered with the state as it was before it, and only then learned. What comes of
an answer is one number, the rank of the event's item in the list (0 for a miss), and everything said about
quality is made of counts of ranks: exact, so that batches, shards and restarts do not change a digit.

From one number to a verdict:

- :mod:`~rtrec.evaluation.metrics`: hit rate, NDCG and MRR with intervals; differences on the same events
- :mod:`~rtrec.evaluation.history`: the same, window by window over the life of a stream (xarray)
- :mod:`~rtrec.evaluation.drift`: noticing that the hit rate has changed (ADWIN)
- :mod:`~rtrec.evaluation.comparison`: two variants on the same events, for what-ifs and reports
- :mod:`~rtrec.evaluation.prequential`: test, then learn a whole file with several models, with what history
  says at any event (:mod:`~rtrec.evaluation.past`)
- :mod:`~rtrec.evaluation.result`: what that hands back (:mod:`~rtrec.evaluation.markup` draws it)

Offline, a model learns one part of a log and ranks all items for every user of the other, and figures are
per user:

- :mod:`~rtrec.evaluation.splits`: which part is learned and which is tested
- :mod:`~rtrec.evaluation.full_ranking`: teach any kind of model, have it rank all items
- :mod:`~rtrec.evaluation.ranking_metrics`, :mod:`~rtrec.evaluation.list_metrics`: how well lists hit, and
  what they are like otherwise
- :mod:`~rtrec.evaluation.slices`: cohorts of users and items, windows of time
- :mod:`~rtrec.evaluation.significance`: intervals over users, tests between models
- :mod:`~rtrec.evaluation.offline`: all of it in one call; :mod:`~rtrec.evaluation.figures` makes the cube,
  :mod:`~rtrec.evaluation.offline_result` is what comes back

Out of scope: sampled metrics, which rank models differently from full ones, and tuning.
"""
