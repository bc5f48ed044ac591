"""A few words while a tool takes long."""

from typing import Any

import pytest
from call.stage import Stage

from sipagent.call import events
from sipagent.call.stopgap import StopgapSettings

TURN = "." * 15 + "s" * 10 + "." * 30
WORDS = "Say that you are looking."
ANSWER = {"response_id": "resp_3", "item_id": "item_3"}
MEANWHILE = {"response_id": "resp_2", "item_id": "item_2"}


@pytest.fixture
def stage() -> Stage:
    """A call in which the model has just called a tool, and said nothing."""
    stage = Stage(talks={"stopgap": StopgapSettings(WORDS, after_s=1.0)})
    stage.answer()
    stage.hear(TURN)
    stage.respond()
    stage.call_function("lookup")
    stage.done()
    return stage


def creates(stage: Stage) -> list[dict[str, Any]]:
    return [each["response"] for each in stage.sent("response.create")]


def test_it_is_said_once_when_the_tool_takes_longer_and_calls_no_tools(stage: Stage) -> None:
    stage.advance(0.99)
    assert len(creates(stage)) == 1
    stage.advance(0.02)
    assert creates(stage)[1]["instructions"] == WORDS
    assert creates(stage)[1]["tool_choice"] == "none"
    stage.respond("Let me see.", ms=400, **MEANWHILE)
    stage.finish(**MEANWHILE)
    stage.play(400)
    stage.advance(20.0)
    assert len(creates(stage)) == 2


def test_a_tool_that_is_quick_needs_none(stage: Stage) -> None:
    stage.advance(0.9)
    stage.feed(stage.call.tool_finished, "fc", "42")
    stage.respond("42.", ms=200, **ANSWER)
    stage.finish(**ANSWER)
    stage.advance(10.0)
    assert len(creates(stage)) == 2


def test_two_tools_at_once_are_one_wait_and_the_next_is_another(stage: Stage) -> None:
    stage.feed(stage.call.tool_finished, "fc", "42")
    stage.respond(**MEANWHILE)
    stage.call_function("lookup", call_id="fc_2", response_id="resp_2")
    stage.call_function("lookup", call_id="fc_3", response_id="resp_2")
    stage.done(response_id="resp_2")
    stage.advance(3.0)
    assert [each.get("instructions") for each in creates(stage)].count(WORDS) == 1


def test_it_waits_for_the_agents_own_words(stage: Stage) -> None:
    stage.feed(stage.call.tool_finished, "fc", "42")
    stage.respond("I'll look that up for you.", ms=3000, **MEANWHILE)
    stage.call_function("lookup", call_id="fc_2", response_id="resp_2")
    stage.finish(**MEANWHILE)
    stage.play(2900)
    assert len(creates(stage)) == 2
    stage.play(500)
    assert creates(stage)[2]["instructions"] == WORDS


def test_the_caller_comes_first(stage: Stage) -> None:
    stage.hear("." * 15 + "s" * 60)
    assert [each.get("instructions") for each in creates(stage)].count(WORDS) == 0


def test_the_first_sound_of_the_answer_cuts_it_softly_and_the_model_knows(stage: Stage) -> None:
    stage.advance(1.1)
    stage.respond("One moment please, I am looking it up.", ms=4000, **MEANWHILE)
    stage.finish(**MEANWHILE)
    before = stage.play(1000)
    stage.feed(stage.call.tool_finished, "fc", "42")
    stage.play(200)  # goes on until there is something better
    assert not stage.sent("conversation.item.truncate")
    stage.respond("It is 42.", response_id="resp_3")
    audio = stage.speak(600, **ANSWER)
    (truncate,) = stage.sent("conversation.item.truncate")
    assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_2", 1200)
    assert not stage.sent("response.cancel")
    fade = stage.play(20)
    assert fade.endswith(b"\xff" * 120)
    assert stage.play(600) == audio
    assert b"\xff" * 160 not in before
    said = stage.of(events.AgentSaid)
    assert said[0].is_cut
    assert not stage.of(events.BargedIn)


def test_when_the_tool_is_back_before_its_words_are_made_no_more_are(stage: Stage) -> None:
    stage.advance(1.1)
    stage.respond("One moment", ms=200, **MEANWHILE)
    stage.feed(stage.call.tool_finished, "fc", "42")
    assert stage.sent("response.cancel")[-1]["response_id"] == "resp_2"
    assert len(creates(stage)) == 2
    stage.done(response_id="resp_2", status="cancelled")
    assert len(creates(stage)) == 3
    assert "instructions" not in creates(stage)[2]
    stage.respond("It is 42.", response_id="resp_3")
    audio = stage.speak(400, **ANSWER)
    assert stage.play(400) == audio  # of the words nothing had been heard


def test_asked_for_and_not_begun_it_never_is(stage: Stage) -> None:
    stage.advance(1.1)
    stage.feed(stage.call.tool_finished, "fc", "42")
    stage.respond(response_id="resp_2")  # the words, after all
    assert stage.sent("response.cancel")[-1]["response_id"] == "resp_2"
    stage.done(response_id="resp_2", status="cancelled")
    assert "instructions" not in creates(stage)[-1]


def test_a_caller_who_interrupts_it_still_gets_the_answer(stage: Stage) -> None:
    stage.advance(1.1)
    stage.respond("One moment please.", ms=4000, **MEANWHILE)
    stage.finish(**MEANWHILE)
    stage.play(1000)
    stage.hear("." * 15 + "s" * 40 + "." * 40)
    assert stage.of(events.BargedIn)
    stage.respond("Yes?", ms=200, **ANSWER)
    stage.finish(**ANSWER)
    stage.play(200)
    asked = len(creates(stage))
    stage.feed(stage.call.tool_finished, "fc", "42")
    assert len(creates(stage)) == asked + 1


def test_without_the_setting_nothing_is_said() -> None:
    stage = Stage()
    stage.answer()
    stage.hear(TURN)
    stage.respond()
    stage.call_function("lookup")
    stage.done()
    stage.advance(30.0)
    assert len(creates(stage)) == 1
