from math import inf

import pytest

from sipagent.call.turn import Turn, TurnChange, TurnSettings

FRAME_S = 0.020
STARTED, STOPPED = TurnChange.STARTED, TurnChange.STOPPED


class Caller:
    """A turn and a clock that goes on 20 ms a frame."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.turn = Turn(settings or TurnSettings())
        self.ticks = 0

    @property
    def now(self) -> float:
        return self.ticks * FRAME_S

    def frames(self, pattern: str, *, agent_speaks: bool = False) -> list[TurnChange | None]:
        """Feed ``s`` for speech, ``.`` for none, and a space for a frame that did not come."""
        changes = []
        for letter in pattern:
            if letter == "s":
                changes.append(self.turn.receive_speech(20.0, agent_speaks=agent_speaks, now=self.now))
            elif letter == ".":
                changes.append(None)
            self.ticks += 1
        return changes


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.mark.parametrize(
    ("pattern", "starts_at"),
    [
        ("ss", 1),
        ("s.s", 2),
        ("s.....s", 6),  # 120 ms apart: one bit of speech
        ("s......s", None),  # 140 ms apart: two
        ("s......ss", 8),
        ("s....", None),
        (".....", None),
    ],
)
def test_a_turn_starts_after_40_ms(caller: Caller, pattern: str, starts_at: int | None) -> None:
    changes = caller.frames(pattern)
    assert changes == [STARTED if n == starts_at else None for n in range(len(pattern))]
    assert caller.turn.is_speaking == (starts_at is not None)


@pytest.mark.parametrize(("pattern", "starts"), [("ss", False), ("sss", True), ("s.ss", True), ("ss......s", False)])
def test_it_takes_60_ms_to_interrupt(caller: Caller, pattern: str, starts: bool) -> None:
    assert (caller.frames(pattern, agent_speaks=True)[-1] is STARTED) is starts


def test_the_onset_is_the_first_frame_of_this_bit_of_speech(caller: Caller) -> None:
    caller.frames("s......s.s")
    assert caller.turn.onset_at == 7 * FRAME_S


def test_a_turn_starts_once(caller: Caller) -> None:
    assert caller.frames("ssss....ssss").count(STARTED) == 1


@pytest.mark.parametrize(("ms", "frames"), [(10.0, 4), (20.0, 2), (30.0, 2), (60.0, 1)])
def test_speech_is_weighed_by_time_not_by_frames(ms: float, frames: int) -> None:
    turn = Turn(TurnSettings())
    changes = [turn.receive_speech(ms, agent_speaks=False, now=n * ms / 1000) for n in range(frames)]
    assert changes == [None] * (frames - 1) + [STARTED]


def test_a_turn_stops_500_ms_after_its_last_speech(caller: Caller) -> None:
    assert caller.turn.due_at == inf
    caller.frames("ss..s")
    due_at = 4 * FRAME_S + 0.5
    assert caller.turn.due_at == due_at
    caller.frames("....")
    assert caller.turn.due_at == due_at
    assert caller.turn.handle_timer(now=due_at - 0.001) is None
    assert caller.turn.handle_timer(now=due_at) is STOPPED
    assert caller.turn.due_at == inf
    assert not caller.turn.is_speaking
    assert caller.turn.duration_ms == 80


def test_it_stops_although_the_phone_sends_nothing_in_silence(caller: Caller) -> None:
    caller.frames("sss")
    assert caller.turn.handle_timer(now=2 * FRAME_S + 0.5) is STOPPED


def test_speech_puts_the_stop_off(caller: Caller) -> None:
    caller.frames("ss" + "." * 24 + "s")
    assert caller.turn.handle_timer(now=1 * FRAME_S + 0.5) is None
    assert caller.turn.due_at == 26 * FRAME_S + 0.5


def test_a_turn_that_does_not_end_is_ended() -> None:
    caller = Caller(TurnSettings(max_turn_ms=1000))
    caller.frames("s" * 50)
    assert caller.turn.due_at == 1.0
    assert caller.turn.handle_timer(now=1.0) is STOPPED


def test_after_a_turn_that_did_not_end_another_waits_for_a_pause() -> None:
    caller = Caller(TurnSettings(max_turn_ms=1000))
    caller.frames("s" * 50)
    caller.turn.handle_timer(now=1.0)
    assert set(caller.frames("s" * 100)) == {None}
    assert caller.frames("." * 25 + "ss") == [None] * 26 + [STARTED]


def test_after_a_turn_another_begins_anew(caller: Caller) -> None:
    caller.frames("ss")
    caller.turn.handle_timer(now=10.0)
    assert caller.frames("s") == [None]
    assert caller.frames("s") == [STARTED]


def test_stop_forgets_a_turn_and_what_might_have_become_one(caller: Caller) -> None:
    caller.frames("ss")
    caller.turn.stop()
    assert not caller.turn.is_speaking
    assert caller.turn.due_at == inf
    assert caller.turn.handle_timer(now=100.0) is None
    caller.frames("s")
    caller.turn.stop()
    assert caller.frames("s") == [None]
