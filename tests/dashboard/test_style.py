"""Colours of texts: told from what is behind them by people who see less of it."""

from __future__ import annotations

import re

import pytest

from rtrec.dashboard import style

#: WCAG 2.2, level AA, for texts of ordinary size.
ENOUGH = 4.5


def channels(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def mixed(one: list[float], other: list[float], share: float) -> list[float]:
    return [share * a + (1 - share) * b for a, b in zip(one, other, strict=True)]


def luminance(colour: list[float]) -> float:
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_has_the_highest_contrast():
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21.0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["good", "warn", "bad"])
def test_states_and_badges_are_legible_on_their_tint(theme, name):
    palette = style.THEME[theme]["palette"]
    text, paper = channels(palette["text"]["primary"]), channels(palette["background"]["paper"])
    found = re.search(rf"--{name}: color-mix\(in srgb, (#\w+) (\d+)%, var\(--text\)\)", style.SHEET)
    assert found is not None
    colour = mixed(channels(found[1]), text, int(found[2]) / 100)
    tints = re.findall(rf"var\(--{name}\) (\d+)%, transparent", style.SHEET)
    assert tints
    for tint in tints:
        assert contrast(colour, mixed(colour, paper, int(tint) / 100)) >= ENOUGH


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_buttons_are_legible(theme):
    palette = style.THEME[theme]["palette"]
    primary, backgrounds = palette["primary"], palette["background"].values()
    pairs = [(text, behind) for text in palette["text"].values() for behind in backgrounds]
    pairs += [(primary["main"], palette["background"]["paper"]), (primary["contrastText"], primary["main"])]
    for text, behind in pairs:
        assert contrast(channels(text), channels(behind)) >= ENOUGH, (text, behind)
