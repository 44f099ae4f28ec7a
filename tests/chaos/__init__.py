"""Harm on purpose: what a recommender that lives on an event log has to bear."""
