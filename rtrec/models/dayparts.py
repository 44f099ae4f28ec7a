"""The time of the day and week as one of a few parts: a quarter of a day, on a weekday or at the weekend.

Times are UTC. The users of one service mostly live by similar clocks, and the parts only have to be told
apart, not named.
"""

from __future__ import annotations

from rtrec.models.jit import kernel

QUARTER_S, DAY_S, WEEK_S = 6 * 3600.0, 86400.0, 7 * 86400.0
N_DAYPARTS = 8


@kernel
def daypart_of(timestamp):
    """Return the part: 0 to 3 on a weekday, 4 to 7 on Saturday and Sunday."""
    quarter = int((timestamp % DAY_S) // QUARTER_S)
    day = int(timestamp // DAY_S + 3) % 7  # 1970 began on a Thursday; Monday is 0
    return quarter + 4 if day >= 5 else quarter
