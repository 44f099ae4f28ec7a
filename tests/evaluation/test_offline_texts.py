"""The offline protocol where it is known what items are called."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from rtrec.evaluation.offline import evaluate_offline
from rtrec.evaluation.splits import Split, time_split
from rtrec.events.vocabulary import Vocabulary
from rtrec.features.catalogue import Catalogue
from rtrec.models.nearline.content import ContentModel
from tests.evaluation.small_log import log, value


def pairs_by_name(n_names: int, n_tested: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Whoever takes a red thing takes the blue one of that name next; nobody else ever had the two.

    One user has seen all blue things and one all red, so that no item is new. The last ``n_tested`` users
    take their red thing in the train part; their blue ones are the last events.
    """
    names = [f"name{number}" for number in range(n_names)]
    early, late = names[:-n_tested], names[-n_tested:]
    frame = log(
        *((f"all{colour}", f"{colour}-{name}") for colour in ("blue", "red") for name in names),
        *((f"u-{name}", f"{colour}-{name}") for name in early for colour in ("red", "blue")),
        *((f"u-{name}", f"red-{name}") for name in late),
        *((f"u-{name}", f"blue-{name}") for name in late),
    )
    return frame, {f"{colour}-{name}": name for colour in ("red", "blue") for name in names}


def test_with_texts_the_default_knows_what_items_are_called():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    by_time = partial(time_split, test_share=20 / len(frame))

    without, told = (
        evaluate_offline(frame, "default", split=by_time, k=1, texts=more) for more in (None, texts)
    )

    # Each tested user is to find one blue item, which no event leads to from the red one.
    assert value(without, "recall@1", "default") < 0.2
    assert value(told, "recall@1", "default") > 0.8
    assert told.data["items"] == without.data["items"] == 120


def test_texts_are_known_before_the_first_event_and_give_away_no_item():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    # What is to be found is left out of the train part: only its name leads to it.
    to_find = frame["item_id"].isin(frame["item_id"][-20:])
    split = Split(np.flatnonzero(~to_find), np.arange(len(frame) - 20, len(frame)))
    texts |= {"green-name0": "name0"}  # an item that no event ever has

    known, cold = (
        evaluate_offline(frame, "default", split=split, k=1, texts=texts, cold_items=cold_items)
        for cold_items in (False, True)
    )

    assert value(known, "recall@1", "default") == 0.0
    assert value(cold, "recall@1", "default") > 0.8


def test_a_content_model_shares_the_numbers_of_texts():
    frame, texts = pairs_by_name(n_names=60, n_tested=20)
    catalogue = Catalogue.of(
        pd.DataFrame({"item": list(texts), "title": list(texts.values())}), item="item", text=["title"]
    )
    content = {"content": lambda: ContentModel(catalogue, Vocabulary(list(texts)))}

    evaluation = evaluate_offline(
        frame, content, split=partial(time_split, test_share=20 / len(frame)), k=1, texts=texts
    )

    # Two items have a word in common, and no other has it: the only neighbour is the one to be found.
    assert value(evaluation, "recall@1", "content") == 1.0
