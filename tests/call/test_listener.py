import json
from base64 import b64decode
from dataclasses import replace
from math import inf
from random import Random
from typing import Any, Literal

import pytest
from call.stage import QUIET, SPEECH

from sipagent.call.listener import MAX_TENTATIVE_MS, Listener, ListenerSettings
from sipagent.call.turn import TurnChange
from sipagent.formats import PCMU
from sipagent.realtime.events import Send
from sipagent.realtime.session import RealtimeSession
from sipagent.realtime.settings import SessionSettings, session_object
from sipagent.rtp.session import Frame

FRAME_S = 0.020


class Ear:
    """A listener, its model's session, and a clock."""

    def __init__(self, detection: Literal["local", "server"] = "local", preroll_ms: int = 300) -> None:
        settings = replace(SessionSettings("model"), turn_detection=detection)
        self.session = RealtimeSession(settings, random=Random(1))
        self.session.open(now=0.0)
        self.session.receive_text(json.dumps({"type": "session.created"}), now=0.0)
        self.session.receive_text(json.dumps({"type": "session.updated", "session": session_object(settings)}), now=0.0)
        assert self.session.is_ready
        self.take()
        self.asked: list[object] = []
        self.listener = Listener(
            ListenerSettings(detection=detection, preroll_ms=preroll_ms),
            session=self.session,
            audio_format=PCMU,
            emit=self.asked.append,
        )
        self.now = 0.0

    def hear(self, pattern: str, *, over_agent: bool = False) -> list[TurnChange | None]:
        """``s`` speech, ``.`` silence, ``x`` a frame that was lost; 20 ms each."""
        changes = []
        for letter in pattern:
            payload = SPEECH if letter == "s" else QUIET["PCMU"]
            frame = Frame(payload, 0, 0, letter == "x", len(payload))
            changes.append(self.judge(frame, over_agent=over_agent))
            self.listener.forward(payload, now=self.now)
            self.now += FRAME_S
        return changes

    def judge(self, frame: Frame, *, over_agent: bool = False) -> TurnChange | None:
        if frame.lost or not frame.payload:
            self.listener.hear_gap(frame, over_agent=over_agent, now=self.now)
            return None
        if not self.listener.hears_speech(frame.payload, over_agent=over_agent, now=self.now):
            return None
        return self.listener.receive_speech(frame.payload, may_interrupt=over_agent, now=self.now)

    def end(self, at: float) -> bool:
        """Let what is due happen; say whether we are to ask for an answer."""
        change = self.listener.handle_timer(now=at)
        return change is TurnChange.STOPPED and self.listener.commit(now=at)

    def take(self) -> list[dict[str, Any]]:
        """What went to the model."""
        sent = []
        while (output := self.session.poll()) is not None:
            if isinstance(output, Send):
                sent.append(json.loads(output.data))
        return sent

    def audio(self) -> bytes:
        """What went to the model as audio."""
        sent = self.take()
        assert {message["type"] for message in sent} <= {"input_audio_buffer.append"}
        return b"".join(b64decode(message["audio"]) for message in sent)


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_silence_stays_here(ear: Ear) -> None:
    assert ear.hear("." * 100) == [None] * 100
    assert ear.take() == []
    assert ear.listener.due_at == inf
    assert ear.listener.level_dbfs == -100.0


def test_a_turn_comes_with_what_was_before_it(ear: Ear) -> None:
    ear.hear("." * 50)
    changes = ear.hear("ssss")
    at = changes.index(TurnChange.STARTED)
    assert ear.listener.is_caller_speaking
    assert ear.listener.onset_at <= 50 * FRAME_S + at * FRAME_S
    preroll = 15 - at
    assert ear.audio() == QUIET["PCMU"] * preroll + SPEECH * 4


def test_a_frame_longer_than_the_preroll_is_no_harm() -> None:
    ear = Ear(preroll_ms=10)
    ear.hear("." * 5)
    ear.hear("sss")
    assert ear.audio().endswith(SPEECH)


def test_the_turn_is_committed_after_the_pause(ear: Ear) -> None:
    ear.hear("." * 20 + "s" * 10)
    ear.audio()
    ear.hear("." * 10)
    assert len(ear.audio()) == 1600
    due_at = ear.listener.due_at
    assert due_at is not None
    assert due_at == pytest.approx(29 * FRAME_S + 0.5, abs=0.041)
    assert not ear.end(due_at - 0.001)
    assert ear.end(due_at)
    assert [message["type"] for message in ear.take()] == ["input_audio_buffer.commit"]
    assert not ear.listener.is_caller_speaking
    assert ear.listener.due_at == inf


def test_too_little_for_the_model_is_taken_back(ear: Ear) -> None:
    """The phone sent three frames and then nothing, not even silence."""
    ear.hear("ssss")
    assert len(ear.audio()) < 800
    due_at = ear.listener.due_at
    assert due_at is not None
    assert not ear.end(due_at)
    assert [message["type"] for message in ear.take()] == ["input_audio_buffer.clear"]


