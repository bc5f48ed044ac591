"""Changes to a session while it talks."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sipagent.formats import PCMA
from sipagent.realtime.events import Send, SessionFailed, SessionUpdated, UpdateRefused
from sipagent.realtime.session import RealtimeSession, SessionSettings
from sipagent.realtime.settings import session_object
from sipagent.realtime.updates import changes

TOOL = {"type": "function", "name": "look_up", "description": "", "parameters": {"type": "object", "properties": {}}}
FIRST = SessionSettings("model", instructions="You are Ada.", tools=(TOOL,), language="en", transcription_model="x")
SECOND = replace(FIRST, instructions="You are Bob.", tools=(), voice="cedar", audio_format=PCMA, language="de")


class Talk:
    """A session that is ready, and the server's part."""

    def __init__(self) -> None:
        self.session = RealtimeSession(FIRST, random=Random(1))
        self.now = 100.0
        self.session.open(now=self.now)
        self.say("session.created", session={"id": "s"})
        self.say("session.updated", session=session_object(FIRST))

    def say(self, kind: str, **fields: Any) -> list[Any]:
        self.session.receive_text(json.dumps({"type": kind, **fields}), now=self.now)
        return self.take()

    def take(self) -> list[Any]:
        taken: list[Any] = []
        while (output := self.session.poll()) is not None:
            taken.append(json.loads(output.data) if isinstance(output, Send) else output)
        return taken

    def update(self, settings: SessionSettings) -> list[Any]:
        self.session.update(settings, now=self.now)
        return self.take()


def confirmed(settings: SessionSettings) -> dict[str, Any]:
    return session_object(replace(settings, voice=FIRST.voice, audio_format=FIRST.audio_format))


def test_only_what_differs_is_sent() -> None:
    (message,) = Talk().update(SECOND)
    assert message["type"] == "session.update"
    assert message["session"] == {
        "type": "realtime",
        "instructions": "You are Bob.",
        "tools": [],
        "audio": {"input": {"transcription": {"model": "x", "language": "de"}}},
    }


def test_voice_format_and_model_stay() -> None:
    """Trap: the server refuses all of an update that names another voice once one was heard."""
    other = replace(FIRST, voice="cedar", audio_format=PCMA, model="another")
    assert Talk().update(other) == [SessionUpdated()]


def test_it_counts_once_the_server_says_so() -> None:
    talk = Talk()
    talk.update(replace(SECOND, turn_detection="server"))
    talk.session.create_response(instructions="Greet.", now=talk.now)
    assert talk.take()[0]["response"]["instructions"] == "You are Ada.\n\nGreet."
    taken = confirmed(replace(SECOND, turn_detection="server"))
    assert talk.say("session.updated", session=taken) == [SessionUpdated()]
    talk.session.cancel_response(now=talk.now)
    assert talk.say("response.created", response={"id": "own"}) != []
    talk.session.append_audio(b"\xff" * 160)
    assert talk.take()[0]["type"] == "input_audio_buffer.append", "the audio goes on"


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"instructions": "You are Ada."}, "the instructions are as they were"),
        ({"tools": [TOOL]}, "the tools are others"),
        ({"audio": {}}, "audio.input.format"),
    ],
)
def test_what_the_server_did_not_take_is_told(told: dict[str, Any], problem: str) -> None:
    talk = Talk()
    talk.update(SECOND)
    (refused,) = talk.say("session.updated", session=confirmed(SECOND) | told)
    assert isinstance(refused, UpdateRefused)
    assert problem in refused.message
    talk.session.create_response(instructions="Greet.", now=talk.now)
    assert talk.take()[0]["response"]["instructions"] == "You are Ada.\n\nGreet."


def test_an_error_refuses_it_and_the_session_goes_on() -> None:
    talk = Talk()
    (message,) = talk.update(SECOND)
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "no", "event_id": message["event_id"]}
    assert talk.say("error", error=error) == [UpdateRefused("invalid_value", "no")]
    assert talk.session.is_ready
    assert talk.session.due_at == float("inf")


def test_an_error_that_ends_the_session_still_does() -> None:
    talk = Talk()
    talk.update(SECOND)
    (failed,) = talk.say("error", error={"code": "session_expired", "message": "over"})
    assert isinstance(failed, SessionFailed)


def test_no_answer_is_an_answer_after_a_while() -> None:
    talk = Talk()
    talk.update(SECOND)
    assert talk.session.due_at == talk.session.get_timer() == talk.now + FIRST.setup_timeout_s
    talk.session.handle_timer(now=talk.now + FIRST.setup_timeout_s)
    assert talk.take() == [UpdateRefused(None, "the model did not answer session.update")]
    assert talk.session.get_timer() is None


def test_the_latest_of_several_follows_the_first() -> None:
    talk = Talk()
    third = replace(SECOND, instructions="You are Eve.")
    talk.update(SECOND)
    assert talk.update(replace(SECOND, instructions="You are Dan.")) == []
    (refused,) = talk.update(third)
    assert refused == UpdateRefused(None, "another change took its place")
    done, message = talk.say("session.updated", session=confirmed(SECOND))
    assert done == SessionUpdated()
    assert message["session"] == {"type": "realtime", "instructions": "You are Eve."}
    assert talk.say("session.updated", session=confirmed(third)) == [SessionUpdated()]


def test_an_echo_that_nobody_awaits_means_nothing() -> None:
    talk = Talk()
    assert talk.say("session.updated", session={}) == []
    assert talk.session.counters == {}


def test_changes() -> None:
    old = {"a": 1, "audio": {"input": {"x": {"y": 1}, "z": 2}, "output": {"v": 1}}, "gone": 3}
    new = {"a": 1, "audio": {"input": {"x": {"y": 2}, "z": 2}, "output": {"v": 1}}}
    assert changes(old, new) == {"audio": {"input": {"x": {"y": 2}}}, "gone": None}
    assert changes(old, old) == {}
