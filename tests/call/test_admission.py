import pickle
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from sipagent.call.admission import (
    CLOSE_CPU,
    FIRST_CALLS,
    OPEN_CPU,
    SETTLING_S,
    Admission,
    Load,
    Pressure,
    Verdict,
)

LOOK_S = 0.2
RINGS_S = 0.5
SETUP_S = 0.01
"""Of a core, to set a call up."""
BEATS_PER_S = 200
STALLED = 1.0
"""A core of which more is wanted keeps no beat."""


class Process:
    """A process whose calls each take so much of a core, under a clock that is moved by hand."""

    def __init__(self, cost: float, *, base: float = 0.01, most: int = 5_000) -> None:
        self.admission = Admission(most, by_health=True)
        self.now = 100.0
        self.cost, self.base = cost, base
        self.late = 0.0
        """The share of beats that others delay."""
        self.answered: list[float] = []
        """When each call that is up was, or will be, answered."""
        self.work_s = 0.0
        """Of set-ups, yet to be done."""
        self.load = Load(0.0, 0, 0)
        self.verdicts: list[Verdict] = []
        self.most_wanted = 0.0
        self.admission.receive_load(self.load, 0, now=self.now)

    @property
    def calls(self) -> int:
        return len(self.answered)

    @property
    def wanted(self) -> float:
        """Of a core."""
        return self.base + self.cost * sum(at <= self.now for at in self.answered)

    def invite(self, count: int = 1) -> int:
        """Have so many call in this moment; return how many are taken."""
        taken = 0
        for _ in range(count):
            verdict = self.admission.judge(self.calls, now=self.now)
            self.verdicts.append(verdict)
            if verdict.refusal is None:
                self.answered.append(self.now + RINGS_S)
                self.work_s += SETUP_S
                taken += 1
        return taken

    def hang_up(self, count: int) -> None:
        """End the oldest calls."""
        del self.answered[:count]

    def run(self, seconds: float, *, each_look: Callable[[], object] = int) -> None:
        """Let time pass."""
        for _ in range(round(seconds / LOOK_S)):
            each_look()
            self.now += LOOK_S
            wanted = self.wanted
            self.most_wanted = max(self.most_wanted, wanted)
            beats = round(BEATS_PER_S * LOOK_S)
            late = STALLED if wanted > 1 else self.late
            cpu = min(LOOK_S, wanted * LOOK_S + self.work_s)
            self.work_s = max(0.0, self.work_s - max(0.0, 1 - wanted) * LOOK_S)
            self.load = Load(self.load.cpu_s + cpu, self.load.beats + beats, self.load.late_beats + round(late * beats))
            self.admission.receive_load(self.load, self.calls, now=self.now)

    @property
    def refusal(self) -> Pressure | None:
        """Whether another call would be taken now."""
        return self.admission.judge(self.calls, now=self.now).refusal


def changes(verdicts: list[Verdict]) -> Iterator[bool]:
    """Yield each change between taking calls and not."""
    return (one.is_pressed for one, other in pairwise(verdicts) if one.is_pressed != other.is_pressed)


def filled(cost: float = 0.002) -> Process:
    """A process that has taken as many calls as it would, come slowly."""
    process = Process(cost)
    process.run(60, each_look=lambda: process.invite(4))
    assert process.refusal == "cpu"
    return process


def test_by_number_it_is_the_number_whatever_the_load() -> None:
    admission = Admission(2)
    assert admission.judge(0, now=1.0) == Verdict(None, calls=0, room=2)
    assert not admission.wants_load(1)
    assert admission.judge(1, now=1.0) == Verdict(None, calls=1, room=1)
    full = admission.judge(2, now=1.0)
    assert full == Verdict("calls", calls=2, room=0)
    assert (full.is_pressed, full.words) == (False, "too many calls: there may be no more than 2")


def test_the_number_holds_beside_the_load() -> None:
    process = Process(0.0001, most=3)
    assert process.invite(5) == 3
    assert process.refusal == "calls"


def test_the_load_is_wanted_while_there_are_calls_or_it_is_closed() -> None:
    admission = Admission(10, by_health=True)
    assert not admission.wants_load(0)
    assert admission.wants_load(1)
    process = filled()
    process.hang_up(process.calls)
    assert process.admission.wants_load(0)
    process.run(SETTLING_S + 10)
    assert not process.admission.wants_load(0)


@pytest.mark.parametrize(("cost", "most"), [(0.0008, 0.81), (0.002, 0.81), (0.006, 0.81), (0.016, 1.0)])
def test_calls_that_come_steadily_fill_the_core_and_no_more(cost: float, most: float) -> None:
    """Twenty a second; on the slowest machine it is full before it is known what a call costs, and still suffices."""
    process = Process(cost)
    process.run(1.0 / cost / 20 + 20, each_look=lambda: process.invite(4))
    assert process.refusal == "cpu"
    assert process.wanted > OPEN_CPU - 0.05
    assert process.most_wanted <= most


