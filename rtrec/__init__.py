"""A workbench for real-time recommendation: event log in, live and honestly measured recommender out."""

__version__ = "0.1.0"
