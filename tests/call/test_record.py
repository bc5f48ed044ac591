from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.audio.g711 import decode
from sipagent.call.events import RecordAudio, RecordingPaused, RecordingResumed, RecordOutput
from sipagent.call.record import MAX_AHEAD_MS, MAX_GAP_MS, PIECE_MS, SNAP_MS, Record
from sipagent.formats import PCM, PCMU, AudioFormat

SAMPLE_RATE = 8000
PIECE_SAMPLES, SNAP_SAMPLES = PIECE_MS * 8, SNAP_MS * 8
MAX_GAP_SAMPLES, MAX_AHEAD_SAMPLES = MAX_GAP_MS * 8, MAX_AHEAD_MS * 8
SILENCE = b"\xff"
FRAME_S = 0.020
BEGAN_AT = 100.0


class Recording:
    """A record and what came out of it."""

    def __init__(self, audio_format: AudioFormat = PCMU) -> None:
        self.record = Record(audio_format, began_at=BEGAN_AT, emit=self.keep)
        self.format = audio_format
        self.caller = b""
        self.agent = b""
        self.pieces: list[int] = []
        self.outputs: list[RecordOutput] = []

    def caller_says(self, audio: bytes, *, until: float) -> None:
        self.record.receive_caller(audio, now=BEGAN_AT + until)

    def agent_says(self, audio: bytes, *, at: float) -> None:
        self.record.receive_agent(audio, now=BEGAN_AT + at)

    def stop(self) -> None:
        self.record.close()

    def keep(self, output: RecordOutput) -> None:
        self.outputs.append(output)
        if isinstance(output, RecordAudio):
            assert len(output.caller) == len(output.agent)
            assert output.audio_format is self.format
            self.caller += output.caller
            self.agent += output.agent
            self.pieces.append(len(output.caller))


@pytest.fixture
def recording() -> Recording:
    return Recording()


def test_both_sides_lie_side_by_side(recording: Recording) -> None:
    for n in range(200):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
        recording.caller_says(b"c" * 160, until=(n + 1) * FRAME_S)
    recording.stop()
    assert recording.caller == b"c" * 32_000
    assert recording.agent == b"a" * 32_000
    assert len(recording.pieces) == 4
    assert all(size >= PIECE_SAMPLES for size in recording.pieces[:-1])


def test_a_silent_side_is_filled_up(recording: Recording) -> None:
    for n in range(100):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
    recording.stop()
    assert recording.agent == b"a" * 16_000
    assert recording.caller == SILENCE * 16_000


def test_speech_after_a_pause_is_where_it_belongs(recording: Recording) -> None:
    recording.caller_says(b"1" * 160, until=FRAME_S)
    recording.caller_says(b"2" * 160, until=0.5 + FRAME_S)
    recording.stop()
    assert recording.caller == b"1" * 160 + SILENCE * 3840 + b"2" * 160


def test_jitter_is_no_pause(recording: Recording) -> None:
    arrivals = [n * FRAME_S + (0.055 if n % 3 else 0.0) for n in range(1, 10)]
    for until in arrivals:
        recording.caller_says(b"c" * 160, until=until)
    recording.stop()
    assert recording.caller == b"c" * 1440


def test_the_late_end_of_a_second_is_waited_for(recording: Recording) -> None:
    for n in range(56):
        recording.agent_says(b"a" * 160, at=n * FRAME_S)
    recording.caller_says(b"c" * 4800, until=0.6)
    assert recording.pieces == []
    recording.agent_says(b"a" * 160, at=1.0 + 2 * SNAP_MS / 1000)
    assert recording.pieces == [PIECE_SAMPLES]


def test_nothing_was_said(recording: Recording) -> None:
    recording.stop()
    assert recording.pieces == []


def test_a_leap_of_the_clock_does_not_fill_the_disk(recording: Recording) -> None:
    recording.agent_says(b"a" * 160, at=0.0)
    recording.agent_says(b"b" * 160, at=1e6)
    recording.caller_says(b"c" * 160, until=1e6 + FRAME_S)
    recording.stop()
    assert len(recording.agent) <= MAX_GAP_SAMPLES + 3 * PIECE_SAMPLES
    assert recording.agent.index(b"b") == recording.caller.index(b"c")


def test_after_a_long_hold_both_sides_go_on_together(recording: Recording) -> None:
    """Nothing is recorded on hold, and nobody takes a piece."""
    recording.agent_says(b"a" * 160, at=0.0)
    recording.caller_says(b"c" * 160, until=FRAME_S)
    for n in range(300):
        recording.agent_says(b"A" * 160, at=600.0 + n * FRAME_S)
        recording.caller_says(b"C" * 160, until=600.0 + (n + 1) * FRAME_S)
    recording.stop()
    assert recording.agent.index(b"A") == recording.caller.index(b"C")
    assert recording.agent.count(b"A") == recording.caller.count(b"C") == 300 * 160


