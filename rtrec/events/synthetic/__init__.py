"""A stream of events from a make-believe world whose truth is known.

Users have tastes (groups of items), come in sittings, and go from one item to those that follow it; within a
group popularity falls as a power of the rank; every day some items burst; new users and items turn up all the
time; and at a known row all items change places, which makes what was learned wrong at once.

It is what `make demo` shows when no file is given, and what tests measure against: a model is to lie between
popularity and :meth:`SyntheticStream.best_hit_rate`, the rate of somebody who knows all but the dice.

The world is small on purpose: no prices that move, no friends, no texts, no weekends.
"""

from rtrec.events.synthetic.config import SyntheticConfig
from rtrec.events.synthetic.stream import SyntheticStream, Truth

__all__ = ["SyntheticConfig", "SyntheticStream", "Truth"]
