"""Texts from outside are never markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrec.dashboard.markup import difference_bar, empty_state, interval_bar, join, message, part_bar, tag


class Tags(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.text = ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)

    def handle_data(self, data):
        self.text += data


@given(st.text())
def test_a_text_becomes_text_whatever_it_holds(text):
    read = Tags(tag("b", text))
    assert read.names == ["b"]


@given(st.text())
def test_an_attribute_cannot_be_left(text):
    assert Tags(tag("b", "x", title=text)).names == ["b"]


@pytest.mark.parametrize(
    "make", [join, lambda text: empty_state(text, text), lambda text: message("bad", text, text)]
)
def test_no_piece_lets_a_script_through(make):
    assert "<script" not in make("<script>alert(1)</script>")


def test_markup_is_not_escaped_twice():
    assert tag("p", tag("b", "&")) == "<p><b>&amp;</b></p>"


def test_what_is_none_is_left_out():
    assert join(None, "a", None) == "a"


def test_an_interval_outside_its_scale_ends_at_the_edge():
    bar = interval_bar(-1.0, 0.5, 3.0, start=0.0, end=1.0, colour="red")
    assert "left:0.0%;width:100.0%" in bar
    assert "left:50.0%" in bar


def test_no_difference_is_drawn_in_the_middle():
    assert "left:50.0%" in difference_bar(-0.1, 0.0, 0.1, reach=0.2, colour="red")


def test_a_negative_part_goes_left():
    assert "right:50%;width:25.0%" in part_bar(-1.0, 2.0)
    assert "left:50%;width:50.0%" in part_bar(2.0, 2.0)
    assert "width:0.0%" in part_bar(0.0, 0.0)