def test_a_caller_who_sends_faster_than_the_clock_is_bounded(recording: Recording) -> None:
    for _ in range(1000):
        recording.caller_says(b"c" * 160, until=FRAME_S)
    recording.stop()
    assert len(recording.caller) <= MAX_AHEAD_SAMPLES + 160
    recording.caller_says(b"d" * 160, until=10.0)
    recording.stop()
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
        at += pause
    recording.stop()
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
    recording.stop()
    assert abs(recording.caller.index(bytes([3])) - 200 * 160) <= 480
    assert len(recording.caller) == pytest.approx(250 * 160, abs=480)


def talk(recording: Recording, begin: int, end: int, *, letters: bytes = b"ca", size: int = 160) -> None:
    """Frames of both sides, by their numbers."""
    caller, agent = letters[:1], letters[1:]
    for n in range(begin, end):
        recording.agent_says(agent * size, at=n * FRAME_S)
        recording.caller_says(caller * size, until=(n + 1) * FRAME_S)


def test_while_it_is_paused_both_sides_are_silent_and_the_clock_goes_on(recording: Recording) -> None:
    talk(recording, 0, 100)
    recording.record.pause(now=BEGAN_AT + 2.0)
    talk(recording, 100, 400, letters=b"XY")
    assert len(recording.agent) >= 6 * SAMPLE_RATE, "pieces are handed on all the same"
    recording.record.resume(now=BEGAN_AT + 8.0)
    talk(recording, 400, 500)
    recording.stop()
    for side, letter in ((recording.caller, b"c"), (recording.agent, b"a")):
        assert side[: 2 * SAMPLE_RATE] == letter * (2 * SAMPLE_RATE)
        assert side[8 * SAMPLE_RATE :] == letter * (2 * SAMPLE_RATE)
        pause = side[2 * SAMPLE_RATE : 8 * SAMPLE_RATE]
        mark = decode(pause[:1600], "PCMU")
        assert np.abs(np.fft.rfft(mark)).argmax() == 200, "1000 Hz where it begins"
        assert pause[1600:] == SILENCE * (6 * SAMPLE_RATE - 1600)
    facts = [type(output) for output in recording.outputs if not isinstance(output, RecordAudio)]
    assert facts == [RecordingPaused, RecordingResumed]


def test_a_pause_forgets_what_the_network_delivered_ahead(recording: Recording) -> None:
    talk(recording, 0, 50)
    for _ in range(20):
        recording.caller_says(b"S" * 160, until=1.0)
    recording.record.pause(now=BEGAN_AT + 1.0)
    recording.stop()
    assert b"S" not in recording.caller


def test_a_pause_shorter_than_its_mark_shifts_nothing(recording: Recording) -> None:
    talk(recording, 0, 50)
    recording.record.pause(now=BEGAN_AT + 1.0)
    recording.record.pause(now=BEGAN_AT + 1.02)
    recording.record.resume(now=BEGAN_AT + 1.1)
    recording.record.resume(now=BEGAN_AT + 1.12)
    talk(recording, 55, 100, letters=b"CA")
    recording.stop()
    assert recording.caller.index(b"C" * 160) == recording.agent.index(b"A" * 160) == 55 * 160


def test_wideband_is_recorded_in_samples_of_two_bytes() -> None:
    recording = Recording(PCM)
    talk(recording, 0, 100, size=960)
    recording.record.pause(now=BEGAN_AT + 2.0)
    talk(recording, 100, 150, letters=b"XY", size=960)
    recording.record.resume(now=BEGAN_AT + 3.0)
    talk(recording, 150, 200, size=960)
    recording.stop()
    second = 48_000
    assert len(recording.caller) == len(recording.agent) == 4 * second
    assert recording.caller.count(b"c") == recording.agent.count(b"a") == 3 * second
    assert recording.caller[2 * second + 9_600 : 3 * second] == bytes(second - 9_600)
    assert all(size % 2 == 0 and size >= second for size in recording.pieces[:-1])
    beep = np.frombuffer(recording.agent[2 * second : 2 * second + 9_600], np.int16)
    assert np.abs(np.fft.rfft(beep)).argmax() == 200


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("capr"), st.integers(0, 4_000)), max_size=60))
def test_whatever_happens_samples_stay_whole_and_sides_alike(steps: list[tuple[str, int]]) -> None:
    recording = Recording(PCM)
    now = 0.0
    for what, ms in steps:
        now += ms / 1_000 + 0.0001
        match what:
            case "c":
                recording.caller_says(b"c" * 960, until=now)
            case "a":
                recording.agent_says(b"a" * 960, at=now)
            case "p":
                recording.record.pause(now=BEGAN_AT + now)
            case _:
                recording.record.resume(now=BEGAN_AT + now)
    recording.stop()
    assert all(size % 2 == 0 for size in recording.pieces)
    assert len(recording.caller) <= (now + 1.5) * 48_000


def test_linear_samples_stay_whole() -> None:
    recording = Recording(PCM)
    recording.agent_says(b"aA" * 480, at=0.5000001)
    recording.caller_says(b"cC" * 480, until=0.7600003)
    recording.stop()
    assert len(recording.caller) == 2 * round(0.76 * PCM.rate)
    assert recording.agent[24_000:24_960] == b"aA" * 480
    assert recording.caller[-960:] == b"cC" * 480
