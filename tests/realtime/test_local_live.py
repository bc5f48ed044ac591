"""The embedded Live server as a machine, and a session of ours with it."""

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from realtime.live_harness import TOOLS, LiveHarness, LivePair

from sipagent.formats import PCM, PCMA, PCMU, AudioFormat, pcm_at
from sipagent.realtime.events import (
    AgentTranscript,
    AudioReceived,
    CallerTranscript,
    FunctionCallRequested,
    SessionFailed,
    SessionReady,
    SessionUpdated,
)
from sipagent.realtime.local.events import Close
from sipagent.realtime.local.live_schema import EVENTS
from sipagent.realtime.local.live_server import FRAME_MS, GAP_S, MAX_AHEAD_MS, START_S, USAGE_S
from sipagent.realtime.local.phrases import GOODBYE, OPENING_HOURS
from sipagent.realtime.local.synthetic import speak

FORMATS = [PCMU, PCMA, PCM, pcm_at(16000)]
NAMES = ["PCMU", "PCMA", "PCM 24", "PCM 16"]
DELEGATION = {"type": "responses", "responses": {"model": "m", "tools": list(TOOLS)}}


def append(harness: LiveHarness, audio: bytes) -> list[dict[str, Any]]:
    return harness.send("session.input_audio.append", audio=b64encode(audio).decode())


def error_of(events: list[dict[str, Any]]) -> dict[str, Any]:
    (event,) = events
    assert event["type"] == "error"
    return dict(event["error"])


# The session


def test_the_first_message_starts_it() -> None:
    harness = LiveHarness()
    assert error_of(append(harness, b"x"))["code"] == "session_not_started"
    session = harness.start(instructions="Be brief.", store=False)
    assert session["audio"]["format"] == {"type": "audio/pcmu", "rate": 8000}
    assert (session["status"], session["model"], session["instructions"]) == ("active", "gpt-live-1", "Be brief.")
    assert session["id"].startswith("live_")
    assert session["expires_at"] == 1_795_176_300 + 3600
    again = harness.send("session.start", session={"model": "m"})
    assert error_of(again)["code"] == "invalid_event"


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({}, "session.model"),
        ({"model": "m", "voice": "marin"}, "session.voice"),
        ({"model": "m", "turn_detection": None}, "session.turn_detection"),
        ({"model": "m", "audio": {"format": {"type": "audio/pcmu"}}}, "session.audio.format.rate"),
        ({"model": "m", "audio": {"format": {"type": "audio/pcm", "rate": 8000}}}, "session.audio.format.rate"),
        ({"model": "m", "audio": {"input": {}}}, "session.audio.input"),
        ({"model": "m", "delegation": {"type": "responses"}}, "session.delegation.responses"),
        ({"model": "m", "delegation": {"type": "responses", "responses": {}}}, "session.delegation.responses.model"),
    ],
)
def test_what_is_unknown_or_missing_is_refused(session: dict[str, Any], param: str) -> None:
    harness = LiveHarness()
    error = error_of(harness.send("session.start", session=session, event_id="mine"))
    assert (error["param"], error["client_event_id"]) == (param, "mine")
    assert error["code"] in ("unknown_parameter", "missing_required_parameter", "invalid_value")
    harness.start()  # it may still be started as it should be


def test_who_does_not_start_is_shown_out() -> None:
    harness = LiveHarness()
    (error,) = harness.advance(START_S)
    assert error["error"]["code"] == "session_timeout"
    assert harness.closes == [Close(1008, "session_timeout")]
    assert harness.server.get_timer() is None


def test_it_ends_when_asked() -> None:
    harness = LiveHarness()
    harness.start()
    harness.advance(3.5)
    (closed,) = harness.send("session.close", event_id="mine")
    assert (closed["reason"], closed["usage"], closed["client_event_id"]) == (
        "close_requested", {"seconds": 3}, "mine"
    )  # fmt: skip
    assert harness.closes == [Close(1000, "close_requested")]
    assert harness.send("session.close") == []


def test_faults() -> None:
    harness = LiveHarness(faults="expire seconds=4")
    harness.start()
    harness.advance(5)
    assert harness.events[-1]["reason"] == "expired"
    refused = LiveHarness(faults="refuse_session code=insufficient_quota")
    refused.send("session.start", session={"model": "m"})
    assert refused.of("error")[0]["error"]["code"] == "insufficient_quota"
    slow = LiveHarness(faults="slow_session seconds=2")
    slow.send("session.start", session={"model": "m"})
    assert slow.advance(1.9) == []
    assert slow.advance(0.1)[0]["type"] == "session.started"


