"""A log in which one setting matters: what is wanted changes every hour, and nobody comes twice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rtrec.settings import Settings, declarations

N_HOURS, PER_HOUR, N_WANTED = 40, 40, 5
#: Only what is popular can help a stranger, and with such half-lives what was popular stays so.
SLOW = Settings(
    **{each.name: 5000.0 for each in declarations() if each.name.startswith("half_life_")},
    trending_candidates=10,
)


def hourly_log(n_hours: int = N_HOURS) -> pd.DataFrame:
    """Return 40 events an hour on 5 items that nobody wanted before and nobody will want again."""
    rng = np.random.default_rng(3)
    n_events = n_hours * PER_HOUR
    hour = np.arange(n_events) // PER_HOUR
    return pd.DataFrame(
        {
            "user_id": [f"u{place}" for place in range(n_events)],
            "item_id": [
                f"h{each}-{choice}"
                for each, choice in zip(hour, rng.integers(N_WANTED, size=n_events), strict=True)
            ],
            "timestamp": 1_700_000_000 + np.arange(n_events) * 3600 // PER_HOUR,
        }
    )
