import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError
from sipagent.formats import PCMA
from sipagent.realtime.events import (
    AgentTranscript,
    AudioDone,
    AudioReceived,
    AudioUnheard,
    BenignError,
    CallerTranscript,
    ErrorReported,
    FunctionCallRequested,
    InputCommitted,
    ResponseCreated,
    ResponseDone,
    ResponseRefused,
    Send,
    ServerSpeechStarted,
    ServerSpeechStopped,
    SessionFailed,
    SessionReady,
)
from sipagent.realtime.session import (
    MAX_FUNCTION_CALLS,
    READY_HANDLERS,
    SETUP_HANDLERS,
    RealtimeSession,
    SessionSettings,
)
from sipagent.realtime.settings import session_object

SETTINGS = SessionSettings(model="gpt-realtime-2.1", instructions="You are Ada.")
AUDIO_100_MS = b"\xff" * 800


class Script:
    """A session, and the server's part read out to it."""

    def __init__(self, settings: SessionSettings = SETTINGS) -> None:
        self.settings = settings
        self.session = RealtimeSession(settings, random=Random(1))
        self.now = 100.0
        self.create_id: str | None = None

    def take(self) -> list[Any]:
        """What came out: events as they are, messages as dicts without their event ids."""
        taken: list[Any] = []
        while (output := self.session.poll()) is not None:
            taken.append(self._message(output.data) if isinstance(output, Send) else output)
        return taken

    def _message(self, data: bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(data)
        event_id = message.pop("event_id", None)
        if message["type"] == "response.create":
            self.create_id = event_id
            assert message["response"].pop("metadata") == {"create_id": event_id}
        return message

    def say(self, kind: str, **fields: Any) -> list[Any]:
        """Let the server say something; return what came out."""
        self.session.receive_text(json.dumps({"type": kind, "event_id": "event_1"} | fields), now=self.now)
        return self.take()

    def error(self, code: str | None, message: str = "", event_id: str | None = None) -> list[Any]:
        error = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event_id}
        return self.say("error", error=error)

    def create(self) -> None:
        self.session.create_response(now=self.now)
        assert self.take() == [{"type": "response.create", "response": {}}]

    def created(self, response_id: str = "resp_1") -> list[Any]:
        return self.say("response.created", response={"id": response_id, "metadata": {"create_id": self.create_id}})

    def done(self, response_id: str = "resp_1", status: str = "completed", **fields: Any) -> list[Any]:
        return self.say("response.done", response={"id": response_id, "status": status, **fields})

    def audio(self, audio: bytes = b"\x7f", response_id: str = "resp_1", item_id: str = "item_1") -> list[Any]:
        delta = b64encode(audio).decode()
        return self.say(
            "response.output_audio.delta", response_id=response_id, item_id=item_id, content_index=0, delta=delta
        )

    def active(self, response_id: str = "resp_1") -> None:
        self.create()
        assert self.created(response_id) == [ResponseCreated(response_id)]


def open_script(settings: SessionSettings = SETTINGS) -> Script:
    script = Script(settings)
    script.session.open(now=script.now)
    return script


def ready_script(settings: SessionSettings = SETTINGS) -> Script:
    script = open_script(settings)
    script.say("session.created", session={"id": "sess_1", "expires_at": 1_800_000_000})
    script.say("session.updated", session=session_object(settings))
    assert script.session.is_ready
    return script


SERVER_VAD = replace(SETTINGS, turn_detection="server")


# Set-up


@pytest.mark.parametrize("settings", [SETTINGS, SERVER_VAD, replace(SETTINGS, audio_format=PCMA)])
def test_setup(settings: SessionSettings) -> None:
    script = Script(settings)
    assert script.session.get_timer() is None
    script.session.open(now=100.0)
    assert script.take() == []
    assert script.session.get_timer() == 105.0
    sent = script.say("session.created", session={"id": "sess_1", "expires_at": 1_800_000_000})
    assert sent == [{"type": "session.update", "session": session_object(settings)}]
    assert not script.session.is_ready
    ready = script.say("session.updated", session=session_object(settings) | {"id": "sess_1"})
    assert ready == [SessionReady("sess_1", 1_800_000_000)]
    assert script.session.is_ready
    assert script.session.get_timer() is None


