import json

import pytest
from call.stage import Stage

from sipagent.agent.builtin import MESSAGE_KEPT
from sipagent.call import events
from sipagent.call.keypad import PAUSE_S


@pytest.fixture
def stage() -> Stage:
    """A call that is up; the model takes up what the caller asked for."""
    stage = Stage(call_tools=["hold", "note"])
    stage.answer()
    stage.hear("." * 20 + "s" * 10 + "." * 30)
    stage.respond("One moment.", ms=200)
    stage.outputs.clear()
    return stage


def hold(stage: Stage, seconds: float = 30.0) -> None:
    """Have the caller wait, once the agent has said so."""
    stage.call_function("hold", call_id="hold", arguments=json.dumps({"seconds": seconds}))
    stage.finish()
    stage.play(400)


def ends(stage: Stage) -> list[str]:
    return [fact.end for fact in stage.of(events.HoldEnded)]


def asked(stage: Stage) -> int:
    return len(stage.sent("response.create"))


def test_the_time_is_up(stage: Stage) -> None:
    hold(stage)
    assert stage.of(events.HoldBegan)
    stage.advance(29.0)
    assert asked(stage) == 0
    stage.advance(1.0)
    assert ends(stage) == ["time"]
    assert stage.of(events.HoldEnded)[0].seconds == pytest.approx(30.0)
    assert stage.of(events.ToolReturned) == [
        events.ToolReturned("hold", "The caller was on hold for 30 s; the wait is over, for the time is up.")
    ]
    assert asked(stage) == 1


def test_the_time_begins_after_the_last_word(stage: Stage) -> None:
    stage.speak(2000)
    stage.call_function("hold", call_id="hold", arguments='{"seconds": 5}')
    stage.finish()
    stage.play(2200)
    stage.advance(4.5)
    assert not ends(stage)
    stage.advance(0.6)
    assert ends(stage) == ["time"]


def test_the_caller_speaks(stage: Stage) -> None:
    hold(stage)
    stage.hear("s" * 10)
    assert ends(stage) == ["speech"]
    assert asked(stage) == 0, "while he speaks"
    stage.hear("." * 30)
    assert asked(stage) == 1


def test_the_caller_presses_a_key(stage: Stage) -> None:
    hold(stage)
    stage.press("1")
    assert ends(stage) == ["key"]
    assert asked(stage) == 0, "there may be more keys"
    stage.advance(PAUSE_S)
    assert asked(stage) == 1
    stage.advance(5.0)
    assert asked(stage) == 1


def test_what_the_caller_waits_for_is_there(stage: Stage) -> None:
    stage.call_function("look_up", call_id="fc_1")
    stage.call_function("look_up", call_id="fc_2")
    hold(stage)
    stage.feed(stage.call.tool_finished, "fc_1", "here")
    assert not ends(stage)
    stage.feed(stage.call.tool_finished, "fc_2", "there")
    assert ends(stage) == ["result"]
    assert asked(stage) == 1


def test_the_call_ends(stage: Stage) -> None:
    hold(stage)
    stage.feed(stage.call.drain)
    assert ends(stage) == ["call"]
    assert asked(stage) == 1, "for the goodbye"


def test_a_second_hold_is_none(stage: Stage) -> None:
    stage.call_function("hold", call_id="hold")
    stage.call_function("hold", call_id="again")
    assert stage.of(events.ToolReturned) == [events.ToolReturned("hold", "The caller is on hold already.")]


def test_arguments_that_do_not_fit(stage: Stage) -> None:
    hold(stage, seconds=7200)
    assert not stage.of(events.HoldBegan)
    (returned,) = stage.of(events.ToolReturned)
    assert returned.output.startswith("The arguments of hold are wrong")
    assert asked(stage) == 1


def test_an_agent_without_the_tool_does_not_have_it() -> None:
    stage = Stage()
    stage.answer()
    stage.hear("s" * 10 + "." * 30)
    stage.respond()
    stage.call_function("hold")
    assert not stage.of(events.HoldBegan)
    assert [run.name for run in stage.of(events.RunTool)] == ["hold"]


def test_the_caller_hears_music(stage: Stage) -> None:
    loud = Stage(call_tools=["hold"], has_music=True)
    loud.answer()
    loud.hear("." * 20 + "s" * 10 + "." * 30)
    loud.respond()
    loud.call_function("hold", call_id="hold", arguments='{"seconds": 3}')
    loud.done()
    loud.play(500)
    assert set(loud.play(500)) - {0xFF, 0x7F}
    loud.advance(3.0)
    loud.play(40)
    assert set(loud.play(200)) == {0xFF}


# Notes and messages


def test_a_note_is_in_the_record(stage: Stage) -> None:
    stage.call_function("note", arguments='{"text": "Wants a\\ncall back."}')
    assert stage.of(events.NoteTaken) == [events.NoteTaken("Wants a call back.")]
    assert not stage.of(events.RunTool)


def test_a_note_beside_words_is_not_spoken_of(stage: Stage) -> None:
    stage.call_function("note", arguments='{"text": "x"}')
    stage.finish()
    stage.play(400)
    assert len(stage.sent("conversation.item.create")) == 1
    assert asked(stage) == 0


def test_after_a_note_alone_the_model_goes_on() -> None:
    stage = Stage(call_tools=["note"])
    stage.answer()
    stage.hear("s" * 10 + "." * 30)
    stage.respond()
    stage.outputs.clear()
    stage.call_function("note", arguments='{"text": "x"}')
    stage.done()
    assert asked(stage) == 1


def test_a_note_that_does_not_fit_is_none(stage: Stage) -> None:
    stage.call_function("note", arguments='{"text": ""}')
    assert not stage.of(events.NoteTaken)


@pytest.mark.parametrize("output", [MESSAGE_KEPT, "The tool take_message failed."])
def test_a_message_that_is_kept_is_told(stage: Stage, output: str) -> None:
    stage.call_function("take_message", arguments='{"name": "Ada", "text": "Call me.", "number": null}')
    assert stage.of(events.RunTool)
    stage.feed(stage.call.tool_finished, "fc", output)
    stage.finish()
    kept = [events.MessageTaken("Ada", "", "Call me.")] if output == MESSAGE_KEPT else []
    assert stage.of(events.MessageTaken) == kept
    assert asked(stage) == 1