# The streams


@pytest.mark.parametrize("audio_format", FORMATS, ids=NAMES)
def test_its_audio_is_unbroken_and_at_the_pace_of_time(audio_format: AudioFormat) -> None:
    harness = LiveHarness()
    harness.start(audio_format)
    harness.advance(2.0)
    assert harness.audio() == audio_format.silence_of(2000)
    harness.send("session.commentary.append", content="Say: Hello you.", delegation_id=None)
    harness.advance(2.0)
    assert harness.words() == "Hello you."
    audio = harness.audio()
    assert len(audio) == 4000 * audio_format.bytes_per_ms
    assert audio[2000 * audio_format.bytes_per_ms :] != audio_format.silence_of(2000)
    assert len(harness.of("session.output_audio.delta")) == 4000 // FRAME_MS
    assert "event_id" not in harness.of("session.output_audio.delta")[0]


def test_who_sends_nothing_is_told() -> None:
    harness = LiveHarness()
    harness.start()
    harness.advance(GAP_S + 5)
    (info,) = harness.of("info")
    assert info["code"] == "input_audio_gap"
    append(harness, PCMU.silence_of(20))
    harness.advance(GAP_S + 0.2)
    assert len(harness.of("info")) == 2


def test_who_sends_faster_than_time_is_refused() -> None:
    harness = LiveHarness()
    harness.start()
    assert append(harness, PCMU.silence_of(MAX_AHEAD_MS)) == []
    assert error_of(append(harness, PCMU.silence_of(20)))["code"] == "input_audio_too_fast"
    harness.advance(1.0)
    assert append(harness, PCMU.silence_of(1000)) == []


def test_what_is_billed_is_told() -> None:
    harness = LiveHarness()
    harness.start()
    harness.advance(2 * USAGE_S)
    assert [event["usage"]["seconds"] for event in harness.of("session.usage.updated")] == [10, 20]


def test_mute() -> None:
    pair = LivePair()
    pair.far.send("session.input_audio.mute", event_id="m")
    assert pair.far.of("session.input_audio.muted")[0]["client_event_id"] == "m"
    pair.say("tell me a story")
    assert pair.far.of("session.input_transcript.delta") == []
    pair.far.send("session.input_audio.unmute")
    pair.say("tell me a story")
    assert len(pair.far.of("session.input_transcript.delta")) == 1


# What is said


def test_appended_content_is_acknowledged_and_checked() -> None:
    harness = LiveHarness()
    harness.start()
    for kind in ("commentary", "thinking", "instructions"):
        event = harness.send(f"session.{kind}.append", content="x", delegation_id=None, event_id=kind)[0]
        assert (event["type"], event["client_event_id"]) == (f"session.{kind}.appended", kind)
        assert {"start_ms", "end_ms"} <= event.keys()
        assert error_of(harness.send(f"session.{kind}.append", content="x"))["param"] == "delegation_id"
        assert error_of(harness.send(f"session.{kind}.append", content="x", delegation_id="d"))["code"]
        assert error_of(harness.send(f"session.{kind}.append", content="x" * 5000, delegation_id=None))["code"]


def test_the_model_behind_needs_a_delegation() -> None:
    harness = LiveHarness()
    harness.start()
    assert error_of(harness.send("response.create"))["code"] == "invalid_event"
    item = {"type": "function_call_output", "call_id": "c", "output": "x"}
    assert error_of(harness.send("response.item.create", item=item))["code"] == "invalid_tool_call_id"


def test_it_goes_on_only_when_all_is_answered() -> None:
    harness = LiveHarness()
    harness.start(delegation=DELEGATION)
    append(harness, speak("what are your opening hours", PCMU, tuple(harness.server._brain.phrases)))
    harness.advance(1.0)
    append(harness, PCMU.silence_of(600))
    nested = [event["event"]["type"] for event in harness.of("response.event")]
    assert nested == [
        "response.created", "response.output_item.added", "response.function_call_arguments.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    (created,) = harness.of("session.delegation.created")
    assert created["delegation"]["target"] == "responses"
    assert {event["delegation_id"] for event in harness.of("response.event")} == {created["delegation"]["id"]}
    assert error_of(harness.send("response.create"))["code"] == "missing_tool_output"
    call_id = harness.of("response.event")[3]["event"]["item"]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "Open from nine until noon."}
    assert harness.send("response.item.create", item=output) == []
    assert error_of(harness.send("response.item.create", item=output))["code"] == "invalid_tool_call_id"
    harness.send("response.create")
    harness.advance(10)
    assert harness.words().endswith("Open from nine until noon.")