def test_setup_without_expiry_and_id() -> None:
    script = open_script()
    script.say("session.created", session=None)
    assert script.say("session.updated", session=session_object(SETTINGS)) == [SessionReady("", None)]


@pytest.mark.parametrize(
    ("says_created", "sentence"),
    [
        (False, "the model did not send session.created within 5 s of the connection"),
        (True, "the model did not send an answer to session.update within 5 s of the connection"),
    ],
)
def test_setup_without_answer_is_transient(says_created: bool, sentence: str) -> None:
    script = open_script()
    if says_created:
        script.say("session.created", session={"id": "sess_1"})
    script.session.handle_timer(now=104.9)
    assert script.take() == []
    script.session.handle_timer(now=105.0)
    assert script.take() == [SessionFailed("transient", None, sentence)]
    assert script.session.get_timer() is None
    assert script.session.has_ended


def test_setup_takes_its_time_from_the_settings() -> None:
    assert open_script(replace(SETTINGS, setup_timeout_s=0.25)).session.get_timer() == 100.25


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("invalid_api_key", "Incorrect API key provided", "fatal"),
        ("insufficient_quota", "You exceeded your current quota", "fatal"),
        ("unknown_parameter", "Unknown parameter: 'session.reasoning'.", "fatal"),
        (None, "Invalid modalities", "fatal"),
        ("server_error", "The server had an error", "transient"),
        ("rate_limit_exceeded", "Rate limit reached", "transient"),
        ("session_expired", "", "transient"),
    ],
)
@pytest.mark.parametrize("says_created", [False, True])
def test_setup_refused(code: str | None, message: str, kind: str, says_created: bool) -> None:
    script = open_script()
    if says_created:
        script.say("session.created", session={"id": "sess_1"})
    (failed,) = script.error(code, message)
    assert (failed.kind, failed.code) == (kind, code)
    assert message in failed.message
    assert script.say("session.updated", session=session_object(SETTINGS)) == []


def test_setup_survives_a_benign_error() -> None:
    script = open_script()
    assert script.error("response_cancel_not_active") == [BenignError("response_cancel_not_active", "")]
    assert script.say("session.created", session={})[0]["type"] == "session.update"


def test_pitfall_06_other_formats_than_asked_for_are_fatal() -> None:
    script = open_script()
    script.say("session.created", session={"id": "sess_1"})
    session = session_object(SETTINGS)
    session["audio"]["output"] = {"format": {"type": "audio/pcm", "rate": 24000}}
    (failed,) = script.say("session.updated", session=session)
    assert failed == SessionFailed(
        "fatal",
        None,
        "the model did not take our configuration: audio.output.format is 'audio/pcm', not 'audio/pcmu'",
    )


def test_pitfall_09_nothing_flows_before_session_updated() -> None:
    script = open_script()
    commands: list[Callable[[], object]] = [
        lambda: script.session.append_audio(b"\xff"),
        script.session.commit,
        script.session.clear_input,
        lambda: script.session.create_response(now=0),
        lambda: script.session.cancel_response(now=0),
        lambda: script.session.truncate("item_1", 0, 0),
        lambda: script.session.delete_item("item_1"),
        lambda: script.session.create_message("user", "hi"),
        lambda: script.session.send_tool_output("call_1", "ok"),
    ]
    for says_created in (False, True):
        if says_created:
            script.say("session.created", session={})
        for command in commands:
            with pytest.raises(LocalProtocolError):
                command()
    assert script.say("response.created", response={"id": "resp_0"}) == []
    assert script.take() == []


