"""Features computed from all history, every so often, by Dask tasks, and published as versions.

What is computed as of a moment comes from the events *before* it, never from one at or behind it. The story,
in the order in which things are made:

- ``frame``: the history as a Dask frame, one task a Parquet file, and what is not compacted yet beside it;
- ``windows``: what users and items did over the last 7, 30 and 90 days, and in all;
- ``graph``: where an item stands among the items that are seen together with it;
- ``cohorts``: groups of users who use the catalogue alike, with numbers that stay theirs;
- ``encoding``: numbers by quantile, categories as codes, crosses of two categories hashed into buckets;
- ``declared``: every feature with its name, source, transform and why it is there;
- ``features`` and ``build``: the versioned value all of this ends in, and how it is made;
- ``inputs``: the plain arrays a kernel reads;
- ``pointintime``: the features that the kernel keeps in real time, computed again in batch, to check one
  against the other and to train on.

Models that use them, and where versions are stored, are the business of the layers above.
"""
