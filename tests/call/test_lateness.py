from random import Random

import pytest

from sipagent.call.lateness import FEWEST, MOST, WINDOW_S, Lateness


def test_nothing_is_known_at_first() -> None:
    lateness = Lateness()
    assert (lateness.base, lateness.spread) == (0.0, 0.0)
    lateness.observe(5.0, now=10.0)
    assert (lateness.base, lateness.spread) == (5.0, 0.0)


def test_nearly_all_are_in_time() -> None:
    lateness, random = Lateness(), Random(1)
    transits = [random.uniform(1.0, 1.1) for _ in range(299)] + [3.0]
    random.shuffle(transits)
    for number, transit in enumerate(transits):
        lateness.observe(transit, now=number * 0.02)
    assert lateness.base == min(transits)
    assert lateness.spread == sorted(transits)[-2] - min(transits), "one of 300 may be late"


def test_of_few_all_are_in_time() -> None:
    lateness = Lateness()
    for number, transit in enumerate((1.0, 1.3, 1.1)):
        lateness.observe(transit, now=number * 0.02)
    assert lateness.spread == pytest.approx(0.3)


def test_it_forgets() -> None:
    lateness = Lateness()
    for number in range(1_000):
        lateness.observe(0.1 + 0.2 * (number < 100), now=number * 0.02)
        if number * 0.02 < WINDOW_S:
            assert lateness.spread >= (0.199 if number > 100 else 0.0)
    assert lateness.spread == 0.0


def test_after_a_long_silence_something_is_known() -> None:
    lateness = Lateness()
    for number in range(100):
        lateness.observe(0.1 * (number % 2), now=number * 0.02)
    lateness.observe(0.05, now=1_000.0)
    assert len(lateness._sorted) == FEWEST
    assert lateness.spread == pytest.approx(0.1)


def test_it_is_bounded() -> None:
    lateness = Lateness()
    for number in range(5_000):
        lateness.observe(number % 7, now=0.0)
    assert len(lateness._sorted) == len(lateness._arrived) == MOST


def test_another_beginning_keeps_the_spread() -> None:
    lateness, random = Lateness(), Random(2)
    for number in range(200):
        lateness.observe(random.uniform(1.0, 1.1), now=number * 0.02)
    spread = lateness.spread
    lateness.rebase(-777.0)
    assert lateness.base == pytest.approx(-777.0)
    assert lateness.spread == pytest.approx(spread)
    for number in range(200, 1_000):
        lateness.observe(-777.0, now=number * 0.02)
    assert lateness.spread == 0.0
    Lateness().rebase(3.0)