def test_open_twice_is_illegal() -> None:
    with pytest.raises(LocalProtocolError):
        open_script().session.open(now=0)


def test_nothing_is_heard_before_open() -> None:
    script = Script()
    assert script.say("session.created", session={}) == []


def test_pitfall_16_no_beta_shape() -> None:
    (update,) = open_script().say("session.created", session={})
    assert update["session"]["type"] == "realtime"
    assert not {"modalities", "voice", "input_audio_format", "temperature"} & set(update["session"])


# The end


@pytest.mark.parametrize(
    ("code", "reason", "kind", "message"),
    [
        (4000, "beta_api_shape_disabled", "fatal", "the model closed the connection (4000): beta_api_shape_disabled"),
        (1001, "", "transient", "the model closed the connection (1001)"),
        (1006, "", "transient", "the model closed the connection (1006)"),
        (401, "Unauthorized", "fatal", "the model refused the connection (401): Unauthorized"),
        (0, "no route to host", "transient", "the model cannot be reached (0): no route to host"),
    ],
)
@pytest.mark.parametrize("make", [Script, open_script, ready_script])
def test_connection_lost(make: Callable[[], Script], code: int, reason: str, kind: str, message: str) -> None:
    script = make()
    script.session.connection_lost(code, reason, now=101.0)
    (failed,) = script.take()
    assert (failed.kind, failed.code, failed.message) == (kind, str(code), message)
    script.session.connection_lost(code, reason, now=101.0)
    assert script.take() == []


def test_pitfall_07_expiry_ends_the_session_and_another_will_do() -> None:
    script = ready_script()
    (failed,) = script.error("session_expired", "Your session hit the maximum duration of 60 minutes.")
    assert failed.kind == "transient"
    script.session.connection_lost(1001, "", now=101.0)
    assert script.take() == []


@pytest.mark.parametrize("by_server", [True, False])
def test_after_the_end_all_is_ignored(by_server: bool) -> None:
    script = ready_script()
    script.active()
    if by_server:
        assert isinstance(script.error("insufficient_quota")[0], SessionFailed)
    else:
        script.session.close()
    session = script.session
    session.open(now=0)
    session.append_audio(AUDIO_100_MS)
    assert session.commit() is False
    session.clear_input()
    session.create_response(now=0)
    session.cancel_response(now=0)
    session.truncate("item_1", 0, 0)
    session.delete_item("item_1")
    session.create_message("user", "hi")
    session.send_tool_output("call_1", "ok")
    session.handle_timer(now=1e9)
    session.connection_lost(1006, "", now=0)
    assert script.audio() == []
    assert session.get_timer() is None
    assert session.has_ended
    assert not session.is_ready


# The caller's audio


def test_append_audio() -> None:
    script = ready_script()
    script.session.append_audio(b"\x00\xff")
    assert script.take() == [{"type": "input_audio_buffer.append", "audio": "AP8="}]


def test_pitfall_04_a_commit_under_100_ms_is_not_sent() -> None:
    script = ready_script()
    assert script.session.commit() is False
    script.session.append_audio(AUDIO_100_MS[:-1])
    script.take()
    assert script.session.uncommitted_ms == 99
    assert script.session.commit() is False
    assert script.take() == []
    script.session.append_audio(b"\xff")
    script.take()
    assert script.session.commit() is True
    assert script.take() == [{"type": "input_audio_buffer.commit"}]
    assert script.session.commit() is False
    assert script.say("input_audio_buffer.committed", item_id="item_u1") == [InputCommitted("item_u1")]


def test_pitfall_04_clear_starts_the_count_again() -> None:
    script = ready_script()
    script.session.clear_input()
    assert script.take() == []
    script.session.append_audio(AUDIO_100_MS)
    script.session.clear_input()
    assert [each["type"] for each in script.take()] == ["input_audio_buffer.append", "input_audio_buffer.clear"]
    assert script.session.commit() is False
    assert script.say("input_audio_buffer.cleared") == []


