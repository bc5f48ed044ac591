"""Each dialect against a server that is read out: what is asked of it, what is not, and what is made of its answers."""

from dataclasses import replace
from typing import Any

import pytest
from realtime.test_session import AUDIO_100_MS, Script, open_script

from sipagent.formats import PCM, PCMU, pcm_at
from sipagent.realtime.dialects import AZURE, DIALECTS, OPENAI, PCM_ONLY, XAI, Dialect
from sipagent.realtime.events import (
    AudioReceived,
    AudioUnheard,
    ErrorReported,
    ResponseCreated,
    ResponseDone,
    SessionFailed,
    SessionReady,
)
from sipagent.realtime.settings import SessionSettings, session_object

SETTINGS = SessionSettings(
    model="gpt-realtime-2.1", instructions="Be brief.", noise_reduction="far_field", reasoning_effort="low"
)


def ready(settings: SessionSettings) -> Script:
    script = open_script(settings)
    script.say("session.created", session={"id": "s"})
    script.say("session.updated", session=session_object(settings))
    assert script.session.is_ready
    return script


def test_azure_is_of_the_same_shape_and_says_some_old_names() -> None:
    script = ready(replace(SETTINGS, dialect=AZURE))
    assert session_object(script.settings) == session_object(SETTINGS)
    script.active()
    events = script.say("response.audio.delta", response_id="resp_1", item_id="i", content_index=0, delta="fw==")
    assert events == [AudioReceived("i", 0, b"\x7f", "resp_1")]


def test_azure_without_the_deployment_is_fatal() -> None:
    script = open_script(replace(SETTINGS, dialect=AZURE))
    script.session.connection_lost(401, "Access denied due to invalid subscription key", now=1.0)
    (failed,) = script.take()
    assert failed.kind == "fatal"
    script = open_script(replace(SETTINGS, dialect=AZURE))
    assert script.error("DeploymentNotFound", "no such thing")[0].kind == "fatal"
    script = open_script(SETTINGS)
    assert script.error("DeploymentNotFound", "no such thing")[0].kind == "fatal"  # by its type: invalid


def test_xai_has_voice_and_turn_detection_at_the_top_and_only_what_it_knows() -> None:
    settings = replace(SETTINGS, dialect=XAI, turn_detection="server", voice="ara")
    script = open_script(settings)
    (update,) = script.say("conversation.created", conversation={"id": "c"})
    assert update["session"] == {
        "instructions": "Be brief.",
        "voice": "ara",
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
        },
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "transcription": None},
            "output": {"format": {"type": "audio/pcmu"}},
        },
        "tools": [],
    }
    assert script.say("session.created", session={"id": "s"}) == []
    assert script.say("ping", timestamp=1) == []
    assert script.say("session.updated", session={"voice": "ara"}) == [SessionReady("", None)]


def test_xai_leaves_out_indices_and_usage_and_takes_no_turns_of_ours() -> None:
    script = open_script(replace(SETTINGS, dialect=XAI, turn_detection="server"))
    script.say("session.created", session={"id": "s"})
    script.say("session.updated", session={})
    script.session.append_audio(AUDIO_100_MS)
    script.take()
    assert not script.session.commit()
    script.session.clear_input()
    assert script.take() == []
    assert script.say("response.created", response={"id": "r"}) == [ResponseCreated("r")]  # made by its own detection
    assert script.say("response.output_audio.delta", response_id="r", item_id="i", delta="fw==") == [
        AudioReceived("i", 0, b"\x7f", "r")
    ]
    assert script.say("conversation.item.input_audio_transcription.updated", item_id="u", transcript="Hel") == []
    assert script.session.counters["unknown_event"] == 0
    done = script.say("response.done", response={"id": "r", "status": "completed", "usage": {}})
    assert done == [ResponseDone("r", "completed", {})]


def test_xai_tells_a_wrong_format_all_the_same() -> None:
    script = open_script(replace(SETTINGS, dialect=XAI, turn_detection="server"))
    script.say("session.created", session={"id": "s"})
    wrong = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}}}
    (failed,) = script.say("session.updated", session=wrong)
    assert isinstance(failed, SessionFailed)
    assert "audio.input.format is 'audio/pcm'" in failed.message


