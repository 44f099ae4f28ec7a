"""Other people's recommenders under the protocol of ``rtrec evaluate``, one file each.

None of these libraries knows an event stream the way rtrec does, so each gets what a careful user would write
around it (:mod:`rivals.base`): it is fitted again every so often, or learns each event if it can; the items a
user had are kept up to date with every event and left out; what it leaves empty is filled up with what is
most popular. What can be prepared between two events to answer faster is prepared.

:mod:`rivals.catalogue` says which there are and with which settings each one is tried, :mod:`rivals.measure`
tests one setting in a process of its own, :mod:`rivals.table` puts them side by side and compares.
"""
