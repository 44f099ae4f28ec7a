"""Models fitted every so often on the history, each of which publishes one of two kinds of table.

A *neighbour table* gives each item a row of at most M others with weights (item-kNN, EASE, SLIM, content). A
*vector table* gives each item a vector, and perhaps each user (matrix factorisation, two-tower, sequence
models). One file is one model (:class:`~rtrec.models.nearline.base.NearlineModel`);
:class:`~rtrec.models.nearline.refitted.Refitted` tests any of them event by event, with refits in between.

A vector table becomes neighbour rows in :mod:`~rtrec.models.nearline.nearest`, by an index above
100,000 items. Smaller copies say nearly the same: vectors as float16 or int8
(:func:`~rtrec.models.nearline.compressed.compress`), shorter rows with weights as float16
(:func:`~rtrec.models.nearline.tables.pruned`).
"""