@pytest.mark.parametrize("cost", [0.0008, 0.002, 0.004, 0.008])
def test_a_flood_into_an_idle_process(cost: float) -> None:
    """A thousand INVITEs a second: however fast or slow the machine, those who got in have a core that suffices."""
    process = Process(cost)
    assert process.invite(1000) == FIRST_CALLS
    assert process.verdicts[-1].refusal == "rush"
    process.run(60, each_look=lambda: process.invite(200))
    assert process.most_wanted < 1.0
    assert process.wanted > OPEN_CPU - 0.05


def test_a_burst_between_two_looks_counts_itself() -> None:
    process = Process(0.002)
    process.run(60, each_look=lambda: process.invite(1))
    calls, expected = process.calls, process.admission.judge(process.calls, now=process.now)
    taken = process.invite(1000)
    assert taken == expected.room
    assert process.verdicts[-1].refusal == "cpu"
    process.run(3.0)
    assert (process.calls, process.wanted < CLOSE_CPU + 0.02) == (calls + taken, True)


def test_it_stays_closed_until_the_load_is_well_below() -> None:
    process = filled()
    process.run(30)
    process.base = OPEN_CPU + 0.02 - process.cost * process.calls
    process.run(30)
    assert process.refusal == "cpu"
    process.base -= 0.04
    process.run(SETTLING_S)
    assert process.refusal is None


def test_it_does_not_open_before_the_news_has_settled() -> None:
    process = Process(0.002)
    process.run(60, each_look=lambda: process.invite(1))
    process.invite(1000)  # closed for what is expected; nothing of it is measured
    process.hang_up(process.calls - 20)
    process.run(SETTLING_S - LOOK_S)
    assert process.refusal == "cpu"
    process.run(2 * LOOK_S)
    assert process.refusal is None


def test_a_load_that_sways_about_the_limit_does_not_make_it_flap() -> None:
    process = filled()
    process.verdicts.clear()
    for _ in range(60):
        process.base = 0.05
        process.run(1.0, each_look=process.invite)
        process.base = 0.01
        process.run(1.0, each_look=process.invite)
    assert len([*changes(process.verdicts)]) <= 2


def test_beats_that_others_make_late() -> None:
    process = Process(0.002)
    process.run(10, each_look=lambda: process.invite(1))
    assert process.refusal is None
    process.late = 0.3
    process.run(LOOK_S)
    assert process.refusal == "late"  # at the first look
    process.run(10)
    assert process.admission.judge(process.calls, now=process.now).words == (
        "too busy: 30% of the packets of 50 calls leave late"
    )
    process.late = 0.0
    process.run(10)
    assert process.refusal is None


@pytest.mark.parametrize(("stopped_ms", "refusal"), [(50, None), (150, "late"), (400, "late")])
def test_one_stop(stopped_ms: int, refusal: Pressure | None) -> None:
    """A beat comes late after a stop, and those by which up to three are made up for, every 10 ms."""
    process = Process(0.002)
    process.run(10, each_look=lambda: process.invite(1))
    made_up = min(60, stopped_ms) // 10
    beats = round((LOOK_S - stopped_ms / 1000) * BEATS_PER_S) if stopped_ms < 200 else made_up
    before = process.load
    load = Load(before.cpu_s + 0.02, before.beats + beats, before.late_beats + made_up)
    process.admission.receive_load(load, process.calls, now=process.now + LOOK_S)
    assert process.admission.judge(process.calls, now=process.now + LOOK_S).refusal == refusal


def test_a_first_call_whose_first_beats_are_late() -> None:
    process = Process(0.002)
    process.invite()
    process.admission.receive_load(Load(0.1, 3, 3), 1, now=process.now + LOOK_S)
    assert process.admission.judge(1, now=process.now + LOOK_S).refusal is None


def test_with_nobody_in_a_call_the_first_is_taken() -> None:
    process = filled()
    process.hang_up(process.calls)
    assert process.invite(2) == 1
    assert process.verdicts[-1].refusal == "cpu"


def test_calls_that_end_at_once_do_not_count_as_if_they_went_on() -> None:
    """Twenty a second that last for half a second each: ten at once, however many have come."""
    process = Process(0.002, base=0.4)
    process.run(30, each_look=lambda: (process.hang_up(max(0, process.calls - 6)), process.invite(4)))
    assert {verdict.refusal for verdict in process.verdicts} == {None}


def test_news_twice_for_one_moment() -> None:
    process = Process(0.002)
    process.admission.receive_load(Load(9.0, 9, 9), 1, now=process.now)
    assert process.admission.judge(1, now=process.now) == Verdict(None, calls=1, room=FIRST_CALLS - 1, cpu=0.003)


def test_a_verdict_travels() -> None:
    verdict = Verdict("cpu", calls=300, room=0, cpu=0.813, late=0.0)
    assert pickle.loads(pickle.dumps(verdict)) == verdict
    assert verdict.words == "too busy: 300 calls take 81% of a core"
    assert Verdict(None, calls=3, room=40).words == "room for 40"
    assert "not known yet" in Verdict("rush", calls=50, room=0).words
