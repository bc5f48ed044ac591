"""The input audio buffer of the embedded model: commits, the server's turn detection, and what is heard in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from realtime.local_harness import DONE, PHONE, Harness, error_of, kinds, of_kind, only, spoken

from sipagent.formats import PCM, PCMU, AudioFormat
from sipagent.realtime.local.buffer import KEPT_SILENCE_MS, MAX_BUFFER_MS, InputBuffer
from sipagent.realtime.local.configuration import VAD_DEFAULTS
from sipagent.realtime.local.hearing import DEADLINE_S, MAX_PENDING
from sipagent.realtime.local.phrases import PHRASES
from sipagent.realtime.local.synthetic import speak

MS = 8
QUIET = b"\xff"
LOUD = b"\x9f"


def make_detector(audio_format: AudioFormat, threshold: float) -> Any:
    """Everything that is not silence is speech."""
    return lambda frame: frame.strip(audio_format.silence) != b""


def detecting(**detection: Any) -> Harness:
    harness = Harness(make_detector=make_detector)
    settings = {"type": "server_vad", "silence_duration_ms": 500, **detection}
    audio = {**PHONE["audio"], "input": {"format": {"type": "audio/pcmu"}, "turn_detection": settings}}
    return harness.open(session={**PHONE, "audio": audio})


def feed(harness: Harness, audio: bytes) -> list[dict[str, Any]]:
    """Send audio in frames of 20 ms, in real time."""
    before = len(harness.events)
    for start in range(0, len(audio), 20 * MS):
        harness.append(audio[start : start + 20 * MS])
        harness.run(0.02)
    return harness.events[before:]


def test_a_commit_makes_an_item_of_the_caller() -> None:
    harness = Harness().open()
    first = harness.say("hello")
    assert kinds(first) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert first[0]["previous_item_id"] is None
    assert first[1]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert first[0]["item_id"] == first[1]["item"]["id"]
    assert harness.say("hello")[0]["previous_item_id"] == first[0]["item_id"]


@pytest.mark.parametrize(("size", "held"), [(0, "0.00"), (799, "99.88")])
def test_too_little_is_not_committed(size: int, held: str) -> None:
    harness = Harness().open()
    assert harness.append(LOUD * size) == []
    error = error_of(harness.send("input_audio_buffer.commit", event_id="c"))
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "c")
    assert f"Expected at least 100ms of audio, but buffer only has {held}ms of audio." in error["message"]
    harness.append(LOUD * (800 - size))
    assert kinds(harness.send("input_audio_buffer.commit"))[0] == "input_audio_buffer.committed"
    assert error_of(harness.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


def test_clear_forgets() -> None:
    harness = Harness().open()
    harness.append(LOUD * 1600)
    assert kinds(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    assert error_of(harness.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({}, "missing_required_parameter"), ({"audio": 5}, "invalid_type"), ({"audio": "no base64!"}, "invalid_value")],
)
def test_wrong_audio_is_refused(fields: dict[str, Any], code: str) -> None:
    assert error_of(Harness().open().send("input_audio_buffer.append", **fields))["code"] == code


def test_detection_is_off_without_a_detector() -> None:
    harness = Harness().open(session=None)
    assert harness.append(LOUD * 48_000) == []


def test_a_turn_by_server_detection() -> None:
    harness = detecting()
    speech = speak("what time is it", PCMU, tuple(PHRASES))
    events = feed(harness, QUIET * 1000 * MS + speech)
    (started,) = events
    assert started["type"] == "input_audio_buffer.speech_started"
    assert started["audio_start_ms"] == 700
    events = feed(harness, QUIET * 700 * MS)
    assert kinds(events)[:5] == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert {events[n]["item_id"] for n in (0, 1)} == {started["item_id"]}
    assert events[0]["audio_end_ms"] == 1000 + len(speech) // MS
    assert "12:05" in spoken(events + harness.run(until=DONE))
    (request,) = harness.hearings
    assert request.audio == QUIET * 300 * MS + speech + QUIET * (len(request.audio) - 300 * MS - len(speech))


def test_speech_interrupts_the_response() -> None:
    harness = detecting()
    harness.type("tell me a story")
    harness.send("response.create")
    harness.run(1.0)
    events = feed(harness, LOUD * 20 * MS)
    assert events[0]["type"] == "input_audio_buffer.speech_started"
    details = only(events, DONE)["response"]["status_details"]
    assert details == {"type": "cancelled", "reason": "turn_detected"}


def test_detection_may_leave_the_decisions_to_the_client() -> None:
    harness = detecting(create_response=False, interrupt_response=False)
    harness.type("tell me a story")
    harness.send("response.create")
    harness.run(1.0)
    events = feed(harness, LOUD * 200 * MS + QUIET * 700 * MS)
    assert of_kind(events, "input_audio_buffer.committed")
    harness.run(until=DONE)
    assert only(harness.events, DONE)["response"]["status"] == "completed"


def test_a_response_of_its_own_waits_for_no_other() -> None:
    harness = detecting(interrupt_response=False)
    harness.type("tell me a story")
    harness.send("response.create")
    events = feed(harness, LOUD * 200 * MS + QUIET * 700 * MS)
    assert only(events, "error")["error"]["code"] == "conversation_already_has_active_response"


def test_what_follows_a_turn_stays_in_the_buffer() -> None:
    harness = detecting(silence_duration_ms=100)
    harness.append(LOUD * 200 * MS + QUIET * 100 * MS + LOUD * 200 * MS + QUIET * 100 * MS)
    assert len(of_kind(harness.events, "input_audio_buffer.committed")) == 2
    assert [len(request.audio) for request in harness.hearings] == [300 * MS, 300 * MS]


def test_a_change_of_format_drops_the_audio_and_keeps_the_time() -> None:
    buffer = InputBuffer(PCMU)
    list(buffer.append(LOUD * 1000 * MS))
    buffer.configure(PCM, VAD_DEFAULTS["server_vad"], make_detector)
    assert (buffer.duration_ms, buffer.position_ms) == (0, 1000)
    (started,) = buffer.append(b"\x00\x20" * 24 * 20)
    assert started.audio_start_ms == 1000


def test_the_buffer_is_bounded() -> None:
    buffer = InputBuffer(PCMU)
    for _ in range(12):
        list(buffer.append(LOUD * 60_000 * MS))
    assert (buffer.duration_ms, buffer.position_ms) == (MAX_BUFFER_MS, 720_000)
    buffer = InputBuffer(PCMU)
    buffer.configure(PCMU, VAD_DEFAULTS["server_vad"], make_detector)
    list(buffer.append(QUIET * 60_000 * MS))
    assert buffer.duration_ms == KEPT_SILENCE_MS


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=12))
def test_detected_turns_are_the_audio_that_came(pieces: list[tuple[bool, int]]) -> None:
    """Whatever comes, however it is cut: turns lie in order, none overlaps, and each is a piece of the input."""
    buffer = InputBuffer(PCMU)
    buffer.configure(PCMU, {**VAD_DEFAULTS["server_vad"], "prefix_padding_ms": 40}, make_detector)
    everything = b""
    end = 0
    for is_loud, size in pieces:
        audio = (LOUD if is_loud else QUIET) * size
        everything += audio
        starts: list[int] = []
        for happened in buffer.append(audio):
            if hasattr(happened, "audio_start_ms"):
                starts.append(happened.audio_start_ms * MS)
                assert starts[-1] >= end
            else:
                turn = buffer.commit_speech()
                assert turn in everything
                end = happened.audio_end_ms * MS
        assert len(everything) >= buffer.position_ms * MS


def test_transcripts_come_when_they_are_asked_for() -> None:
    harness = Harness().open()
    wanted = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-live-transcribe"}}}}
    (updated,) = harness.send("session.update", session=wanted)
    assert updated["session"]["audio"]["input"]["transcription"]["model"] == "gpt-live-transcribe"
    events = harness.say("what time is it")
    assert kinds(events)[3:] == [
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert events[4]["transcript"] == events[3]["delta"] == "what time is it"
    assert events[4]["item_id"] == events[0]["item_id"]
    assert events[4]["usage"]["input_tokens"] == 9


def test_without_an_ear_the_transcript_is_empty_and_the_brain_says_so() -> None:
    harness = Harness(has_ear=False).open()
    wanted = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-live-transcribe"}}}}
    harness.send("session.update", session=wanted)
    harness.say("what time is it")
    harness.server.receive_hearing(harness.hearings[0].request_id, None, now=harness.now)
    harness.drain()
    assert harness.events[-1]["transcript"] == ""
    assert "set phrases and the keys" in spoken(harness.respond())


def test_a_response_waits_for_the_ear_but_not_for_ever() -> None:
    harness = Harness(has_ear=False).open()
    harness.say("what time is it")
    assert kinds(harness.send("response.create")) == ["response.created"]
    started_at = harness.now
    events = harness.run(until="response.output_item.added")
    assert harness.now == pytest.approx(started_at + DEADLINE_S + 0.1)
    assert "set phrases" in spoken(events + harness.run(until=DONE))
    harness.server.receive_hearing(harness.hearings[0].request_id, "what time is it", now=harness.now)
    harness.drain()
    assert "set phrases" in spoken(harness.respond())


def test_the_ear_is_not_flooded() -> None:
    harness = Harness(has_ear=False).open()
    for _ in range(MAX_PENDING + 3):
        harness.say("hello")
    assert len(harness.hearings) == MAX_PENDING


def test_the_ear_listens_for_the_names_of_tools() -> None:
    harness = Harness().open()
    tool = {"type": "function", "name": "order_status"}
    harness.send("session.update", session={"type": "realtime", "tools": [tool]})
    harness.say("hello")
    assert harness.hearings[0].phrases[-1] == "order status"