def test_pitfall_04_an_empty_commit_is_benign() -> None:
    script = ready_script()
    message = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio"
    assert script.error("input_audio_buffer_commit_empty", message) == [
        BenignError("input_audio_buffer_commit_empty", message)
    ]
    assert script.session.is_ready


def test_the_acknowledgment_of_a_commit_does_not_count_away_what_came_after_it() -> None:
    script = ready_script()
    script.session.append_audio(AUDIO_100_MS)
    script.session.commit()
    script.session.append_audio(AUDIO_100_MS)
    script.say("input_audio_buffer.committed", item_id="item_1")
    assert script.session.uncommitted_ms == 100


# The sequences of a conversation


def test_sequence_a_server_turn_detection() -> None:
    script = ready_script(SERVER_VAD)
    script.session.append_audio(AUDIO_100_MS)
    script.take()
    started = script.say("input_audio_buffer.speech_started", item_id="item_u1", audio_start_ms=20)
    stopped = script.say("input_audio_buffer.speech_stopped", item_id="item_u1", audio_end_ms=1720)
    assert started == [ServerSpeechStarted("item_u1", 20)]
    assert stopped == [ServerSpeechStopped("item_u1", 1720)]
    assert script.say("input_audio_buffer.committed", item_id="item_u1") == [InputCommitted("item_u1")]
    assert script.session.uncommitted_ms == 0
    assert script.say("conversation.item.added", item={"id": "item_u1"}) == []
    assert script.say("response.created", response={"id": "resp_1", "metadata": None}) == [ResponseCreated("resp_1")]
    assert script.audio() == [AudioReceived("item_1", 0, b"\x7f", "resp_1")]
    assert script.done() == [ResponseDone("resp_1", "completed", None)]
    transcript = "conversation.item.input_audio_transcription.completed"
    assert script.say(transcript, item_id="item_u1", transcript="Hello?") == [CallerTranscript("item_u1", "Hello?")]
    for nothing in (None, ""):
        assert script.say(transcript, item_id="item_u2", transcript=nothing) == [CallerTranscript("item_u2", "")]


def test_sequence_b_turn_detection_off() -> None:
    script = ready_script()
    script.session.append_audio(AUDIO_100_MS)
    script.session.commit()
    script.session.create_response(now=script.now)
    types = ["input_audio_buffer.append", "input_audio_buffer.commit", "response.create"]
    assert [each["type"] for each in script.take()] == types
    assert script.created() == [ResponseCreated("resp_1")]
    assert script.say("response.output_item.added", response_id="resp_1", item={"id": "item_1"}) == []
    assert script.say("response.content_part.added", response_id="resp_1", item_id="item_1") == []
    common = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    words = "response.output_audio_transcript"
    assert script.say(f"{words}.delta", delta="Good ", **common) == [AgentTranscript("item_1", 0, "Good ", False)]
    assert script.audio(b"\x01\x02") == [AudioReceived("item_1", 0, b"\x01\x02", "resp_1")]
    assert script.say("response.output_audio.done", **common) == [AudioDone("item_1", 0)]
    final = script.say(f"{words}.done", transcript="Good day.", **common)
    assert final == [AgentTranscript("item_1", 0, "Good day.", True)]
    item = {"id": "item_1", "type": "message", "status": "completed"}
    assert script.say("response.output_item.done", response_id="resp_1", item=item) == []
    assert script.done(usage={"total_tokens": 3}) == [ResponseDone("resp_1", "completed", {"total_tokens": 3})]
    assert script.say("rate_limits.updated", rate_limits=[]) == []
    assert not script.session.counters


def function_call(status: str | None = "completed", **fields: Any) -> dict[str, Any]:
    item = {"id": "item_f1", "type": "function_call", "name": "look_up", "call_id": "call_1", "arguments": '{"n":1}'}
    return {"response_id": "resp_1", "output_index": 0, "item": item | {"status": status} | fields}


