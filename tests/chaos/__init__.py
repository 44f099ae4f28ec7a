"""Harm on purpose: what a recommender that lives on an event log has to bear.

``make chaos`` runs whole campaigns. CI runs a small set of each: the tests marked ``faults``, here and
elsewhere, and a soak of three minutes. Together they are to take ten minutes at most; on two
cores that had other work besides, the tests took five.
"""