def test_the_model_behind_can_be_changed_and_nothing_else() -> None:
    harness = LiveHarness()
    harness.start(delegation=DELEGATION)
    change = {"delegation": {"type": "responses", "responses": {"tools": []}}}
    (updated,) = harness.send("session.update", session=change, event_id="u")
    assert (updated["type"], updated["client_event_id"]) == ("session.updated", "u")
    assert updated["session"]["delegation"]["responses"] == {"model": "m", "tools": []}
    assert error_of(harness.send("session.update", session={"instructions": "x"}))["code"] == "unknown_parameter"
    other = harness.send("session.update", session={"delegation": {"type": "client"}})
    assert error_of(other)["param"] == "session.delegation.type"


# A session of ours with it


@pytest.mark.parametrize("audio_format", FORMATS, ids=NAMES)
def test_a_conversation(audio_format: AudioFormat) -> None:
    pair = LivePair(audio_format=audio_format)
    assert isinstance(pair.outputs[0], SessionReady)
    pair.session.create_response(now=pair.far.now, instructions="Greet the caller.")
    pair.pass_time(2.0)
    assert pair.far.words().startswith("Hello, this is the Clock Shop")
    pair.say("what are your opening hours")
    assert [event.text for event in pair.of(CallerTranscript)] == ["what are your opening hours"]
    pair.pass_time(10.0)
    words = "".join(event.text for event in pair.of(AgentTranscript))
    assert words == pair.far.words()
    assert words.endswith(OPENING_HOURS)
    assert pair.far.of("error") == pair.far.of("info") == []


def test_a_caller_who_interrupts_silences_the_model_and_not_us() -> None:
    pair = LivePair()
    pair.say("tell me a story")
    pair.pass_time(3.0)
    assert pair.session.has_live_response
    begun = pair.far.words()
    pair.say("wait")
    after = pair.far.words().removeprefix(begun)
    assert len(after) < 100
    sent = {event["type"] for event in pair.sent}
    assert sent == {"session.start", "session.input_audio.append"}
    pair.pass_time(10)
    assert pair.of(CallerTranscript)[-1].text == "wait"
    assert "stopped" in pair.far.words()


def test_a_tool_and_the_goodbye() -> None:
    pair = LivePair(tools=TOOLS)
    pair.say("what are your opening hours")
    (call,) = pair.of(FunctionCallRequested)
    assert call.name == "opening_hours"
    pair.session.send_tool_output(call.function_call_id, "Open from nine until noon.")
    pair.session.create_response(now=pair.far.now)
    pair.settle()
    pair.pass_time(8.0)
    assert pair.far.words().endswith("Open from nine until noon.")
    pair.say("goodbye")
    assert pair.of(FunctionCallRequested)[-1].name == "hang_up"
    pair.pass_time(5.0)
    assert pair.far.words().endswith(GOODBYE)
    assert pair.far.of("error") == pair.far.of("info") == []


def test_another_agent_takes_over() -> None:
    pair = LivePair(tools=TOOLS)
    other = replace(pair.settings, instructions="Now we are the Bakery. " + "Be kind. " * 300, tools=TOOLS[1:])
    pair.session.update(other, now=pair.far.now)
    pair.settle()
    assert pair.of(SessionUpdated) == [SessionUpdated()]
    appended = pair.far.of("session.instructions.appended")
    assert len(appended) == 2  # 500 tokens at a time
    assert [tool["name"] for tool in pair.far.server._tools] == ["hang_up"]
    assert pair.far.of("error") == []


def test_no_silence_of_the_models_is_played() -> None:
    pair = LivePair()
    pair.pass_time(20.0)
    assert pair.of(AudioReceived) == []


def test_an_hour_is_over() -> None:
    pair = LivePair(faults="expire seconds=5")
    pair.pass_time(6.0)
    (failed,) = pair.of(SessionFailed)
    assert (failed.kind, failed.code) == ("transient", "expired")


# Whatever a client sends


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=10), values, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([*EVENTS, "session.weather"]), st.dictionaries(
    st.sampled_from(["session", "audio", "content", "delegation_id", "item", "event_id"]), json_values
))  # fmt: skip
def test_any_event_is_answered_and_none_raises(kind: str, fields: dict[str, Any]) -> None:
    harness = LiveHarness()
    harness.receive(json.dumps({"type": kind, **fields}))
    if not harness.of("session.started") and kind != "session.start":
        harness.start()
        harness.receive(json.dumps({"type": kind, **fields}))
    harness.receive("no json")
    harness.receive(b"\xff\xfe")
    harness.advance(0.3)