def test_sequence_c_function_call() -> None:
    script = ready_script()
    script.active()
    assert script.say("response.output_item.added", **function_call("in_progress", arguments="")) == []
    assert script.say("response.function_call_arguments.delta", response_id="resp_1", delta='{"n"') == []
    assert script.say("response.function_call_arguments.done", response_id="resp_1", arguments='{"n":1}') == []
    requested = script.say("response.output_item.done", **function_call())
    assert requested == [FunctionCallRequested("call_1", "look_up", '{"n":1}', "resp_1")]
    script.session.send_tool_output("call_1", "found")
    script.session.create_response(now=script.now)
    item = {"type": "function_call_output", "call_id": "call_1", "output": "found"}
    assert script.take() == [{"type": "conversation.item.create", "item": item}]
    done, create = script.done()
    assert isinstance(done, ResponseDone)
    assert create == {"type": "response.create", "response": {}}


def test_sequence_d_barge_in() -> None:
    script = ready_script()
    script.active()
    script.audio()
    script.session.cancel_response(now=script.now)
    script.session.truncate("item_1", 0, 640)
    assert script.take() == [
        {"type": "response.cancel", "response_id": "resp_1"},
        {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 640},
    ]
    assert script.audio() == []
    script.session.create_response(now=script.now)
    assert script.take() == []
    assert script.say("conversation.item.truncated", item_id="item_1", content_index=0, audio_end_ms=640) == []
    done, create = script.done(status="cancelled", status_details={"type": "cancelled", "reason": "client_cancelled"})
    assert done == ResponseDone("resp_1", "cancelled", None, "client_cancelled")
    assert create["type"] == "response.create"


# The pitfalls


def test_pitfall_01_truncate_beyond_the_audio_is_benign() -> None:
    script = ready_script()
    message = "Audio content of 3700ms is already shorter than 3760ms"
    assert script.error("invalid_value", message) == [BenignError("invalid_value", message)]


def test_pitfall_01_any_error_in_answer_to_a_truncate_is_benign() -> None:
    script = ready_script()
    script.session.truncate("item_1", 0, 100)
    output = script.session.poll()
    assert isinstance(output, Send)
    event_id = json.loads(output.data)["event_id"]
    assert script.error("invalid_value", "no", event_id) == [BenignError("invalid_value", "no")]
    assert script.error("invalid_value", "no", "truncate_of_another_client") == [
        ErrorReported("fatal", "invalid_value", "no")
    ]


@pytest.mark.parametrize("audio_end_ms", [-1, 3.5, True, "1"])
def test_pitfall_01_audio_end_ms_is_a_whole_number(audio_end_ms: Any) -> None:
    with pytest.raises(LocalProtocolError):
        ready_script().session.truncate("item_1", 0, audio_end_ms)


def test_pitfall_02_a_second_response_waits_for_the_first() -> None:
    script = ready_script()
    script.active()
    script.session.create_response(now=script.now)
    assert script.take() == []
    assert [type(each) for each in script.done()] == [ResponseDone, dict]


def test_pitfall_02_an_active_response_is_a_benign_error_and_ours_is_asked_again() -> None:
    script = ready_script()
    script.create()
    code = "conversation_already_has_active_response"
    assert script.error(code, "busy", script.create_id) == [BenignError(code, "busy")]
    assert script.session.has_live_response
    assert script.session.get_timer() == 100.5
    script.session.handle_timer(now=100.5)
    assert script.take() == [{"type": "response.create", "response": {}}]


def test_pitfall_03_cancel_before_created() -> None:
    script = ready_script()
    script.create()
    script.session.cancel_response(now=script.now)
    assert script.take() == []
    assert script.created() == [{"type": "response.cancel", "response_id": "resp_1"}]
    assert script.audio() == [AudioUnheard("item_1", 0)]
    assert script.audio() == []
    assert script.done(status="cancelled") == [ResponseDone("resp_1", "cancelled", None)]
    script.active("resp_2")