def test_xai_errors_are_known_by_their_words() -> None:
    script = open_script(replace(SETTINGS, dialect=XAI, turn_detection="server"))
    assert script.error("400", "Your team has run out of credits.")[0].kind == "fatal"


@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_pcm_server_is_asked_for_its_own_rate(rate: int) -> None:
    dialect = replace(PCM_ONLY, rate=rate)
    settings = replace(SETTINGS, dialect=dialect, audio_format=dialect.format_for(PCMU))
    session = session_object(settings)
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": rate}
    assert "noise_reduction" not in session["audio"]["input"]
    assert "reasoning" not in session
    script = open_script(settings)
    script.say("session.created", session={"id": "s"})
    other = {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 8000}}}}
    (failed,) = script.say("session.updated", session=other)
    assert "audio.output.format.rate is 8000" in failed.message


def test_which_formats_a_dialect_takes() -> None:
    assert OPENAI.format_for(PCMU) is PCMU
    assert OPENAI.format_for(PCM) is PCM
    assert PCM_ONLY.format_for(PCMU) == PCM
    assert replace(PCM_ONLY, rate=16000).format_for(PCM) == pcm_at(16000)


BARE = PCM_ONLY.without("cancel", "truncate", "clear", "commit", "transcription")


@pytest.fixture
def bare() -> Script:
    return ready(replace(SETTINGS, dialect=BARE, audio_format=PCM, turn_detection="server"))


def test_a_server_is_never_asked_for_what_it_lacks(bare: Script) -> None:
    bare.session.append_audio(bytes(48 * 200))
    bare.take()
    bare.active()
    bare.session.clear_input()
    assert not bare.session.commit()
    bare.session.cancel_response(now=bare.now)
    assert bare.session.truncate("i", 0, 10) is False
    assert bare.take() == []
    assert "transcription" not in session_object(bare.settings)["audio"]["input"]


def test_what_still_comes_of_a_response_that_can_not_be_cancelled_is_dropped(bare: Script) -> None:
    bare.active()
    bare.audio(item_id="heard")
    bare.session.cancel_response(now=bare.now)
    assert bare.audio(item_id="heard") == []
    assert bare.audio(item_id="late") == [AudioUnheard("late", 0)]
    assert bare.audio(item_id="late") == []
    bare.session.create_response(now=bare.now)
    assert bare.take() == []  # not before the other one has ended
    events = bare.done()
    assert events[0] == ResponseDone("resp_1", "completed", None)
    assert events[1]["type"] == "response.create"


def test_a_response_that_can_not_be_cancelled_is_waited_for_while_it_lives(bare: Script) -> None:
    bare.active()
    bare.session.cancel_response(now=bare.now)
    bare.session.create_response(now=bare.now)
    for _ in range(5):
        bare.now += 20
        bare.audio(item_id="late")
        bare.session.handle_timer(now=bare.now)
    assert [event for event in bare.take() if isinstance(event, dict)] == []
    bare.now += 31
    bare.session.handle_timer(now=bare.now)
    over, create = bare.take()
    assert over == ResponseDone("resp_1", "cancelled", None, reason="no_answer")
    assert create["type"] == "response.create"


def test_a_stray_response_is_not_cancelled_either(bare: Script) -> None:
    script = ready(replace(SETTINGS, dialect=BARE, audio_format=PCM))
    assert script.say("response.created", response={"id": "stray"}) == []
    assert script.audio(response_id="stray", item_id="i") == [AudioUnheard("i", 0)]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_the_errors_of_a_dialect_are_its_own(dialect: Dialect) -> None:
    """What all servers say alike is understood from each."""
    script = ready(replace(SETTINGS, dialect=replace(dialect, protocol="realtime"), turn_detection="server"))
    assert script.error("rate_limit_exceeded", "Slow down.") == [
        ErrorReported("transient", "rate_limit_exceeded", "Slow down.")
    ]
    events: list[Any] = script.error("session_expired", "Over.")
    assert [event.kind for event in events] == ["transient"]
