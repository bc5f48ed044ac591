import gc

import pytest
from loopback import Clean

from sipagent.aio.collector import LATEST_S, MIDDLE, NEVER, YOUNG, Collector


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
    before = full_collections()
    assert calls.collector.look(now=1.0)
    assert full_collections() == before + 1


def test_nothing_new_to_look_at(calls: Calls) -> None:
    assert calls.collector.look(now=1.0)
    assert not calls.collector.look(now=2.0)


def test_not_in_a_call(calls: Calls) -> None:
    calls.up = calls.begun = 1
    assert not calls.collector.look(now=1.0)
    assert not calls.collector.look(now=2.0)


def test_not_between_calls_that_follow_each_other(calls: Calls) -> None:
    calls.begun = 1
    assert not calls.collector.look(now=1.0)
    calls.begun = 2
    assert not calls.collector.look(now=2.0)
    assert calls.collector.look(now=3.0)


def test_put_off_but_not_for_ever(calls: Calls) -> None:
    calls.up = calls.begun = 1
    assert not calls.collector.look(now=LATEST_S - 1.0)
    assert calls.collector.look(now=LATEST_S)
    gc.collect(1)
    assert not calls.collector.look(now=2 * LATEST_S - 1.0)
    assert calls.collector.look(now=2 * LATEST_S)