def test_pitfall_03_a_cancelled_request_that_waits_is_dropped() -> None:
    script = ready_script()
    script.active()
    script.session.create_response(now=script.now)
    script.session.cancel_response(now=script.now)
    assert script.take() == [{"type": "response.cancel", "response_id": "resp_1"}]
    assert script.done(status="cancelled") == [ResponseDone("resp_1", "cancelled", None)]


def test_pitfall_05_cancel_after_the_response_is_done_sends_nothing_and_truncate_does() -> None:
    script = ready_script()
    script.active()
    script.audio(AUDIO_100_MS * 50)
    script.done()
    script.session.cancel_response(now=script.now)
    script.session.truncate("item_1", 0, 1000)
    assert [each["type"] for each in script.take()] == ["conversation.item.truncate"]


def test_pitfall_05_deltas_of_done_and_unknown_responses_are_dropped() -> None:
    script = ready_script()
    script.active()
    assert script.audio(response_id="resp_0") == []
    script.done()
    assert script.audio() == []
    assert script.say("response.output_audio.done", response_id="resp_1", item_id="item_1") == []
    assert script.say("response.output_audio_transcript.delta", response_id="resp_1", delta="x") == []
    assert script.session.counters == {"stale_event": 4}


def test_pitfall_18_a_part_that_begins_after_the_cancel_is_told_as_unheard_once() -> None:
    script = ready_script()
    script.create()
    script.created()
    script.session.cancel_response(now=script.now)
    script.take()
    delta = {"response_id": "resp_1", "content_index": 0, "delta": b64encode(AUDIO_100_MS).decode()}
    assert script.say("response.output_audio.delta", item_id="item_1", **delta) == [AudioUnheard("item_1", 0)]
    assert script.say("response.output_audio.delta", item_id="item_1", **delta) == []


def test_a_part_that_was_heard_before_the_cancel_is_not_told_as_unheard() -> None:
    script = ready_script()
    script.create()
    script.created()
    delta = {"response_id": "resp_1", "item_id": "item_1", "delta": b64encode(AUDIO_100_MS).decode()}
    assert script.say("response.output_audio.delta", **delta) == [AudioReceived("item_1", 0, AUDIO_100_MS, "resp_1")]
    script.session.cancel_response(now=script.now)
    script.take()
    assert script.say("response.output_audio.delta", **delta) == []


def test_pitfall_08_the_greeting_is_asked_for_with_the_persona_kept() -> None:
    script = ready_script()
    script.session.create_response(now=script.now, instructions="Greet the caller.", tools_allowed=False)
    response = {"instructions": "You are Ada.\n\nGreet the caller.", "tool_choice": "none"}
    assert script.take() == [{"type": "response.create", "response": response}]


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
def test_pitfall_13_an_interrupted_function_call_does_not_run(status: str) -> None:
    script = ready_script()
    script.active()
    assert script.say("response.output_item.done", **function_call(status)) == []
    assert script.session.counters == {"interrupted_function_call": 1}


def test_pitfall_13_a_function_call_of_a_cancelled_response_does_not_run() -> None:
    script = ready_script()
    script.active()
    script.session.cancel_response(now=script.now)
    script.take()
    assert script.say("response.output_item.done", **function_call()) == []


@pytest.mark.parametrize("fields", [{"call_id": None}, {"name": ""}, {"type": "message"}])
def test_an_odd_function_call_does_not_run(fields: dict[str, Any]) -> None:
    script = ready_script()
    script.active()
    assert script.say("response.output_item.done", **function_call(**fields)) == []


