import asyncio
from collections import deque
from functools import partial
from time import monotonic

import pytest
from loopback import Clean, within

from sipagent.aio import driver as driver_module
from sipagent.aio.driver import Driver
from sipagent.aio.pulse import on_grid


class Echo:
    """Puts out what it is told, and whatever is due; raises when it is told to."""

    def __init__(self) -> None:
        self.outputs: deque[str] = deque()
        self.times: list[float] = []
        self.due: list[float] = []
        self.fired: list[float] = []
        self.fails_in_timer = False
        self.asked = 0

    def say(self, *words: str, now: float) -> None:
        self.times.append(now)
        self.outputs.extend(words)

    def fail(self, *, now: float) -> None:
        raise ValueError("a bug")

    def poll(self) -> str | None:
        return self.outputs.popleft() if self.outputs else None

    def get_timer(self) -> float | None:
        self.asked += 1
        return min(self.due, default=None)

    def handle_timer(self, *, now: float) -> None:
        self.fired.append(now)
        if self.fails_in_timer:
            raise ValueError("a bug in a timer")
        self.due = [at for at in self.due if at > now]
        self.outputs.append("timer")


class Bench:
    """A driven machine and what came of it."""

    def __init__(self) -> None:
        self.machine = Echo()
        self.carried: list[str] = []
        self.crashes: list[Exception] = []
        self.happened = asyncio.Event()
        self.closes_on_crash = True
        self.driver: Driver[str] = Driver(self.machine, carry=self.carry, crashed=self.crashed)

    def say(self, *words: str) -> None:
        self.driver.feed(partial(self.machine.say, *words))

    def carry(self, output: str) -> None:
        self.carried.append(output)
        self.happened.set()
        if output == "again":
            self.say("echo")
        if output == "bad":
            raise OSError("nobody carries this")
        if output == "last":
            self.driver.close()

    def crashed(self, error: Exception) -> None:
        self.crashes.append(error)
        self.happened.set()
        if self.closes_on_crash:
            self.driver.close()

    async def next(self) -> None:
        await within(self.happened.wait())
        self.happened.clear()


def test_an_input_is_carried_before_feed_returns_and_bears_the_time(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        before = monotonic()
        bench.say("a", "b")
        assert bench.carried == ["a", "b"]
        assert before <= bench.machine.times[0] <= monotonic()

    run(main())


def test_an_input_from_within_waits_until_the_outputs_are_out(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.say("again", "second", "again", "fourth")
        assert bench.carried == ["again", "second", "again", "fourth", "echo", "echo"]

    run(main())


def test_the_earliest_deadline_fires_once_and_in_time(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        now = monotonic()
        bench.machine.due = [now + 0.05, now + 0.02]
        bench.say()
        await bench.next()
        assert len(bench.machine.fired) == 1
        assert now + 0.02 <= bench.machine.fired[0] < now + 0.05
        await bench.next()
        assert bench.carried == ["timer", "timer"]
        assert bench.machine.fired[1] >= now + 0.05, "the time is never before the deadline"

    run(main())


def test_one_timer_is_armed_however_much_is_fed(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        armed: list[float] = []
        loop = asyncio.get_running_loop()

        class Counting:
            def call_at(self, when: float, callback: object) -> asyncio.TimerHandle:
                armed.append(when)
                return loop.call_at(when, callback)  # type: ignore[arg-type]

        bench.driver._loop = Counting()  # type: ignore[assignment]
        far = on_grid(monotonic() + 1000, driver_module.TOGETHER_S)
        bench.machine.due = [far - 0.001]
        for _ in range(50):
            bench.say("x")
        assert armed == [pytest.approx(far)], "at a moment that others have, too"
        bench.machine.due = [far - 500.001]
        bench.say("x")
        assert armed == pytest.approx([far, far - 500]), "an earlier one takes its place"
        bench.machine.due = [far - 0.001]
        bench.say("x")
        assert armed == pytest.approx([far, far - 500]), "a later one costs nothing: what fires too early looks again"
        bench.driver.close()

    run(main())


def test_a_timer_that_was_moved_away_fires_nothing(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.machine.due = [monotonic() + 0.01]
        bench.say()
        later = bench.machine.due[0] + 0.03
        bench.machine.due = [later]
        await bench.next()
        assert bench.machine.fired == [pytest.approx(later, abs=0.02)]

    run(main())


@pytest.mark.parametrize("word", ["fail", "bad"])
def test_a_bug_is_told_once_and_a_closed_driver_is_fed_in_vain(run: Clean, word: str) -> None:
    async def main() -> None:
        bench = Bench()
        if word == "fail":
            bench.driver.feed(bench.machine.fail)
        else:
            bench.say("bad", "never carried")
        assert len(bench.crashes) == 1
        bench.say("more")
        assert "more" not in bench.carried
        assert "never carried" not in bench.carried

    run(main())


def test_a_machine_that_is_to_go_on_after_a_bug_goes_on(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.closes_on_crash = False
        bench.say("bad", "left over")
        bench.say("more")
        assert bench.carried == ["bad", "left over", "more"]
        bench.driver.close()

    run(main())


def test_what_a_bug_left_waiting_is_carried_by_itself(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "PAUSE_S", 0.01)

    async def main() -> None:
        bench = Bench()
        bench.closes_on_crash = False
        bench.say("bad", "left over")
        bench.happened.clear()
        await bench.next()
        assert bench.carried == ["bad", "left over"]

    run(main())


def test_a_bug_in_a_timer_does_not_spin(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "PAUSE_S", 0.05)

    async def main() -> None:
        bench = Bench()
        bench.closes_on_crash = False
        bench.machine.fails_in_timer = True
        bench.machine.due = [monotonic()]
        began_at = monotonic()
        bench.say()
        for _ in range(4):
            await bench.next()
        took_s = monotonic() - began_at
        assert len(bench.crashes) == 4
        assert took_s > 3 * 0.05 * 0.9
        bench.driver.close()

    run(main())


def test_a_bug_in_get_timer_is_told_as_well(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.machine.due = [monotonic() + 0.01]
        bench.say()

        def broken() -> float:
            raise ValueError("a bug")

        bench.machine.get_timer = broken  # type: ignore[method-assign]
        await bench.next()
        assert [str(crash) for crash in bench.crashes] == ["a bug"]

    run(main())


def test_close_disarms_and_forgets_what_waits(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.machine.due = [monotonic() + 0.01]
        bench.say("again", "last")
        assert bench.carried == ["again", "last"], "the echo was still waiting"
        asked = bench.machine.asked
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.03, over.set)
        await within(over.wait())
        assert bench.machine.fired == []
        assert bench.machine.asked == asked
        bench.driver.close()

    run(main())