def test_lost_frames_are_no_speech(ear: Ear) -> None:
    assert ear.hear("x" * 50) == [None] * 50


def test_over_the_agents_voice_it_takes_longer_and_nothing_goes_to_the_model_before(ear: Ear) -> None:
    ear.hear("." * 20)
    changes = ear.hear("s" * 31, over_agent=True)
    assert (changes.index(TurnChange.TENTATIVE), changes.index(TurnChange.STARTED)) == (1, 30)
    assert ear.audio() == QUIET["PCMU"] * 14 + SPEECH * 31


def test_what_was_too_short_is_forgotten(ear: Ear) -> None:
    ear.hear("." * 20 + "ssss", over_agent=True)
    ear.hear("." * 12, over_agent=True)
    assert ear.listener.handle_timer(now=ear.now) is TurnChange.WITHDRAWN
    ear.listener.drop()
    assert ear.take() == []
    ear.hear("sss")
    assert len(ear.audio()) == 15 * 160 + 160


def test_what_was_too_short_may_be_given_to_the_model_for_its_words(ear: Ear) -> None:
    ear.hear("." * 20 + "s" * 10 + "." * 12, over_agent=True)
    assert ear.listener.handle_timer(now=ear.now) is TurnChange.WITHDRAWN
    assert ear.listener.commit_aside()
    append, commit = ear.take()
    assert b64decode(append["audio"]) == QUIET["PCMU"] * 14 + SPEECH * 10 + QUIET["PCMU"] * 12
    assert commit["type"] == "input_audio_buffer.commit"


def test_no_more_is_kept_than_anybody_says(ear: Ear) -> None:
    ear.hear(("s" + "." * 10) * 60, over_agent=True)
    assert sum(map(len, ear.listener._preroll)) <= 8 * (300 + MAX_TENTATIVE_MS)


def test_with_the_models_own_detection_it_gets_every_frame() -> None:
    ear = Ear("server")
    ear.hear("..ss..")
    assert len(ear.audio()) == 6 * 160


def test_the_models_own_detection_ends_the_turn() -> None:
    ear = Ear("server")
    changes = ear.hear("ssss" + "." * 30)
    assert TurnChange.STARTED in changes
    ear.take()
    assert not ear.end(ear.now)
    assert not ear.listener.is_caller_speaking
    assert ear.take() == []


def test_pitfall_11_a_phone_that_falls_silent_is_heard_to_be_silent() -> None:
    ear = Ear("server")
    ear.hear("ssss")
    ear.take()
    assert not ear.end(10.0)
    assert ear.audio() == QUIET["PCMU"][:1] * 8 * 700


def test_silence_that_was_not_sent_reaches_the_model_once() -> None:
    """What the model got when the turn ended is not told again by the packet that ends the silence."""
    ear = Ear("server")
    ear.hear("ssss")
    ear.end(10.0)
    ear.take()
    ear.listener.forward_silence(8 * 500, now=10.0)
    assert ear.take() == []
    ear.listener.forward_silence(8 * 500, now=10.0)
    assert ear.audio() == QUIET["PCMU"][:1] * 8 * 300
    ear.listener.forward_silence(8 * 500, now=10.0)
    assert len(ear.audio()) == 8 * 500


def test_after_the_caller_spoke_again_silence_is_told_in_full() -> None:
    ear = Ear("server")
    ear.hear("ssss")
    ear.end(10.0)
    ear.hear("s")
    ear.take()
    ear.listener.forward_silence(8 * 500, now=10.0)
    assert len(ear.audio()) == 8 * 500


def test_silence_that_was_not_sent_is_part_of_the_preroll(ear: Ear) -> None:
    ear.hear("s" + "." * 5)
    frame = Frame(b"", 0, 0, False, 8 * 200)
    assert ear.judge(frame) is None
    ear.listener.forward_silence(frame.samples, now=ear.now)
    ear.hear("ssss")
    assert ear.audio() == QUIET["PCMU"] * 13 + SPEECH * 4


def test_no_more_silence_is_kept_than_preroll(ear: Ear) -> None:
    ear.listener.forward_silence(8 * 30_000, now=ear.now)
    assert sum(len(payload) for payload in ear.listener._preroll) == 8 * 300


def test_forget_takes_a_turn_back(ear: Ear) -> None:
    ear.hear("." * 20 + "s" * 10)
    ear.take()
    ear.listener.forget()
    assert [message["type"] for message in ear.take()] == ["input_audio_buffer.clear"]
    assert not ear.listener.is_caller_speaking
    assert ear.listener.due_at == inf
    ear.listener.forget()
    assert ear.take() == []


def test_forget_drops_what_was_kept_for_a_turn(ear: Ear) -> None:
    ear.hear("." * 20)
    ear.listener.forget()
    ear.hear("ssss")
    assert QUIET["PCMU"] not in ear.audio()