def test_a_function_call_told_twice_runs_once() -> None:
    script = ready_script()
    script.active()
    assert len(script.say("response.output_item.done", **function_call())) == 1
    assert script.say("response.output_item.done", **function_call()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"n": 10**30}, f'{{"n": {10**30}}}'), (None, ""), ("", ""), ("not json", "not json")]
)
def test_arguments_are_handed_on_as_text(arguments: Any, expected: str) -> None:
    script = ready_script()
    script.active()
    (requested,) = script.say("response.output_item.done", **function_call(None, arguments=arguments))
    assert requested.arguments == expected


@pytest.mark.parametrize("depth", range(900, 1000, 7))
def test_arguments_nested_to_the_limit_are_taken_without_raising(depth: int) -> None:
    script = ready_script()
    script.active()
    arguments = '{"a":' * depth + "1" + "}" * depth
    item = f'{{"type":"function_call","name":"f","call_id":"c","arguments":{arguments}}}'
    event = f'{{"type":"response.output_item.done","response_id":"resp_1","item":{item}}}'
    script.session.receive_text(event, now=script.now)
    assert len(script.take()) + script.session.counters["malformed"] == 1


def test_pitfall_18_several_items_of_a_response_are_told_apart() -> None:
    script = ready_script()
    script.active()
    assert script.audio(item_id="item_1")[0].item_id == "item_1"
    assert script.audio(item_id="item_2")[0].item_id == "item_2"


def test_pitfall_19_the_server_is_told_not_to_interrupt() -> None:
    (update,) = open_script(SERVER_VAD).say("session.created", session={})
    assert update["session"]["audio"]["input"]["turn_detection"]["interrupt_response"] is False


def test_pitfall_22_a_response_that_stalls_is_given_up() -> None:
    script = ready_script()
    script.active()
    script.now = 120.0
    script.audio()
    script.session.handle_timer(now=130.0)
    assert script.take() == []
    script.session.handle_timer(now=150.0)
    assert script.take() == [{"type": "response.cancel", "response_id": "resp_1"}]


def test_pitfall_22_history_is_put_back() -> None:
    script = ready_script()
    script.session.create_message("user", "Hello?")
    script.session.create_message("assistant", "Good day.")
    script.session.create_message("system", "The caller pressed 1.")
    assert [(each["item"]["role"], each["item"]["content"]) for each in script.take()] == [
        ("user", [{"type": "input_text", "text": "Hello?"}]),
        ("assistant", [{"type": "output_text", "text": "Good day."}]),
        ("system", [{"type": "input_text", "text": "The caller pressed 1."}]),
    ]


def test_pitfall_23_a_refused_voice_fails_the_setup() -> None:
    script = open_script(replace(SETTINGS, voice="fable"))
    script.say("session.created", session={})
    (failed,) = script.error("invalid_value", "Invalid value: 'fable'. Supported values are: 'alloy', ...")
    assert failed.kind == "fatal"
    assert "fable" in failed.message


# Errors and oddities of a session that stands


def test_an_invalid_command_is_reported_and_the_session_goes_on() -> None:
    script = ready_script()
    assert script.error("invalid_event", "what?") == [ErrorReported("fatal", "invalid_event", "what?")]
    assert script.error("server_error", "oops") == [ErrorReported("transient", "server_error", "oops")]
    assert script.session.is_ready


def test_a_refused_response_is_told_once() -> None:
    script = ready_script()
    script.create()
    refused = script.error("rate_limit_exceeded", "slow down", script.create_id)
    assert refused == [ResponseRefused("transient", "rate_limit_exceeded", "slow down")]


def test_a_long_message_is_cut() -> None:
    (error,) = ready_script().error("server_error", "x" * 10_000)
    assert len(error.message) == 500


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ping", {}),
        ("conversation.created", {}),
        ("response.output_audio.delta", {"response_id": "resp_1", "delta": ""}),
        ("session.updated", {"session": {}}),
        ("session.created", {"session": {}}),
    ],
)
def test_events_that_mean_nothing_now(kind: str, fields: dict[str, Any]) -> None:
    script = ready_script()
    script.active()
    assert script.say(kind, **fields) == []
    assert not script.session.counters


