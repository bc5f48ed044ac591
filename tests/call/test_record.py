from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.call.events import RecordAudio
from sipagent.call.record import MAX_AHEAD_MS, MAX_GAP_MS, PIECE_MS, SNAP_MS, Record
from sipagent.formats import PCM, PCMU

SILENCE = b"\xff"
SAMPLE_RATE = 8000
PIECE_SAMPLES, SNAP_SAMPLES = PIECE_MS * 8, SNAP_MS * 8
MAX_GAP_SAMPLES, MAX_AHEAD_SAMPLES = MAX_GAP_MS * 8, MAX_AHEAD_MS * 8
FRAME_S = 0.020
BEGAN_AT = 100.0


class Recording:
    """A record and what came out of it."""

    def __init__(self) -> None:
        self.record = Record(PCMU, began_at=BEGAN_AT)
        self.caller = b""
        self.agent = b""
        self.pieces: list[int] = []

    def caller_says(self, audio: bytes, *, until: float) -> None:
        self.record.receive_caller(audio, now=BEGAN_AT + until)

    def agent_says(self, audio: bytes, *, at: float) -> None:
        self.record.receive_agent(audio, now=BEGAN_AT + at)

    def take(self, at: float) -> None:
        self.keep(self.record.take_piece(now=BEGAN_AT + at))

    def stop(self, at: float) -> None:
        self.keep(self.record.take_rest(now=BEGAN_AT + at))

    def keep(self, piece: RecordAudio | None) -> None:
        if piece is not None:
            assert len(piece.caller) == len(piece.agent)
            self.caller += piece.caller
            self.agent += piece.agent
            self.pieces.append(len(piece.caller))


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_both_sides_lie_side_by_side(recording: Recording) -> None:
    for n in range(200):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
        recording.caller_says(b"c" * 160, until=(n + 1) * FRAME_S)
        recording.take(n * FRAME_S)
    recording.stop(4.0)
    assert recording.caller == b"c" * 32_000
    assert recording.agent == b"a" * 32_000
    assert len(recording.pieces) == 4
    assert all(size >= PIECE_SAMPLES for size in recording.pieces[:-1])


def test_a_silent_side_is_filled_up(recording: Recording) -> None:
    for n in range(100):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
        recording.take(n * FRAME_S)
    recording.stop(2.0)
    assert recording.agent == b"a" * 16_000
    assert recording.caller == SILENCE * 16_000


def test_speech_after_a_pause_is_where_it_belongs(recording: Recording) -> None:
    recording.caller_says(b"1" * 160, until=FRAME_S)
    recording.caller_says(b"2" * 160, until=0.5 + FRAME_S)
    recording.stop(1.0)
    assert recording.caller == b"1" * 160 + SILENCE * 3840 + b"2" * 160


def test_jitter_is_no_pause(recording: Recording) -> None:
    arrivals = [n * FRAME_S + (0.055 if n % 3 else 0.0) for n in range(1, 10)]
    for until in arrivals:
        recording.caller_says(b"c" * 160, until=until)
    recording.stop(1.0)
    assert recording.caller == b"c" * 1440


def test_the_late_end_of_a_second_is_waited_for(recording: Recording) -> None:
    for n in range(60):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
    recording.caller_says(b"c" * 4800, until=0.6)
    recording.take(1.0)
    assert recording.pieces == []
    recording.take(1.0 + 2 * SNAP_SAMPLES / SAMPLE_RATE)
    assert recording.pieces == [PIECE_SAMPLES]


def test_nothing_was_said(recording: Recording) -> None:
    recording.stop(0.0)
    assert recording.pieces == []


def test_a_leap_of_the_clock_does_not_fill_the_disk(recording: Recording) -> None:
    recording.agent_says(b"a" * 160, at=0.0)
    recording.agent_says(b"b" * 160, at=1e6)
    recording.caller_says(b"c" * 160, until=1e6 + FRAME_S)
    recording.take(1e6 + 2.0)
    recording.stop(1e6 + 2.0)
    assert len(recording.agent) <= MAX_GAP_SAMPLES + 3 * PIECE_SAMPLES
    assert recording.agent.index(b"b") == recording.caller.index(b"c")


