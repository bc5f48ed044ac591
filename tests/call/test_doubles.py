"""Keys that are told twice count once, and keys pressed twice count twice."""

import pytest

from sipagent.call.doubles import DOUBLE_S, KEPT_MAX, Doubles


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ("r5", "5"),
        ("r5 i5", "5"),
        ("i5 r5", "5"),
        ("r5 r5", "55"),
        ("r5 i5 r5 i5", "55"),
        ("r5 r5 i5 i5", "55"),
        ("r1 r2 i1 i2", "12"),
        ("i1 r1 i1", "11"),
        ("r1 i2", "12"),
        ("a5 r5 i5", "5"),
        ("a5 r5 i5 a5 i5 r5", "55"),
        ("a5 a5 r5 r5 i5 i5", "55"),
    ],
)
def test_each_key_once(told: str, heard: str) -> None:
    doubles = Doubles()
    found = [each[1] for each in told.split() if not doubles.is_double(each[1], each[0], now=1.0)]
    assert "".join(found) == heard


def test_after_a_while_it_is_another_key() -> None:
    doubles = Doubles()
    assert not doubles.is_double("5", "rtp", now=1.0)
    assert doubles.is_double("5", "info", now=1.0 + DOUBLE_S)
    assert not doubles.is_double("5", "rtp", now=2.0)
    assert not doubles.is_double("5", "info", now=2.001 + DOUBLE_S)


def test_a_key_heard_when_it_went_down_and_told_when_it_came_up_is_one() -> None:
    doubles = Doubles()
    assert not doubles.is_double("5", "audio", now=1.0)
    assert doubles.is_double("5", "rtp", now=4.0, held_s=3.0)
    assert not doubles.is_double("5", "audio", now=5.0)
    assert not doubles.is_double("5", "rtp", now=8.0, held_s=0.1)


def test_a_jammed_key_costs_no_memory() -> None:
    doubles = Doubles()
    for _ in range(10 * KEPT_MAX):
        doubles.is_double("5", "rtp", now=1.0)
    assert len(doubles._told) == KEPT_MAX
