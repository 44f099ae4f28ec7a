"""Events: from rows in somebody's file to records in our log.

What is not in the log did not happen, so everything starts here. A *source* hands out raw rows with their
place in the file; a *cleaner* makes events of them, counts what it leaves out, and turns what cannot be an
event into a dead letter with a reason; the *log* stores events, dead letters and the place in the source in
one transaction. From there on events are rows of one table with one schema, and replaying them gives the same
state again.

In the order an event meets them:

- :mod:`~rtrec.events.datasets`, :mod:`~rtrec.events.synthetic`: where events come from
- :mod:`~rtrec.events.sources`: replay of a file (:mod:`~rtrec.events.readers` know the formats,
  :mod:`~rtrec.events.pacing` the speed)
- :mod:`~rtrec.events.mapping`, :mod:`~rtrec.events.parsing`: which column means what, and what a cell says
- :mod:`~rtrec.events.cleaning`, :mod:`~rtrec.events.rules`: events, left-out rows, dead letters
- :mod:`~rtrec.events.arrival`, with :mod:`~rtrec.events.recent` and :mod:`~rtrec.events.watermark`: what came
  before, and what comes too late
- :mod:`~rtrec.events.letters`, :mod:`~rtrec.events.redriving`: what is kept of a refused row, and how it is
  tried again; :mod:`~rtrec.events.flood` says when there are too many
- :mod:`~rtrec.events.schema`: the event table, and which shard owns a user
- :mod:`~rtrec.events.log`, :mod:`~rtrec.events.embedded_log`: the durable log
- :mod:`~rtrec.events.vocabulary`: ids of the outside world as row numbers of arrays

Nothing here knows of models, Dask or dashboards. Modules are imported one by one where they are used, so
that asking for a schema does not load a database.
"""
