"""The table that words alone give: what any deployment or test begins with that knows titles of items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import Catalogue
from rtrec.models.nearline.content import ContentModel
from rtrec.models.nearline.interactions import Interactions
from rtrec.models.nearline.tables import NeighbourTable

#: Longer rows brought no more hits on films or shop orders and cost a tenth of the speed; rows half as long
#: lost half a percent of the hits on films.
NEIGHBOURS = 50
_NO_EVENTS = Interactions(
    user_num=np.zeros(0, np.int32),
    item_num=np.zeros(0, np.int32),
    timestamp=np.zeros(0),
    weight=np.zeros(0),
    value=np.zeros(0, np.float32),
    n_users=0,
    n_items=0,
)


def table_of_texts(texts: Mapping[str, str], items: Vocabulary) -> NeighbourTable:
    """Give every item with a text a number, and return the rows of those that are spoken of alike.

    The numbers come first, in the order of ``texts``, so that the table holds for the life of the log: a run
    and a test of the same log with the same texts number its items alike.

    Parameters
    ----------
    texts
        Titles and other words, by item id; not empty.
    items
        The vocabulary of the run or test, before its first event.
    """
    items.numbers(list(texts))
    frame = pd.DataFrame({"item": list(texts), "text": list(texts.values())})
    catalogue = Catalogue.of(frame, item="item", text=["text"])
    model = ContentModel(catalogue, items, neighbours=NEIGHBOURS)
    model.fit(_NO_EVENTS)
    table = model.table()
    assert isinstance(table, NeighbourTable)
    return table
