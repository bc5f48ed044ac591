import json
from random import Random

import numpy as np
import pytest
from call.stage import messages

from sipagent.audio.linear import to_linear
from sipagent.call.events import AgentSaid, AgentStarted, Truncated
from sipagent.call.speaker import Speaker
from sipagent.formats import PCMU
from sipagent.realtime.events import Output
from sipagent.realtime.session import RealtimeSession
from sipagent.realtime.settings import SessionSettings, session_object

SETTINGS = SessionSettings("model")
FRAME = b"\x20" * 160


def drain(session: RealtimeSession) -> list[Output]:
    outputs = []
    while (output := session.poll()) is not None:
        outputs.append(output)
    return outputs


@pytest.fixture
def session() -> RealtimeSession:
    """A session that is ready and has nothing left to send."""
    session = RealtimeSession(SETTINGS, random=Random(1))
    session.open(now=0.0)
    session.receive_text(json.dumps({"type": "session.created"}), now=0.0)
    session.receive_text(json.dumps({"type": "session.updated", "session": session_object(SETTINGS)}), now=0.0)
    drain(session)
    assert session.is_ready
    return session


@pytest.fixture
def speaker(session: RealtimeSession) -> Speaker:
    return Speaker(session=session, audio_format=PCMU)


def test_a_talkspurt_begins_with_its_first_frame_only(speaker: Speaker) -> None:
    assert speaker.next_frame() == (None, False)
    speaker.receive_audio("item", 0, FRAME * 2, now=0.0)
    assert speaker.is_speaking
    assert speaker.queued_ms == 40
    assert [speaker.next_frame() for _ in range(3)] == [(FRAME, True), (FRAME, False), (None, False)]
    assert not speaker.is_speaking
    speaker.receive_audio("next", 0, FRAME, now=1.0)
    assert speaker.next_frame() == (FRAME, True)


def test_a_stop_and_a_start_in_mid_word_make_no_step(speaker: Speaker) -> None:
    speaker.receive_audio("item", 0, FRAME * 9, now=0.0)
    speaker.next_frame()
    assert speaker.next_frame() == (FRAME, False)
    speaker.interrupt(now=0.1)
    remnant, begins = speaker.next_frame()
    assert remnant is not None
    assert not begins
    levels = np.abs(to_linear(remnant, PCMU).astype(int))
    assert levels[0] > 0.98 * abs(int(to_linear(FRAME, PCMU)[0]))
    assert (np.diff(levels[:40]) <= 0).all()
    assert remnant[40:] == b"\xff" * 120
    assert speaker.next_frame() == (None, False), "once"


def test_who_was_silent_leaves_no_remnant(speaker: Speaker) -> None:
    speaker.receive_audio("item", 0, FRAME * 9, now=0.0)
    speaker.interrupt(now=0.1)
    assert speaker.next_frame() == (None, False)


def test_a_word_that_goes_on_after_a_pause_is_raised(speaker: Speaker) -> None:
    speaker.receive_audio("item", 0, FRAME, now=0.0)
    speaker.next_frame()
    speaker.next_frame()
    speaker.receive_audio("item", 0, FRAME, now=1.0)
    frame, begins = speaker.next_frame()
    assert frame is not None
    assert begins
    levels = np.abs(to_linear(frame, PCMU).astype(int))
    assert levels[0] < 100
    assert (np.diff(levels[:40]) >= 0).all()
    assert frame[40:] == FRAME[40:]


def test_facts_come_with_the_frame_that_makes_them_true(speaker: Speaker) -> None:
    speaker.receive_audio("item", 0, FRAME * 2, now=4.0)
    speaker.receive_text("item", 0, "Hello there.", is_final=True)
    speaker.finish_audio("item", 0)
    assert speaker.pop_fact() is None
    speaker.next_frame()
    assert speaker.pop_fact() == AgentStarted("item", 4.0)
    assert speaker.pop_fact() is None
    speaker.next_frame()
    assert speaker.pop_fact() == AgentSaid("Hello there.", 40, is_cut=False)
    assert speaker.pop_fact() is None


def test_a_part_without_words_hides_none_behind_it(speaker: Speaker) -> None:
    for item_id in ("mute", "spoken"):
        speaker.receive_audio(item_id, 0, FRAME[:80], now=0.0)
        speaker.finish_audio(item_id, 0)
    speaker.receive_text("spoken", 0, "Words.", is_final=True)
    speaker.next_frame()
    facts = [speaker.pop_fact() for _ in range(4)]
    assert facts == [
        AgentStarted("mute", 0.0),
        AgentStarted("spoken", 0.0, was_queued=True),
        AgentSaid("Words.", 10, is_cut=False),
        None,
    ]


def test_an_interruption_tells_the_model_what_was_heard(speaker: Speaker, session: RealtimeSession) -> None:
    speaker.receive_audio("first", 0, FRAME * 10, now=0.0)
    speaker.finish_audio("first", 0)
    speaker.receive_text("first", 0, "one two three four", is_final=True)
    speaker.receive_audio("second", 1, FRAME * 5, now=0.0)
    for _ in range(5):
        speaker.next_frame()
    facts = speaker.interrupt(now=0.1)
    assert facts == [
        Truncated("first", 0, audio_end_ms=100, received_ms=200),
        AgentSaid("one two —", 100, is_cut=True),
        Truncated("second", 1, audio_end_ms=0, received_ms=100),
    ]
    sent = messages(drain(session))  # type: ignore[arg-type]
    assert [(m["type"], m["item_id"], m["content_index"], m["audio_end_ms"]) for m in sent] == [
        ("conversation.item.truncate", "first", 0, 100),
        ("conversation.item.truncate", "second", 1, 0),
    ]
    assert (speaker.next_frame()[0] or b"")[40:] == b"\xff" * 120
    assert speaker.next_frame() == (None, False)
    assert not speaker.is_speaking


def test_what_was_heard_to_its_end_is_not_truncated(speaker: Speaker, session: RealtimeSession) -> None:
    speaker.receive_audio("item", 0, FRAME, now=0.0)
    speaker.finish_audio("item", 0)
    speaker.next_frame()
    assert speaker.interrupt(now=0.1) == []
    assert drain(session) == []


def test_after_the_response_nothing_more_comes_of_its_parts(speaker: Speaker, session: RealtimeSession) -> None:
    """The model failed in mid-part and never said that the part is over."""
    speaker.receive_audio("item", 0, FRAME, now=0.0)
    speaker.next_frame()
    speaker.finish_all()
    assert speaker.interrupt(now=0.1) == []
