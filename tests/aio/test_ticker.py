import asyncio
from collections.abc import Callable
from itertools import pairwise
from time import monotonic

import pytest
from loopback import Clean, within

from sipagent.aio import pulse as pulse_module
from sipagent.aio import ticker as ticker_module
from sipagent.aio.pulse import LoopPulse
from sipagent.aio.ticker import BEAT_S, MAX_CATCH_UP, SLOTS, Ticker

SLOT_S = BEAT_S / SLOTS


class Clock:
    """A loop's timers under a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.most_timers = 0
        self.troubles: list[dict[str, object]] = []

    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.troubles.append(context)

    def call_at(self, when: float, callback: Callable[[], None]) -> "Handle":
        timer = (when, callback)
        self.timers.append(timer)
        self.most_timers = max(self.most_timers, len(self.timers))
        return Handle(self, timer)

    def advance(self, seconds: float, *, late: float = 0.0) -> None:
        """Let time pass; every timer fires ``late`` seconds after its time."""
        end = self.now + seconds
        while self.timers and min(at for at, _ in self.timers) + late <= end:
            timer = min(self.timers, key=lambda one: one[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0] + late)
            timer[1]()
        self.now = end

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self.now += seconds


class Handle:
    def __init__(self, clock: Clock, timer: tuple[float, Callable[[], None]]) -> None:
        self._clock, self._timer = clock, timer

    def cancel(self) -> None:
        if self._timer in self._clock.timers:
            self._clock.timers.remove(self._timer)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(ticker_module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(ticker_module, "make_pulse", LoopPulse)
    monkeypatch.setattr(pulse_module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


def test_a_beat_every_20_ms_that_does_not_drift_however_late_the_timer(clock: Clock) -> None:
    ticker = Ticker()
    beats: list[float] = []
    ticker.add(beats.append)
    clock.advance(60.0, late=0.003)
    assert len(beats) == 3000
    assert beats == pytest.approx([1000.0 + n * BEAT_S for n in range(3000)])
    assert ticker.skipped_beats == 0


def test_calls_are_spread_over_the_slots(clock: Clock) -> None:
    ticker = Ticker()
    when: dict[str, list[float]] = {name: [] for name in "abcdefgh"}
    for times in when.values():
        ticker.add(times.append)
    clock.advance(0.1)
    phases = sorted(round((times[-1] - 1000.0) % BEAT_S / SLOT_S) % SLOTS for times in when.values())
    assert phases == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(len(times) >= 4 for times in when.values())


@pytest.mark.parametrize("every_ms", [10, 20, 30, 40, 50, 60])
def test_each_has_a_beat_of_its_own(clock: Clock, every_ms: int) -> None:
    ticker = Ticker()
    beats: list[float] = []
    usual: list[float] = []
    ticker.add(usual.append)
    ticker.add(beats.append, every_ms=every_ms)
    clock.advance(6.0)
    assert len(usual) in (300, 301)
    assert len(beats) in (6000 // every_ms, 6000 // every_ms + 1)
    assert {round(later - earlier, 6) for earlier, later in pairwise(beats)} == {every_ms / 1000}
    ticker.remove(beats.append)
    clock.advance(0.1)
    assert len(beats) <= 6000 // every_ms + 1


def test_who_comes_takes_the_place_of_who_went(clock: Clock) -> None:
    ticker = Ticker()
    names: list[str] = []
    beats = {name: (lambda at, name=name: names.append(name)) for name in "abcde"}
    for name in "abcd":
        ticker.add(beats[name])
    ticker.remove(beats["c"])
    ticker.add(beats["e"])
    clock.advance(BEAT_S - 0.001)
    assert names == ["a", "b", "e", "d"]


def test_a_late_beat_is_made_up_for_at_twice_the_pace(clock: Clock) -> None:
    ticker = Ticker()
    beats: list[float] = []
    at: list[float] = []

    def beat(due_at: float) -> None:
        beats.append(due_at)
        at.append(clock.now)

    ticker.add(beat)
    clock.advance(0.0)
    clock.stall(MAX_CATCH_UP * BEAT_S)
    clock.advance(0.058)
    assert [round(later - earlier, 4) for earlier, later in pairwise(at)] == [0.06, 0.01, 0.01, 0.01, 0.01]
    beats = beats[: MAX_CATCH_UP + 1]
    assert beats == pytest.approx([1000.0 + n * BEAT_S for n in range(MAX_CATCH_UP + 1)])
    assert ticker.skipped_beats == 0


def test_no_more_than_three_are_made_up_for_and_the_rest_is_counted(clock: Clock) -> None:
    ticker = Ticker()
    beats: list[float] = []
    ticker.add(beats.append)
    clock.advance(0.0)
    clock.stall(1.0)
    clock.advance(0.2)
    assert ticker.skipped_beats in (50 - MAX_CATCH_UP - 1, 50 - MAX_CATCH_UP)
    assert len(beats) - 1 + ticker.skipped_beats == 60
    assert round((beats[-1] - 1000.0) / BEAT_S, 6) == 60, "the beat goes on where it would have been"


def test_who_is_removed_within_a_beat_is_not_called_any_more(clock: Clock) -> None:
    ticker = Ticker(slots=1)
    names: list[str] = []

    def first(_at: float) -> None:
        names.append("first")
        ticker.remove(second)

    def second(_at: float) -> None:
        names.append("second")

    ticker.add(first)
    ticker.add(second)
    clock.advance(BEAT_S)
    assert names == ["first", "first"]


def test_nobody_there_no_timer(clock: Clock) -> None:
    ticker = Ticker()
    beats: list[float] = []
    ticker.add(beats.append)
    clock.advance(0.1)
    ticker.remove(beats.append)
    ticker.remove(beats.append)
    heard = len(beats)
    clock.advance(1.0)
    assert clock.timers == []
    assert len(beats) == heard
    ticker.add(beats.append)
    clock.advance(BEAT_S)
    assert len(beats) in (heard + 1, heard + 2), "and it begins anew"
    assert ticker.skipped_beats == 0, "a rest is no stall"


def test_the_last_one_may_be_replaced_within_its_beat(clock: Clock) -> None:
    ticker = Ticker(slots=1)
    beats: list[float] = []

    def only(_at: float) -> None:
        ticker.remove(only)
        ticker.add(beats.append)

    ticker.add(only)
    clock.advance(0.2)
    assert clock.most_timers == 1
    assert len(beats) >= 9
    assert {round(later - earlier, 6) for earlier, later in pairwise(beats)} == {BEAT_S}


def test_a_beat_that_raises_is_called_no_more_and_the_others_go_on(clock: Clock) -> None:
    ticker = Ticker(slots=1)
    beats: list[float] = []

    def broken(_at: float) -> None:
        raise ValueError("a bug")

    ticker.add(broken)
    ticker.add(beats.append)
    clock.advance(0.1 + BEAT_S / 2)
    assert len(beats) == 6
    assert [str(context["exception"]) for context in clock.troubles] == ["a bug"]


def test_on_a_real_loop(run: Clean) -> None:
    async def main() -> None:
        ticker = Ticker()
        done = asyncio.Event()
        due: list[float] = []
        lateness: list[float] = []

        def beat(due_at: float) -> None:
            due.append(due_at)
            lateness.append(monotonic() - due_at)
            if len(due) == 25:
                ticker.remove(beat)
                done.set()

        ticker.add(beat)
        await within(done.wait())
        assert due == pytest.approx([due[0] + n * BEAT_S for n in range(25)]) or ticker.skipped_beats
        assert min(lateness) > -0.001, "never early by more than the loop's own rounding"

    run(main())


def test_late_turns_are_counted(clock: Clock) -> None:
    async def main() -> None:
        ticker = Ticker()
        ticker.add(lambda due_at: None)
        clock.advance(1.0, late=0.009)
        turns = ticker.turns
        assert turns > 50
        assert ticker.late_turns == 0
        clock.advance(1.0, late=0.011)
        assert ticker.late_turns > 0.4 * (ticker.turns - turns)

    asyncio.run(main())
