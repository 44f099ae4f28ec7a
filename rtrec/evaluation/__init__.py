"""Evaluation: how good the lists are, said honestly.

Every event is answered with the state as it was before it, and only then learned. What comes of an answer is
one number, the rank of the event's item in the list (0 for a miss), and everything said about quality here is
made of counts of ranks: exact, so that batches, shards and restarts do not change a digit.

From one number to a verdict:

- :mod:`~rtrec.evaluation.metrics`: hit rate, NDCG and MRR with intervals; differences on the same events
- :mod:`~rtrec.evaluation.history`: the same, window by window over the life of a stream (xarray)
- :mod:`~rtrec.evaluation.drift`: noticing that the hit rate has changed (ADWIN)
- :mod:`~rtrec.evaluation.comparison`: two variants on the same events, for what-ifs and reports
- :mod:`~rtrec.evaluation.prequential`: test, then learn a whole file with several models
- :mod:`~rtrec.evaluation.result`: what that hands back (:mod:`~rtrec.evaluation.markup` draws it)

Out of scope: sampled metrics, which rank models differently from full ones, and tuning.
"""
