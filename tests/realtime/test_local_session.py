"""The session of the embedded model: its defaults, its configuration, its end, and every request it refuses."""

from typing import Any

import pytest
from realtime.local_harness import DONE, PHONE, UNIX_TIME, Harness, error_of, kinds, only

from sipagent.realtime.local.events import Close
from sipagent.realtime.local.handshake import Accepted
from sipagent.realtime.local.settings import LocalSettings


def update(**session: Any) -> dict[str, Any]:
    return {"type": "realtime", **session}


def test_session_created_shows_the_effective_defaults() -> None:
    harness = Harness().open(session=None)
    assert kinds(harness.events) == ["session.created", "conversation.created"]
    session = harness.events[0]["session"]
    assert session["id"].startswith("sess_")
    assert session["object"] == "realtime.session"
    assert session["model"] == "gpt-realtime-2.1"
    assert session["expires_at"] == int(UNIX_TIME) + 3600
    assert session["output_modalities"] == ["audio"]
    assert (session["tool_choice"], session["max_output_tokens"], session["tools"]) == ("auto", "inf", [])
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["input"]["transcription"] is None
    assert session["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    pcm = {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["output"] == {"format": pcm, "voice": "marin", "speed": 1.0}


def test_update_changes_only_what_was_sent_and_echoes_all() -> None:
    harness = Harness().open(session=None)
    before = harness.events[0]["session"]
    changes = update(instructions="Be brief.", audio={"output": {"speed": 1.2}})
    (updated,) = harness.send("session.update", session=changes)
    assert updated["type"] == "session.updated"
    before["instructions"] = "Be brief."
    before["audio"]["output"]["speed"] = 1.2
    assert updated["session"] == before


def test_fields_are_cleared_by_null_and_empty_values() -> None:
    harness = Harness().open(session=update(instructions="A", tools=[{"type": "function", "name": "look"}]))
    (updated,) = harness.send(
        "session.update", session=update(instructions="", tools=[], audio={"input": {"turn_detection": None}})
    )
    session = updated["session"]
    assert (session["instructions"], session["tools"]) == ("", [])
    assert session["audio"]["input"]["turn_detection"] is None


def test_turn_detection_is_completed_by_the_defaults_of_its_type() -> None:
    harness = Harness().open()
    detection = {"type": "semantic_vad", "eagerness": "low"}
    (updated,) = harness.send("session.update", session=update(audio={"input": {"turn_detection": detection}}))
    assert updated["session"]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": True,
    }


