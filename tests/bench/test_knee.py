"""The search for the knee, on programs made up for the purpose."""

import pytest

from sipagent.bench.knee import Tried, find_knee, is_open, next_calls

STEPS = (50, 100, 200, 300)


def search(capacity: int, *, refines: bool = True, noisy: tuple[int, ...] = ()) -> list[Tried]:
    """Search where up to ``capacity`` calls are clean, but for the first time that the noisy ones are tried."""
    tried: list[Tried] = []
    while (calls := next_calls(tried, steps=STEPS, refines=refines)) is not None:
        is_first = calls not in [step.calls for step in tried]
        tried.append(Tried(calls, calls <= capacity and not (is_first and calls in noisy)))
        assert len(tried) < 30
    return tried


def numbers(tried: list[Tried]) -> list[int]:
    return [step.calls for step in tried]


def test_it_climbs_to_the_top_of_what_is_enough() -> None:
    tried = search(1000)
    assert numbers(tried) == [50, 100, 200, 300]
    assert find_knee(tried) == 300
    assert is_open(tried)


def test_it_looks_between_the_last_clean_step_and_the_first_that_is_not() -> None:
    tried = search(260)
    assert numbers(tried) == [50, 100, 200, 300, 300, 250, 270, 270, 260]
    assert find_knee(tried) == 260
    assert not is_open(tried)


@pytest.mark.parametrize("capacity", range(50, 300, 10))
def test_it_finds_the_knee_to_a_twentieth(capacity: int) -> None:
    assert capacity - 15 <= find_knee(search(capacity)) <= capacity


def test_a_step_may_fail_once() -> None:
    tried = search(1000, noisy=(100,))
    assert numbers(tried) == [50, 100, 100, 200, 300]
    assert find_knee(tried) == 300


def test_it_does_not_look_in_between_when_it_is_not_to() -> None:
    tried = search(260, refines=False)
    assert numbers(tried) == [50, 100, 200, 300, 300]
    assert find_knee(tried) == 200


def test_there_may_be_no_knee() -> None:
    tried = search(10)
    assert numbers(tried) == [50, 50]
    assert find_knee(tried) == 0
    assert find_knee([]) == 0


def test_what_is_clean_above_too_much_is_no_knee() -> None:
    tried = [Tried(50, True), Tried(100, False), Tried(100, False), Tried(200, True)]
    assert find_knee(tried) == 50
