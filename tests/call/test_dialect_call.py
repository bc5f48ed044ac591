"""A call with a model that takes linear samples only and cannot be told to stop."""

from dataclasses import replace
from random import Random

import pytest
from call.stage import INTERRUPTS, Stage, make_leg

from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.settings import CallSettings
from sipagent.realtime.dialects import PCM_ONLY
from sipagent.realtime.settings import SessionSettings


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    dialect = replace(PCM_ONLY.without("cancel", "truncate", "clear"), codecs=frozenset({"PCMU"}))
    conversation = ConversationSettings(
        SessionSettings("m", dialect=dialect), greeting="Greet the caller.", listener=ListenerSettings(echo_guard=False)
    )
    settings = CallSettings(conversation)
    stage.call = Call("call", leg=make_leg(), settings=settings, random=Random(2))
    stage.answer()
    stage.feed(stage.call.receive_ack, b"")
    return stage


def test_an_interruption_is_ours_alone(stage: Stage) -> None:
    stage.respond("A long sentence that nobody hears to its end.", ms=5000)
    stage.play(400)
    stage.hear(INTERRUPTS)
    assert stage.of(events.BargedIn)
    assert stage.sent("response.cancel") == stage.sent("conversation.item.truncate") == []
    assert stage.of(events.Truncated) == []  # nobody was told
    (said,) = stage.of(events.AgentSaid)
    assert said.is_cut
    stage.play(100)
    stage.speak(2000)  # it speaks on, for it cannot know
    stage.speak(2000, item_id="another")
    assert stage.play(200).count(0xFF) == 1600
    assert stage.sent("conversation.item.truncate") == []


def test_the_next_answer_waits_for_the_end_of_the_one_that_nobody_hears(stage: Stage) -> None:
    stage.respond("A long sentence.", ms=5000)
    stage.play(400)
    stage.hear(INTERRUPTS + "." * 40)
    assert len(stage.sent("input_audio_buffer.commit")) == 1
    assert len(stage.sent("response.create")) == 1
    stage.done(status="completed")
    assert len(stage.sent("response.create")) == 2
    stage.respond("Another.", ms=400, response_id="next", item_id="next")
    assert stage.play(400).count(0xFF) < 800