def test_after_a_long_hold_both_sides_go_on_together(recording: Recording) -> None:
    """Nothing is recorded on hold, and nobody takes a piece."""
    recording.agent_says(b"a" * 160, at=0.0)
    recording.caller_says(b"c" * 160, until=FRAME_S)
    for n in range(300):
        recording.agent_says(b"A" * 160, at=600.0 + n * FRAME_S)
        recording.caller_says(b"C" * 160, until=600.0 + (n + 1) * FRAME_S)
        recording.take(600.0 + n * FRAME_S)
    recording.stop(606.0)
    assert recording.agent.index(b"A") == recording.caller.index(b"C")
    assert recording.agent.count(b"A") == recording.caller.count(b"C") == 300 * 160


def test_a_caller_who_sends_faster_than_the_clock_is_bounded(recording: Recording) -> None:
    for _ in range(1000):
        recording.caller_says(b"c" * 160, until=FRAME_S)
    recording.stop(1.0)
    assert len(recording.caller) <= MAX_AHEAD_SAMPLES + 160
    recording.caller_says(b"d" * 160, until=10.0)
    recording.stop(10.0)
    assert recording.caller.index(b"d") == 10 * SAMPLE_RATE - 160


STEPS = st.lists(
    st.tuples(st.sampled_from(["caller", "agent", "both"]), st.integers(1, 480), st.integers(0, 30_000)), max_size=80
)


@settings(deadline=None)
@given(steps=STEPS)
def test_the_sides_are_of_one_length_and_every_sample_is_near_its_moment(
    steps: list[tuple[Literal["caller", "agent", "both"], int, int]],
) -> None:
    """Pauses up to four seconds on either side; jitter up to 60 ms is smoothed, so that much may a frame be off."""
    recording = Recording()
    at = 0
    marks: list[tuple[str, int, int]] = []
    for number, (who, size, pause) in enumerate(steps):
        letter = bytes([number + 1])
        begin = at / SAMPLE_RATE
        at += size
        if who != "agent":
            recording.caller_says(letter * size, until=at / SAMPLE_RATE)
            marks.append(("caller", number + 1, at - size))
        if who != "caller":
            recording.agent_says(letter * size, at=begin)
            marks.append(("agent", number + 1, at - size))
        recording.take(at / SAMPLE_RATE)
        at += pause
    recording.stop(at / SAMPLE_RATE)
    assert len(recording.caller) == len(recording.agent)
    for side, letter_value, sample in marks:
        audio = recording.caller if side == "caller" else recording.agent
        assert abs(audio.index(bytes([letter_value])) - sample) <= SNAP_SAMPLES


def test_what_a_stalled_network_delivers_at_once_is_put_where_it_was_said(recording: Recording) -> None:
    for n in range(250):
        stalled = 100 <= n < 140
        recording.agent_says(bytes([1]) * 160, at=n * 0.02)
        if not stalled:
            recording.caller_says(bytes([2 + n // 200]) * 160, until=(n + 1) * 0.02)
        if n == 139:
            for _ in range(40):
                recording.caller_says(bytes([2]) * 160, until=(n + 1) * 0.02)
    recording.stop(5.0)
    assert abs(recording.caller.index(bytes([3])) - 200 * 160) <= 480
    assert len(recording.caller) == pytest.approx(250 * 160, abs=480)


def test_linear_samples_stay_whole() -> None:
    record = Record(PCM, began_at=BEGAN_AT)
    record.receive_agent(b"aA" * 480, now=BEGAN_AT + 0.5000001)
    record.receive_caller(b"cC" * 480, now=BEGAN_AT + 0.7600003)
    piece = record.take_rest(now=BEGAN_AT + 1)
    assert piece is not None
    assert piece.audio_format is PCM
    assert len(piece.caller) == len(piece.agent) == 2 * round(0.76 * PCM.rate)
    assert piece.agent[24_000:24_960] == b"aA" * 480
    assert piece.caller[-960:] == b"cC" * 480
