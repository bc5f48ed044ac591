"""Our side of GPT-Live against a server that is read out."""

import json
from base64 import b64decode, b64encode
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from realtime.live_harness import TOOLS

from sipagent.errors import LocalProtocolError
from sipagent.formats import PCMA, PCMU, pcm_at
from sipagent.realtime.dialects import LIVE
from sipagent.realtime.events import (
    AgentTranscript,
    AudioReceived,
    BenignError,
    CallerTranscript,
    ErrorReported,
    FunctionCallRequested,
    ResponseCreated,
    ResponseDone,
    Send,
    SessionFailed,
    SessionReady,
    SessionUpdated,
    UpdateRefused,
)
from sipagent.realtime.live import CALLER_PAUSE_S, HANDLERS, LINGER_S, NOBODY, SPEECH_S, STOP, LiveSession
from sipagent.realtime.live_backend import LIMIT_S, MAX_CALLS
from sipagent.realtime.live_output import END_MS
from sipagent.realtime.live_protocol import MAX_CONTENT_CHARACTERS
from sipagent.realtime.live_updates import PREFACE
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.settings import SessionSettings

SETTINGS = SessionSettings("gpt-live-1", "Be brief.", dialect=LIVE)
VOICE = b"\x0f\x8f" * 400
SILENCE = PCMU.silence_of(100)


