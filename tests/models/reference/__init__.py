"""The default recommender again, slowly and obviously: dictionaries, loops, formulas as they are written.

It shares nothing with the kernel but the declared features and the constants of the tables.
"""

from tests.models.reference.recommender import Reference

__all__ = ["Reference"]
