import gc

import pytest
from loopback import Clean

from sipagent.aio.collector import CALLS, LATEST_S, LONGEST_S, MIDDLE, NEVER, QUIET_S, SOONEST_S, YOUNG, Collector


class Calls:
    """Stands for the service."""

    def __init__(self) -> None:
        self.up = 0
        self.begun = 0
        self.collector = Collector(calls=lambda: self.up, begun=lambda: self.begun)


@pytest.fixture
def calls() -> Calls:
    """With something for a full collection to look at."""
    gc.collect()
    gc.collect(1)
    return Calls()


def full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])


def is_full(calls: Calls, *, now: float) -> bool:
    """Have it look; return whether the collection was a full one."""
    before = full_collections()
    calls.collector.look(now=now)
    return full_collections() > before


def is_young(thing: object) -> bool:
    return any(one is thing for age in (0, 1) for one in gc.get_objects(generation=age))


def test_it_is_set_and_given_back(run: Clean, calls: Calls) -> None:
    async def main() -> None:
        usual = gc.get_threshold()
        calls.collector.start()
        assert gc.get_threshold() == (YOUNG, MIDDLE, NEVER)
        assert gc.get_freeze_count() > 0
        calls.collector.stop()
        assert gc.get_threshold() == usual
        assert gc.get_freeze_count() == 0

    run(main())


def test_nobody_calls(calls: Calls) -> None:
    assert is_full(calls, now=QUIET_S)


def test_nothing_new_to_look_at(calls: Calls) -> None:
    assert is_full(calls, now=QUIET_S)
    assert not is_full(calls, now=3 * QUIET_S)


def test_not_in_a_call(calls: Calls) -> None:
    calls.up = calls.begun = 1
    assert not is_full(calls, now=QUIET_S)
    assert not is_full(calls, now=3 * QUIET_S)


def test_not_between_calls_that_follow_each_other(calls: Calls) -> None:
    calls.begun = 1
    assert not is_full(calls, now=QUIET_S)
    calls.begun = 2
    assert not is_full(calls, now=2 * QUIET_S)
    assert not is_full(calls, now=2.9 * QUIET_S)
    assert is_full(calls, now=3 * QUIET_S)


def test_put_off_but_not_for_ever(calls: Calls) -> None:
    calls.up = calls.begun = 1
    assert not is_full(calls, now=LATEST_S - 1.0)
    assert is_full(calls, now=LATEST_S)
    gc.collect(1)
    assert not is_full(calls, now=2 * LATEST_S - 1.0)
    assert is_full(calls, now=2 * LATEST_S)


def test_what_calls_made_is_looked_at_every_few_calls(calls: Calls) -> None:
    """However many objects were freed meanwhile: Python subtracts them, and would put it off."""
    gc.disable()
    try:
        calls.up = 100
        calls.collector.look(now=1.0)
        calls.begun = 2 * CALLS
        made: list[object] = [calls]
        assert is_young(made)
        assert calls.collector.look(now=2.0) == 0.5
        assert not is_young(made)
    finally:
        gc.enable()


def test_looks_come_as_calls_do(calls: Calls) -> None:
    assert calls.collector.look(now=1.0) == LONGEST_S
    calls.begun += 1
    assert calls.collector.look(now=2.0) == LONGEST_S
    calls.begun += 1000
    assert calls.collector.look(now=3.0) == SOONEST_S
    assert calls.collector.look(now=3.02) == LONGEST_S