@pytest.mark.parametrize(
    ("session", "code", "param"),
    [
        ({}, "missing_required_parameter", "session.type"),
        ({"type": "live"}, "invalid_value", "session.type"),
        ("realtime", "invalid_type", "session"),
        (None, "missing_required_parameter", "session"),
        (update(input_audio_format="g711_ulaw"), "unknown_parameter", "session.input_audio_format"),
        (update(model="gpt-realtime-3"), "invalid_value", "session.model"),
        (update(output_modalities=["audio", "text"]), "invalid_value", "session.output_modalities"),
        (update(instructions=7), "invalid_type", "session.instructions"),
        (update(audio={"output": {"voice": "fable"}}), "invalid_value", "session.audio.output.voice"),
        (update(audio={"output": {"speed": 2}}), "invalid_value", "session.audio.output.speed"),
        (
            update(audio={"input": {"format": {"type": "audio/opus"}}}),
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (
            update(audio={"input": {"format": {"type": "audio/pcm", "rate": 8000}}}),
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            update(audio={"input": {"format": {"type": "audio/pcmu", "rate": 8000}}}),
            "unknown_parameter",
            "session.audio.input.format.rate",
        ),
        (update(max_output_tokens=0), "invalid_value", "session.max_output_tokens"),
        (update(max_output_tokens=2.5), "invalid_type", "session.max_output_tokens"),
        (update(tools=[{"type": "function"}]), "missing_required_parameter", "session.tools[0].name"),
        (update(tools={}), "invalid_type", "session.tools"),
        (update(tool_choice="perhaps"), "invalid_value", "session.tool_choice"),
    ],
)
def test_a_wrong_update_is_refused_whole(session: Any, code: str, param: str) -> None:
    harness = Harness().open()
    before = harness.events[-1]["session"]
    wrong = session | {"tracing": "auto"} if isinstance(session, dict) else session
    error = error_of(harness.send("session.update", session=wrong, event_id="mine"))
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["event_id"] == "mine"
    (updated,) = harness.send("session.update", session=update())
    assert updated["session"] == before


@pytest.mark.parametrize("model", ["gpt-realtime-1.5", "gpt-realtime-2025-08-28"])
def test_pitfall_17_reasoning_is_for_models_that_reason(model: str) -> None:
    assert kinds(Harness().open(session=update(reasoning={"effort": "low"})).events)[-1] == "session.updated"
    harness = Harness()
    older = Accepted(model, beta=False, number=1)
    harness.server.open(older, now=harness.now, unix_time=UNIX_TIME)
    harness.drain()
    error = error_of(harness.send("session.update", session=update(parallel_tool_calls=True)))
    assert (error["code"], error["param"]) == ("unknown_parameter", "session.parallel_tool_calls")


def test_the_voice_is_fixed_once_it_has_spoken() -> None:
    harness = Harness().open()
    voice = update(audio={"output": {"voice": "cedar"}})
    assert kinds(harness.send("session.update", session=voice)) == ["session.updated"]
    harness.respond()
    other = update(audio={"output": {"voice": "ash"}})
    assert error_of(harness.send("session.update", session=other))["code"] == "cannot_update_voice"
    assert kinds(harness.send("session.update", session=voice)) == ["session.updated"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("[]", "invalid_event"),
        ("{}", "invalid_event"),
        ('{"type": 3}', "invalid_event"),
        ('{"type": "session.close", "event_id": "e1"}', "invalid_value"),
        ('{"type": "output_audio_buffer.clear"}', "invalid_value"),
        ('{"type": "response.cancel", "reason": "bored"}', "unknown_parameter"),
    ],
)
def test_what_is_no_event_is_answered_with_an_error(data: str | bytes, code: str) -> None:
    error = error_of(Harness().open().send_raw(data))
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


def test_the_event_id_is_echoed_in_the_error() -> None:
    error = error_of(Harness().open().send("session.close", event_id="e1"))
    assert (error["param"], error["event_id"]) == ("type", "e1")


def test_the_beta_shape_is_told_off() -> None:
    harness = Harness().open(beta=True, session=None)
    error = only(harness.events, "error")["error"]
    assert error["code"] == "beta_api_shape_disabled"
    assert "no longer supported" in error["message"]
    assert harness.closes == [Close(4000, "beta_api_shape_disabled")]


def test_a_session_expires_in_the_midst_of_speech() -> None:
    harness = Harness(LocalSettings(max_session_s=30.0)).open()
    harness.run(29.5)
    harness.say("tell me a story")
    harness.send("response.create")
    events = harness.run(10.0)
    assert events[-1]["error"]["code"] == "session_expired"
    assert harness.now == pytest.approx(1039.5)
    assert harness.times[-1] == 1030.0
    assert harness.closes == [Close(1001, "session_expired")]
    assert harness.server.get_timer() is None
    assert harness.send("response.create") == []


def test_an_idle_caller_is_spoken_to() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    harness = Harness().open(session=PHONE | {"audio": {**PHONE["audio"], "input": {"turn_detection": detection}}})
    harness.respond()
    done_at = harness.now
    events = harness.run(60.0, until="input_audio_buffer.timeout_triggered")
    assert harness.now - done_at > 5.0
    assert kinds(events)[:3] == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
    ]
    assert only(events, "response.created")["response"]["status"] == "in_progress"
    assert only(harness.run(until=DONE), DONE)["response"]["status"] == "completed"


def test_the_same_seed_gives_the_same_bytes() -> None:
    def record(seed: int) -> list[dict[str, Any]]:
        harness = Harness(seed=seed).open()
        harness.respond()
        harness.say("count to ten")
        harness.respond()
        return harness.events

    assert record(3) == record(3)
    assert record(3) != record(4)
