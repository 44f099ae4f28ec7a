"""What is typed behind an option of a run, and what is refused."""

from __future__ import annotations

import math

import pytest

from rtrec.cli.values import parse_overload, parse_speed, parse_warmup
from rtrec.engine.overload import OverloadPlan
from rtrec.errors import InputError


@pytest.mark.parametrize("text", ["0", "-1x", "nan", "inf", "x", ""])
def test_a_speed_is_above_zero(text):
    with pytest.raises(InputError, match="expected max, or times recorded speed"):
        parse_speed(text)


@pytest.mark.parametrize(("text", "expected"), [("max", None), ("MAX", None), ("60x", 60.0), (" 1.5 ", 1.5)])
def test_speeds(text, expected):
    assert parse_speed(text) == expected


@pytest.mark.parametrize("text", ["-0.1", "1.5", "nan", "inf", "half"])
def test_a_warmup_is_a_share_or_a_number(text):
    with pytest.raises(InputError, match="expected a share from 0 to below 1, or a number of events"):
        parse_warmup(text)


@pytest.mark.parametrize(("text", "share"), [("off", 1.0), ("OFF", 1.0), (" 0.05 ", 0.05), ("1", 1.0)])
def test_what_is_tested_on_overload_is_a_share_or_all(text, share):
    assert parse_overload(text, 30.0) == OverloadPlan(share=share, above_s=30.0)


@pytest.mark.parametrize("text", ["0", "-0.1", "1.5", "nan", "on", ""])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(InputError, match=r"--sampling .*: expected off, or a share above 0 such as 0\.1"):
        parse_overload(text, 10.0)


@pytest.mark.parametrize("after_s", [1.0, -3.0, math.nan, math.inf])
def test_a_source_is_too_fast_from_a_second_to_an_hour_on(after_s):
    with pytest.raises(InputError, match=r"--overload-after .*: a source is too fast from so many seconds"):
        parse_overload("0.1", after_s)
