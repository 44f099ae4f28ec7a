"""What may be tried, and how a wrong space says what is wrong."""

from __future__ import annotations

import pytest

from rtrec.errors import InputError
from rtrec.jobs.tuning.space import DEFAULT_SPACE, holds, read_space, values_of
from rtrec.settings import Settings, declarations


def test_a_setting_without_a_range_is_tried_within_its_declared_bounds():
    [ring] = read_space("ring_length")
    declared = next(each for each in declarations() if each.name == "ring_length")
    assert (ring.type, ring.low, ring.high, ring.log) == (int, declared.low, declared.high, False)


def test_half_lives_and_steps_are_tried_by_orders_of_magnitude():
    by_name = {each.name: each for each in read_space(DEFAULT_SPACE)}
    assert [name for name, each in by_name.items() if each.log] == [
        "half_life_now_h",
        "half_life_short_h",
        "half_life_long_h",
        "learning_rate",
    ]
    assert by_name["learning_rate"].low == 0.001  # declared from 0, which no logarithm reaches


def test_texts_lists_and_mappings_say_the_same():
    wanted = read_space("ring_length=5:20, use_trails")
    assert read_space(["ring_length=5:20", "use_trails"]) == wanted
    assert read_space({"ring_length": (5, 20), "use_trails": None}) == wanted


def test_every_setting_but_those_that_say_what_is_asked_can_be_tried():
    no_range = ("repeat", "list_length", "without")
    names = [each.name for each in declarations() if each.name not in no_range]
    assert [each.name for each in read_space(names)] == names
    for each in read_space(names):
        each.distribution()  # optuna takes it


def test_settings_outside_a_range_are_not_held():
    space = read_space("ring_length=5:20,use_trails")
    assert holds(space, Settings())
    assert not holds(space, Settings(ring_length=21))
    assert values_of(space, Settings()) == {"ring_length": 10, "use_trails": True}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("ring_lenght", "unknown setting 'ring_lenght'; did you mean 'ring_length'?"),
        ("ring_length=5:40", "'ring_length' from 5 to 40: expected one within 1 to 32"),
        ("ring_length=20:5", "'ring_length' from 20 to 5"),
        ("ring_length=5:5", "'ring_length' from 5 to 5"),
        ("ring_length=2.5:5", "'ring_length' counts, so its range has whole ends; got 2.5 to 5"),
        ("ring_decay=nan:0.9", "'ring_decay' from nan to 0.9"),
        ("ring_length=5", "expected name=low:high"),
        ("ring_length=a:b", "expected name=low:high"),
        ("use_trails=0:1", "'use_trails' is off or on, so it has no range"),
        ("list_length", "'list_length' changes what is asked of a list"),
        ("repeat", "'repeat' changes what is asked of a list"),
        ("ring_length,ring_length=2:3", "'ring_length' is there a second time"),
        (" , ", "name at least one setting"),
    ],
)
def test_a_space_that_cannot_be_says_why(space, message):
    with pytest.raises(InputError) as raised:
        read_space(space)
    assert message in str(raised.value)