class Script:
    """A session, and the server's part read out to it."""

    def __init__(self, settings: SessionSettings = SETTINGS) -> None:
        self.session = LiveSession(settings, random=Random(1))
        self.now = 100.0
        self.event_ids: dict[str, str] = {}

    def take(self) -> list[Any]:
        taken: list[Any] = []
        while (output := self.session.poll()) is not None:
            if isinstance(output, Send):
                message = json.loads(output.data)
                self.event_ids[message["type"]] = message.pop("event_id", "")
                taken.append(message)
            else:
                taken.append(output)
        return taken

    def say(self, kind: str, **fields: Any) -> list[Any]:
        self.session.receive_text(json.dumps({"type": kind, "event_id": "e", **fields}), now=self.now)
        return self.take()

    def voice(self, audio: bytes = VOICE) -> list[Any]:
        return self.say("session.output_audio.delta", delta=b64encode(audio).decode())

    def silence(self, ms: int = END_MS) -> list[Any]:
        return [event for _ in range(ms // 100) for event in self.voice(SILENCE)]

    def behind(self, kind: str, delegation_id: str = "d", **fields: Any) -> list[Any]:
        return self.say("response.event", event={"type": kind, **fields}, delegation_id=delegation_id)

    def call(self, call_id: str = "c", name: str = "find", arguments: str = "{}") -> list[Any]:
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        return self.behind("response.output_item.done", item={**item, "status": "completed"})

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass; what is sent of silence is left out."""
        until = self.now + seconds
        while (due_at := self.session.get_timer()) is not None and due_at <= until:
            self.now = due_at
            self.session.handle_timer(now=due_at)
        self.now = until
        return [event for event in self.take() if not is_append(event)]


def is_append(event: Any) -> bool:
    return isinstance(event, dict) and event["type"] == "session.input_audio.append"


def ready(settings: SessionSettings = SETTINGS) -> Script:
    script = Script(settings)
    script.session.open(now=script.now)
    script.take()
    script.say("session.started", session={"id": "live_1", "expires_at": 5})
    assert script.session.is_ready
    return script


@pytest.fixture
def script() -> Script:
    return ready()


def test_it_is_a_model_session() -> None:
    session: ModelSession = LiveSession(SETTINGS, random=Random(1))
    assert session.is_full_duplex


# Set-up and end


def test_setup() -> None:
    script = Script(replace(SETTINGS, voice="voice_1", audio_format=PCMA))
    script.session.open(now=script.now)
    assert script.take() == [
        {
            "type": "session.start",
            "session": {
                "model": "gpt-live-1",
                "instructions": "Be brief.",
                "audio": {"format": {"type": "audio/pcma", "rate": 8000}, "output": {"voice": {"id": "voice_1"}}},
                "store": False,
            },
        }
    ]
    session = {"id": "live_1", "expires_at": 5, "audio": {"format": {"type": "audio/pcma", "rate": 8000}}}
    assert script.say("session.started", session=session) == [SessionReady("live_1", 5)]
    assert script.say("session.started", session=session) == []


def test_tools_go_to_the_model_behind() -> None:
    script = Script(replace(SETTINGS, tools=TOOLS, max_output_tokens=100, delegation_model="gpt-x"))
    script.session.open(now=script.now)
    (start,) = script.take()
    assert start["session"]["delegation"] == {
        "type": "responses",
        "responses": {
            "model": "gpt-x",
            "instructions": "Be brief.",
            "tools": list(TOOLS),
            "tool_choice": "auto",
            "max_output_tokens": 100,
        },
    }


def test_another_format_is_fatal() -> None:
    script = Script(replace(SETTINGS, audio_format=pcm_at(16000)))
    script.session.open(now=script.now)
    script.take()
    (failed,) = script.say(
        "session.started", session={"audio": {"format": {"type": "audio/pcm", "rate": 24000}}}
    )
    assert failed.kind == "fatal"
    assert "('audio/pcm', 24000), not 'audio/pcm' at 16000 Hz" in failed.message


def test_no_answer_is_transient() -> None:
    script = Script()
    script.session.open(now=script.now)
    script.take()
    assert script.session.get_timer() == script.now + 5.0
    (failed,) = script.wait(5.0)
    assert failed == SessionFailed("transient", None, "the model did not send session.started within 5 s")
    assert script.session.has_ended
    assert script.session.get_timer() is None


def test_a_refused_start_is_fatal() -> None:
    script = Script()
    script.session.open(now=script.now)
    (failed,) = script.say("error", error={"code": "unknown_parameter", "message": "No.", "type": "invalid"})[1:]
    assert (failed.kind, failed.code) == ("fatal", "unknown_parameter")
    assert failed.message == "the model refused our configuration: No."


def test_commands_before_it_is_ready_are_a_bug() -> None:
    script = Script()
    for command in (
        lambda: script.session.append_audio(b"x"),
        lambda: script.session.create_response(now=0.0),
        lambda: script.session.create_message("user", "x"),
        lambda: script.session.send_tool_output("c", "x"),
        lambda: script.session.update(SETTINGS, now=0.0),
    ):
        with pytest.raises(LocalProtocolError):
            command()
    script.session.open(now=0.0)
    with pytest.raises(LocalProtocolError):
        script.session.open(now=0.0)


@pytest.mark.parametrize("reason", ["expired", "content", "remote_hangup", "connection_lost", "something"])
def test_the_server_ends_it(script: Script, reason: str) -> None:
    (failed,) = script.say("session.closed", reason=reason, session={}, usage={"seconds": 7})
    assert (failed.kind, failed.code) == ("transient", reason)
    assert script.session.usage_s == 7
    script.session.append_audio(VOICE)
    script.session.create_response(now=script.now)
    script.session.send_tool_output("c", "late")
    assert script.voice() == []


def test_a_connection_that_is_lost(script: Script) -> None:
    script.session.connection_lost(1006, "broke", now=script.now)
    script.session.connection_lost(1006, "broke", now=script.now)
    assert script.take() == [SessionFailed("transient", "1006", "the model closed the connection (1006): broke")]


def test_close_tells_the_server(script: Script) -> None:
    script.session.close()
    assert script.take() == [{"type": "session.close"}]
    script.session.close()
    assert script.take() == []


# Hearing


def test_audio_goes_out_as_it_comes(script: Script) -> None:
    script.session.append_audio(b"\x01\x02")
    assert script.take() == [{"type": "session.input_audio.append", "audio": b64encode(b"\x01\x02").decode()}]
    script.session.append_audio(b"")
    assert script.take() == []


def test_silence_goes_out_where_nothing_comes(script: Script) -> None:
    script.now += 0.1
    script.session.handle_timer(now=script.now)
    (append,) = script.take()
    assert b64decode(append["audio"]) == PCMU.silence_of(100)


def test_there_are_no_turns(script: Script) -> None:
    script.session.append_audio(VOICE)
    script.take()
    assert not script.session.commit()
    script.session.clear_input()
    script.session.delete_item("i")
    assert script.session.truncate("i", 0, 10) is False
    assert script.session.server_silence_ms == 0
    assert script.take() == []


def test_what_the_caller_said_is_told_when_he_pauses(script: Script) -> None:
    assert script.say("session.input_transcript.delta", delta="Good ", start_ms=0, end_ms=1) == []
    assert script.wait(CALLER_PAUSE_S / 2) == []
    assert script.say("session.input_transcript.delta", delta="day.", start_ms=0, end_ms=1) == []
    assert script.wait(CALLER_PAUSE_S) == [CallerTranscript("", "Good day.")]
    assert script.wait(5) == []


def test_what_the_caller_said_comes_before_the_answer(script: Script) -> None:
    script.say("session.input_transcript.delta", delta="Hi.", start_ms=0, end_ms=1)
    assert script.voice()[:2] == [CallerTranscript("", "Hi."), ResponseCreated("live_response_1")]


# Speaking


def test_an_utterance_is_a_response(script: Script) -> None:
    created, received = script.voice()
    assert created == ResponseCreated("live_response_1")
    assert isinstance(received, AudioReceived)
    assert received.response_id == "live_response_1"
    assert script.session.has_live_response
    assert script.say("session.output_transcript.delta", delta="Hello", start_ms=0, end_ms=1) == [
        AgentTranscript("utterance_1", 0, "Hello", final=False)
    ]
    script.say("session.usage.updated", usage={"seconds": 12})
    assert script.silence()[-1] == ResponseDone("live_response_1", "completed", {"seconds": 12.0})
    assert not script.session.has_live_response
    script.say("session.usage.updated", usage={"seconds": 15})
    script.voice()
    assert script.silence()[-1] == ResponseDone("live_response_2", "completed", {"seconds": 3.0})  # since then


def test_the_greeting_is_asked_for_by_commentary(script: Script) -> None:
    script.session.create_response(now=script.now, instructions="Greet the caller.")
    assert script.take() == [
        {"type": "session.commentary.append", "content": "Greet the caller.", "delegation_id": None}
    ]
    assert script.session.has_live_response
    script.wait(SPEECH_S)
    assert not script.session.has_live_response  # it chose not to


def test_to_ask_for_nothing_in_particular_is_nothing(script: Script) -> None:
    script.session.create_response(now=script.now)
    assert script.take() == []
    assert not script.session.has_live_response


def test_what_the_caller_did_is_known_and_spoken_of_when_asked(script: Script) -> None:
    script.session.create_message("user", "The caller pressed 1.")
    script.session.create_message("assistant", "Hello.")
    script.session.create_message("system", "It is late.")
    said = [(event["type"], event["content"]) for event in script.take()]
    assert said == [
        ("session.thinking.append", "The caller pressed 1."),
        ("session.thinking.append", "You said: Hello."),
        ("session.thinking.append", "It is late."),
    ]
    script.session.create_response(now=script.now)
    (commentary,) = script.take()
    assert (commentary["type"], commentary["content"]) == ("session.commentary.append", "The caller pressed 1.")
    script.session.create_response(now=script.now)
    assert script.take() == []


def test_no_more_is_appended_than_the_server_takes(script: Script) -> None:
    script.session.create_message("user", "x" * 10_000)
    assert len(script.take()[0]["content"]) == MAX_CONTENT_CHARACTERS


def test_what_is_cancelled_is_not_heard_to_its_end_and_the_model_is_asked_to_stop(script: Script) -> None:
    script.session.cancel_response(now=script.now)
    assert script.take() == []  # nothing is being said
    script.voice()
    script.session.cancel_response(now=script.now)
    assert script.take() == [{"type": "session.instructions.append", "content": STOP, "delegation_id": None}]
    assert script.voice() == []
    outputs = script.silence()
    assert not any(isinstance(event, AudioReceived | dict) for event in outputs)
    assert isinstance(outputs[-1], ResponseDone)
    assert isinstance(script.voice()[-1], AudioReceived)


def test_what_is_asked_for_after_a_cancellation_is_heard(script: Script) -> None:
    script.voice()
    script.session.cancel_response(now=script.now)
    script.session.create_response(now=script.now, instructions="Say it.")
    script.take()
    assert isinstance(script.voice()[-1], AudioReceived)  # with no pause between the two


# Tools


def test_a_tool_by_delegation(script: Script) -> None:
    assert script.say("session.delegation.created", delegation={"id": "d", "target": "responses"}, offset_ms=1) == []
    assert script.behind("response.created", response={"id": "r"}) == []
    assert script.call(arguments='{"day":"monday"}') == [
        ResponseCreated("live_response_1"),
        FunctionCallRequested("c", "find", '{"day":"monday"}', "live_response_1"),
    ]
    script.session.send_tool_output("c", "found")
    assert script.take() == [
        {
            "type": "response.item.create",
            "item": {"type": "function_call_output", "call_id": "c", "output": "found"},
        }
    ]
    script.session.create_response(now=script.now)
    assert script.take() == []  # it still speaks of its calls
    assert script.behind("response.completed", response={"id": "r"}) == [{"type": "response.create"}]
    assert script.session.has_live_response
    created = script.voice()
    assert [type(event) for event in created] == [AudioReceived]  # what it says of it is of the same response
    assert isinstance(script.silence()[-1], ResponseDone)


def test_after_a_call_of_which_nothing_is_said_the_response_is_over_in_a_while(script: Script) -> None:
    script.behind("response.created")
    script.call()
    script.behind("response.completed")
    assert script.wait(LINGER_S / 2) == []
    assert script.wait(LINGER_S) == [ResponseDone("live_response_1", "completed", {"seconds": 0.0})]


def test_a_call_told_twice_or_broken_off_runs_once_or_never(script: Script) -> None:
    script.call("c")
    assert script.call("c") == []
    item = {"type": "function_call", "call_id": "x", "name": "find", "status": "incomplete"}
    assert script.behind("response.output_item.done", item=item) == []
    assert script.behind("response.output_item.done", item={"type": "message"}) == []
    assert script.behind("response.output_item.done", item={"type": "function_call", "call_id": "y"}) == []
    for number in range(3 * MAX_CALLS):
        script.call(str(number))
    assert len(script.session._backend._calls) == MAX_CALLS


def test_the_output_of_a_call_of_an_earlier_session_is_only_told(script: Script) -> None:
    script.session.create_function_call("old", "find", "{}")
    script.session.send_tool_output("old", "found")
    assert [event["type"] for event in script.take()] == ["session.thinking.append"] * 2
    script.session.create_response(now=script.now)
    assert script.take() == []


def test_a_model_behind_that_falls_silent_is_not_waited_for_for_ever(script: Script) -> None:
    script.behind("response.created")
    assert script.session.has_live_response
    script.wait(LIMIT_S - 1)
    assert script.session.has_live_response
    script.wait(1)
    assert not script.session.has_live_response


def test_a_model_behind_that_fails_is_told(script: Script) -> None:
    script.behind("response.created")
    failed = script.behind(
        "response.failed", response={"error": {"code": "rate_limit_exceeded", "message": "Slow."}}
    )
    assert failed == [ErrorReported("transient", "rate_limit_exceeded", "Slow.")]
    assert not script.session.has_live_response


def test_without_tools_a_task_is_given_back(script: Script) -> None:
    (answer,) = script.say("session.delegation.created", delegation={"id": "d", "target": "client"}, offset_ms=1)
    assert answer == {"type": "session.commentary.append", "content": NOBODY, "delegation_id": "d"}


# Changes


WITH_TOOLS = replace(SETTINGS, tools=TOOLS)


def test_other_instructions_are_added_and_other_tools_take_their_place() -> None:
    script = ready(WITH_TOOLS)
    script.session.update(replace(WITH_TOOLS, instructions="Be kind.", tools=TOOLS[:1]), now=script.now)
    appended, update = script.take()
    assert (appended["type"], appended["content"]) == ("session.instructions.append", f"{PREFACE}Be kind.")
    assert update["type"] == "session.update"
    assert update["session"] == {
        "delegation": {"type": "responses", "responses": {"instructions": "Be kind.", "tools": list(TOOLS[:1])}}
    }
    event_id = script.event_ids["session.update"]
    assert script.say("session.updated", session={}, client_event_id="other") == []
    assert script.say("session.updated", session={}, client_event_id=event_id) == [SessionUpdated()]
    assert script.say("session.updated", session={}) == []


def test_a_change_that_is_refused_or_not_answered() -> None:
    script = ready(WITH_TOOLS)
    other = replace(WITH_TOOLS, instructions="Be kind.")
    script.session.update(other, now=script.now)
    script.take()
    script.session.update(other, now=script.now)
    assert script.take() == [UpdateRefused(None, "another change is under way")]
    error = {"code": "invalid_value", "message": "No.", "client_event_id": script.event_ids["session.update"]}
    assert script.say("error", error=error) == [UpdateRefused("invalid_value", "No.")]
    script.session.update(other, now=script.now)
    script.take()
    assert script.wait(5.0) == [UpdateRefused(None, "the model did not answer session.update")]


def test_without_a_model_behind_there_are_no_tools_to_change(script: Script) -> None:
    script.session.update(replace(SETTINGS, tools=TOOLS), now=script.now)
    (refused,) = script.take()
    assert isinstance(refused, UpdateRefused)
    script.session.update(replace(SETTINGS, instructions="Be kind."), now=script.now)
    appended, updated = script.take()
    assert (appended["type"], updated) == ("session.instructions.append", SessionUpdated())
    script.session.update(replace(SETTINGS, instructions="Be kind."), now=script.now)
    assert script.take() == [SessionUpdated()]


# Errors


def test_an_error_is_told_and_the_session_goes_on(script: Script) -> None:
    script.session.create_response(now=script.now, instructions="Say it.")
    script.take()
    event_id = script.event_ids["session.commentary.append"]
    error = {"code": None, "type": "invalid_request_error", "message": "Too long.", "client_event_id": event_id}
    assert script.say("error", error=error) == [ErrorReported("fatal", None, "Too long.")]
    assert not script.session.has_live_response  # it is not waited for any more
    benign = {"code": "response_cancel_not_active", "message": ""}
    assert script.say("error", error=benign) == [BenignError("response_cancel_not_active", "")]
    assert script.session.is_ready


def test_a_fatal_error_ends_it(script: Script) -> None:
    (failed,) = script.say("error", error={"code": "insufficient_quota", "message": "Pay."})
    assert failed == SessionFailed("fatal", "insufficient_quota", "Pay.")


def test_what_is_unknown_or_broken_is_counted(script: Script) -> None:
    assert script.say("session.weather.changed") == []
    assert script.say("info", code="x", message="y") == []
    script.session.receive_text("no json", now=script.now)
    script.session.receive_text('{"type":"session.output_audio.delta","delta":"***"}', now=script.now)
    assert script.session.counters == {"unknown_event": 1, "malformed": 2}


@given(st.recursive(st.none() | st.text(max_size=8) | st.integers(), lambda v: st.lists(v) | st.dictionaries(
    st.sampled_from(["type", "session", "error", "event", "item", "delegation", "usage", "delta", "reason", "audio"]), v
), max_leaves=8), st.sampled_from(sorted(HANDLERS)))  # fmt: skip
def test_any_event_is_taken_without_raising(value: Any, kind: str) -> None:
    script = ready()
    fields = value if isinstance(value, dict) else {"session": value, "error": value, "event": value, "usage": value}
    script.session.receive_text(json.dumps({**fields, "type": kind}), now=1.0)
    script.session.receive_text(json.dumps(value), now=1.0)
    script.take()
