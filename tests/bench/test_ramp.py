"""The climb, with programs made up for the purpose in place of real ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
from bench.test_figures import measurement

from sipagent.bench import ramp
from sipagent.bench.compiler import Tools
from sipagent.bench.plan import Plan, Processors
from sipagent.bench.ramp import Climbed, Limits, Ramp, climb
from sipagent.bench.rig import Kit
from sipagent.errors import SipagentError

KIT = Kit(Processors(frozenset({0}), frozenset({1})), Path(), Tools(None, None))


class FakeRig:
    """A program that is clean up to 70 calls, and ends above 100."""

    started: list[int]

    def __init__(self, plan: Plan, kit: Kit, **_more: Any) -> None:
        self.started.append(plan.calls)
        self.calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def resize(self, calls: int) -> None:
        self.calls = calls

    def settle(self) -> None:
        pass

    def measure(self, seconds: float) -> object:
        if self.calls > 100:
            raise SipagentError("the program ended with status -9; the end of its log:\n…")
        found = measurement(delays=(0.001,) if self.calls <= 70 else (0.05,))
        return replace(found, plan=Plan(calls=self.calls, seconds=seconds))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At how many calls a program was started."""
    monkeypatch.setattr(FakeRig, "started", [], raising=False)
    monkeypatch.setattr(ramp, "Rig", FakeRig)
    return FakeRig.started


Climb = Callable[[tuple[int, ...]], Climbed]


@pytest.fixture
def climbed(started: list[int]) -> Climb:
    def climb_to(steps: tuple[int, ...]) -> Climbed:
        found = Climbed(Ramp(Plan(seconds=1.0), steps))
        found.runs.append(climb(found.ramp, KIT, progress=lambda *_: None, shown=lambda _: None))
        return found

    return climb_to


def test_one_program_carries_more_and_more_calls_until_it_has_had_too_much(climbed: Climb, started: list[int]) -> None:
    found = climbed((20, 40, 80))
    assert [step.calls for step in found.runs[0]] == [20, 40, 80, 80, 60, 70]
    assert started == [20, 80, 60]
    assert (found.knee, found.is_open) == (70, False)


def test_a_program_that_ends_has_had_too_many(climbed: Climb, started: list[int]) -> None:
    found = climbed((50, 200))
    flaws = {step.calls: step.flaws for step in found.runs[0]}
    assert flaws[200] == ("the program ended with status -9; the end of its log:",)
    assert found.knee == 70


def test_a_program_that_never_was_clean_is_an_error(climbed: Climb) -> None:
    with pytest.raises(SipagentError, match="status -9"):
        climbed((200,))


def test_a_limit_that_says_nothing_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([SipagentError("packets 40"), 500.0, 520.0, *[SipagentError("packets 41")] * 6])

    def answer(*_: object, **__: object) -> float:
        match next(answers):
            case SipagentError() as error:
                raise error
            case us:
                return us

    monkeypatch.setattr(ramp, "measure_limit", answer)
    limits = Limits(KIT)
    assert limits.of(50) is None
    for _ in range(3):
        limits.measure([50], lambda *_: None)
    assert limits.as_data() == {"50": {"us": 510.0, "spread_us": 10.0, "count": 2}}, "the third time it said nothing"
    assert limits.of(400) == limits.of(50)
    with pytest.raises(SipagentError, match="packets 41"):
        limits.measure([100], lambda *_: None)