def test_unknown_and_malformed_messages_are_counted() -> None:
    script = ready_script()
    assert script.say("response.of_tomorrow", item_id="i") == []
    script.session.receive_text(b"\x00", now=0)
    assert script.session.counters == {"unknown_event": 1, "malformed": 1}


def test_missing_names_and_indices_are_tolerated() -> None:
    script = ready_script()
    script.active()
    delta = b64encode(b"\x7f").decode()
    assert script.say("response.output_audio.delta", delta=delta) == [AudioReceived("", 0, b"\x7f", "")]
    assert script.say("response.output_audio.done") == [AudioDone("", 0)]
    assert script.say("response.output_audio_transcript.delta", delta="a") == [AgentTranscript("", 0, "a", False)]
    assert script.say("input_audio_buffer.speech_started") == [ServerSpeechStarted("", 0)]


def test_old_names_are_understood() -> None:
    script = ready_script()
    script.active()
    delta = b64encode(b"\x7f").decode()
    fields = {"response_id": "resp_1", "item_id": "item_1", "content_index": 0}
    assert script.say("response.audio.delta", delta=delta, **fields) == [AudioReceived("item_1", 0, b"\x7f", "resp_1")]
    assert script.say("response.audio_transcript.done", transcript="a", **fields) == [
        AgentTranscript("item_1", 0, "a", True)
    ]


def test_function_call_ids_are_remembered_in_bounds() -> None:
    script = ready_script()
    script.active()
    for serial in range(500):
        script.say("response.output_item.done", **function_call(call_id=f"call_{serial}"))
    assert len(script.session._function_calls) == MAX_FUNCTION_CALLS


def test_delete_item() -> None:
    script = ready_script()
    script.session.delete_item("item_1")
    assert script.take() == [{"type": "conversation.item.delete", "item_id": "item_1"}]


def test_event_ids_are_unlike_those_of_another_session() -> None:
    ids = set()
    for seed in (1, 2):
        session = RealtimeSession(SETTINGS, random=Random(seed))
        session.open(now=0)
        session.receive_text('{"type":"session.created"}', now=0)
        output = session.poll()
        assert isinstance(output, Send)
        ids.add(json.loads(output.data)["event_id"])
    assert len(ids) == 2


# Whatever comes

KINDS = st.sampled_from(
    [
        *SETUP_HANDLERS,
        *READY_HANDLERS,
        "response.output_audio.delta",
        "ping",
        "unheard.of",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["resp_1", "item_1", "completed", "function_call", "failed", "session_expired", "AAAA"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "status", "call_id", "name", "arguments", "code", "message", "metadata"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["session", "response", "item", "error", "delta", "response_id", "item_id", "content_index", "transcript"]
    ),
    VALUES,
    max_size=5,
)


@given(st.lists(st.tuples(KINDS, FIELDS), max_size=12), st.sampled_from([open_script, ready_script]))
def test_any_event_is_taken_without_raising(
    events: list[tuple[str, dict[str, Any]]], make: Callable[[], Script]
) -> None:
    script = make()
    for kind, fields in events:
        assert len(script.say(kind, **fields)) <= 3
    assert set(script.session.counters) <= {
        "malformed",
        "unknown_event",
        "stale_event",
        "odd_function_call",
        "interrupted_function_call",
        "response_refused",
    }


@given(st.binary() | st.text(), st.sampled_from([open_script, ready_script]))
def test_any_bytes_or_text_are_taken_without_raising(data: bytes | str, make: Callable[[], Script]) -> None:
    script = make()
    script.session.receive_text(data, now=script.now)
    assert script.take() == []


@given(st.integers(), st.text())
def test_any_close_is_taken_without_raising(code: int, reason: str) -> None:
    script = ready_script()
    script.session.connection_lost(code, reason, now=script.now)
    (failed,) = script.take()
    assert failed.kind in ("fatal", "transient")
