from math import inf

import pytest

from sipagent.call.turn import Turn, TurnChange, TurnSettings

FRAME_S = 0.020
STARTED, STOPPED = TurnChange.STARTED, TurnChange.STOPPED
TENTATIVE, WITHDRAWN = TurnChange.TENTATIVE, TurnChange.WITHDRAWN


class Caller:
    """A turn and a clock that goes on 20 ms a frame."""

    def __init__(self, settings: TurnSettings | None = None) -> None:
        self.turn = Turn(settings or TurnSettings())
        self.ticks = 0

    @property
    def now(self) -> float:
        return self.ticks * FRAME_S

    def frames(self, pattern: str, *, over_agent: bool = False) -> list[TurnChange | None]:
        """Feed ``s`` for speech, ``.`` for none, and a space for a frame that did not come."""
        changes = []
        for letter in pattern:
            if letter == "s":
                changes.append(self.turn.receive_speech(20.0, over_agent=over_agent, now=self.now))
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


def test_over_the_agent_a_turn_is_tentative_first(caller: Caller) -> None:
    changes = caller.frames("s" * 40, over_agent=True)
    assert changes == [TENTATIVE] + [None] * 28 + [STARTED] + [None] * 10
    assert caller.turn.onset_at == 0.0


def test_pauses_between_syllables_do_not_count_against_it(caller: Caller) -> None:
    changes = caller.frames("sssss........" * 6, over_agent=True)
    assert changes.index(STARTED) == 5 * 13 + 4
    assert changes.count(TENTATIVE) == 1


def test_what_is_too_short_is_withdrawn(caller: Caller) -> None:
    caller.frames("s" * 20, over_agent=True)
    assert caller.turn.is_tentative
    assert not caller.turn.is_speaking
    due_at = 19 * FRAME_S + 0.24
    assert caller.turn.due_at == due_at
    assert caller.turn.handle_timer(now=due_at - 0.001) is None
    assert caller.turn.handle_timer(now=due_at) is WITHDRAWN
    assert (caller.turn.is_tentative, caller.turn.due_at) == (False, inf)
    assert caller.turn.withdrawn_ms == 400


def test_after_a_withdrawal_all_begins_anew(caller: Caller) -> None:
    caller.frames("s" * 20, over_agent=True)
    caller.turn.handle_timer(now=10.0)
    caller.ticks = 500
    assert caller.frames("s" * 30, over_agent=True) == [TENTATIVE] + [None] * 28 + [STARTED]


def test_what_was_withdrawn_may_be_taken_for_a_turn(caller: Caller) -> None:
    caller.frames("s" * 20, over_agent=True)
    caller.turn.handle_timer(now=19 * FRAME_S + 0.24)
    caller.turn.take()
    assert caller.turn.is_speaking
    assert caller.turn.due_at == 19 * FRAME_S + 0.5


def test_a_turn_that_began_before_the_agent_spoke_is_no_less_one(caller: Caller) -> None:
    caller.frames("ss")
    assert caller.frames("s" * 40, over_agent=True) == [None] * 40


def test_how_much_speech_makes_the_agent_pause() -> None:
    caller = Caller(TurnSettings(pause_ms=60))
    assert caller.frames("ss......sss", over_agent=True) == [None] * 10 + [TENTATIVE]


def test_the_onset_is_the_first_frame_of_this_bit_of_speech(caller: Caller) -> None:
    caller.frames("s......s.s")
    assert caller.turn.onset_at == 7 * FRAME_S


def test_a_turn_starts_once(caller: Caller) -> None:
    assert caller.frames("ssss....ssss").count(STARTED) == 1


@pytest.mark.parametrize(("ms", "frames"), [(10.0, 4), (20.0, 2), (30.0, 2), (60.0, 1)])
def test_speech_is_weighed_by_time_not_by_frames(ms: float, frames: int) -> None:
    turn = Turn(TurnSettings())
    changes = [turn.receive_speech(ms, over_agent=False, now=n * ms / 1000) for n in range(frames)]
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
