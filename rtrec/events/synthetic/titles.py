"""Titles for items that never existed, so that a demo reads like a shop and not like a table of numbers."""

from __future__ import annotations

_ADJECTIVES = (
    "Silent", "Golden", "Hidden", "Crooked", "Northern", "Little", "Burning", "Distant", "Velvet", "Broken",
    "Early", "Hollow", "Wandering", "Pale", "Second", "Restless", "Gentle", "Iron", "Lonely", "Bright",
    "Forgotten", "Winter", "Paper", "Salt", "Borrowed", "Quiet", "Scarlet", "Endless", "Honest", "Sleeping",
    "Glass", "Summer", "Wild", "Last", "Narrow", "Amber", "Secret", "Copper", "Drifting", "Midnight",
)  # fmt: skip
#: One theme a taste group; with more groups than themes, groups share one.
_THEMES = (
    ("Harbour", "Tide", "Lighthouse", "Island", "Ferry", "Anchor", "Lagoon", "Pearl", "Sailor", "Reef"),
    ("Summit", "Valley", "Glacier", "Ridge", "Chalet", "Avalanche", "Eagle", "Trail", "Cliff", "Pass"),
    ("Avenue", "Rooftop", "Tram", "Alley", "Station", "Tower", "Market", "Bridge", "Cellar", "Square"),
    ("Comet", "Orbit", "Nebula", "Rocket", "Eclipse", "Satellite", "Moon", "Signal", "Galaxy", "Airlock"),
    ("Orchard", "Rose", "Hedge", "Meadow", "Fountain", "Beehive", "Ivy", "Greenhouse", "Sparrow", "Fern"),
    ("Waltz", "Trumpet", "Chorus", "Ballad", "Drummer", "Overture", "Fiddle", "Record", "Encore", "Piano"),
    ("Oven", "Cinnamon", "Teapot", "Supper", "Bakery", "Pepper", "Honey", "Spoon", "Orange", "Kettle"),
    ("Detective", "Alibi", "Ransom", "Witness", "Locket", "Cipher", "Thief", "Verdict", "Shadow", "Clue"),
)


def make_title(group: int, number: int) -> str:
    """Return the title of the item that is ``number``-th in its taste ``group``; no two are alike.

    >>> make_title(0, 0), make_title(0, 1), make_title(0, 400)
    ('Silent Harbour', 'Golden Tide', 'Silent Harbour 2')
    """
    round_, theme = divmod(group, len(_THEMES))
    nouns = _THEMES[theme]
    volume, place = divmod(number, len(_ADJECTIVES) * len(nouns))
    lap, adjective = divmod(place, len(_ADJECTIVES))
    # Both words change from one item to the next; each lap shifts the nouns, so every pair comes once.
    noun = (adjective + lap) % len(nouns)
    title = f"{_ADJECTIVES[adjective]} {nouns[noun]}"
    if volume:
        title += f" {volume + 1}"
    return f"{title} ({chr(ord('A') + round_)})" if round_ else title
