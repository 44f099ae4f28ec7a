"""The live engine: a feed, a log, shards that test and then learn, and what is known of them.

``live`` is the object people hold; ``driver`` owns everything that has an order (numbers, cuts, metrics);
``shard`` is the state of some users, an actor on a Dask worker; ``exchange`` is what shards agree on after
each batch; ``flow`` is the streamz graph in front; ``cluster`` starts workers, and ``tls`` guards the way
to those of other machines; ``whatif`` replays the last events under other settings. Offsets, state and
recovery are ours; streamz and Dask carry messages.
"""
