"""Another agent goes on with the call."""

from dataclasses import replace
from typing import Any

import pytest
from call.stage import Stage

from sipagent.call import events
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.conversation import ConversationSettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.staffing import AgentChanged, AgentKept
from sipagent.call.succession import BUSY, GO_ON, AgentChange
from sipagent.call.transfer import TransferSettings
from sipagent.call.turn import TurnSettings
from sipagent.realtime.settings import SessionSettings, session_object
from sipagent.sip.uri import Uri

TOOL = {"type": "function", "name": "price", "description": "", "parameters": {"type": "object", "properties": {}}}
SALES = SessionSettings("model", instructions="You sell.", voice="cedar", tools=(TOOL,), language="de")
CHANGE = AgentChange(
    "sales",
    "reception",
    ConversationSettings(SALES, greeting="Greet as sales."),
    reason="a clock",
    function_call_id="fc",
)


@pytest.fixture
def stage() -> Stage:
    """A call whose agent has said where the call goes, and called the tool."""
    stage = Stage(greeting="Greet.")
    stage.answer()
    stage.respond("I put you through.", ms=400)
    stage.play(40)
    stage.call_function("hand_over", arguments='{"agent": "sales"}')
    stage.finish()
    assert stage.of(events.RunTool)[-1] == events.RunTool("fc", "hand_over", '{"agent": "sales"}')
    return stage


def confirm(stage: Stage, **told: Any) -> None:
    stage.say("session.updated", session=session_object(replace(SALES, voice="marin")) | told)


def test_the_session_becomes_the_other_agent_and_speaks_on(stage: Stage) -> None:
    stage.outputs.clear()
    stage.feed(stage.call.update_agent, CHANGE)
    (update,) = stage.sent()
    assert update["session"] == {"type": "realtime", "instructions": "You sell.", "tools": [TOOL]}
    assert len(stage.play(200)) == 1600, "the sentence that says so is heard"
    confirm(stage)
    assert stage.of(AgentChanged) == [AgentChanged("reception", "sales", "a clock")]
    output, create = stage.sent()[1:]
    assert output["item"]["output"] == "It is done: you are the agent sales now."
    instructions = create["response"]["instructions"]
    assert instructions.startswith("You sell.\n\nYou have taken over this call from the agent reception.")
    assert instructions.endswith("\n\nGreet as sales.")


def test_one_without_a_greeting_says_who_it_is(stage: Stage) -> None:
    change = replace(CHANGE, conversation=replace(CHANGE.conversation, greeting=None))
    stage.feed(stage.call.update_agent, change)
    confirm(stage)
    assert stage.sent("response.create")[-1]["response"]["instructions"].endswith(GO_ON)


def test_the_answer_after_that_follows_its_instructions_alone(stage: Stage) -> None:
    stage.feed(stage.call.update_agent, CHANGE)
    confirm(stage)
    stage.respond("Sales here.", ms=200, response_id="r2", item_id="i2")
    stage.finish(response_id="r2", item_id="i2")
    stage.play(800)
    stage.hear("s" * 20 + "." * 40)
    assert "instructions" not in stage.sent("response.create")[-1]["response"]


def test_a_model_that_does_not_become_it_says_so_and_stays(stage: Stage) -> None:
    """Trap: the caller is told that sales speaks, by the receptionist."""
    stage.feed(stage.call.update_agent, CHANGE)
    confirm(stage, instructions="", tools=[])
    assert not stage.of(AgentChanged)
    ((kept,)) = stage.of(AgentKept)
    assert (kept.agent, "did not take the change" in kept.problem) == ("sales", True)
    output = stage.sent("conversation.item.create")[-1]["item"]
    assert "could not be handed over to sales" in output["output"]
    assert "instructions" not in stage.sent("response.create")[-1]["response"]


def test_a_model_that_says_nothing_of_it_is_not_waited_for(stage: Stage) -> None:
    stage.feed(stage.call.update_agent, CHANGE)
    stage.advance(5.1)
    assert stage.of(AgentKept)[0].problem == "the model did not answer session.update"
    assert len(stage.sent("response.create")) == 2


def test_one_at_a_time(stage: Stage) -> None:
    stage.feed(stage.call.update_agent, CHANGE)
    stage.feed(stage.call.update_agent, replace(CHANGE, agent="support", function_call_id="other"))
    assert stage.of(AgentKept) == [AgentKept("support", BUSY)]
    confirm(stage)
    assert [fact.agent for fact in stage.of(AgentChanged)] == ["sales"]


def test_by_a_command_nothing_is_said(stage: Stage) -> None:
    stage.feed(stage.call.tool_finished, "fc", "never mind")
    before = len(stage.sent("response.create"))
    stage.feed(stage.call.update_agent, replace(CHANGE, function_call_id=""))
    confirm(stage)
    assert stage.of(AgentChanged)
    assert len(stage.sent("response.create")) == before


def test_a_call_that_is_over_changes_no_more(stage: Stage) -> None:
    stage.feed(stage.call.hang_up)
    assert stage.feed(stage.call.update_agent, CHANGE) == []


def test_its_manners_are_its_own(stage: Stage) -> None:
    """Turns end by its silence, and its voice can't be interrupted."""
    manners = replace(
        CHANGE.conversation,
        listener=ListenerSettings(turn=TurnSettings(end_silence_ms=1500)),
        barge_in=BargeInSettings(enabled=False),
    )
    stage.feed(stage.call.update_agent, replace(CHANGE, conversation=manners))
    confirm(stage)
    stage.respond("Sales here.", ms=2000, response_id="r2", item_id="i2")
    stage.play(600)
    stage.hear("s" * 20)
    assert not stage.of(events.BargedIn)
    stage.hear("." * 50)
    assert not stage.of(events.SpeechStopped)
    stage.hear("." * 30)
    assert stage.of(events.SpeechStopped)


def test_its_transfers_are_its_own(stage: Stage) -> None:
    boss = TransferSettings({"boss": Uri.parse("sip:boss@home.example")})
    stage.feed(stage.call.update_agent, replace(CHANGE, transfer=boss))
    confirm(stage)
    stage.respond("To the boss.", ms=100, response_id="r2", item_id="i2")
    stage.call_function("transfer", call_id="fc2", arguments='{"destination": "boss"}', response_id="r2")
    stage.finish(response_id="r2", item_id="i2")
    stage.play(1500)
    assert [refer.target.host for refer in stage.of(events.Refer)] == ["home.example"]


def test_a_session_that_takes_the_place_of_a_lost_one_is_the_same_agent(stage: Stage) -> None:
    stage.feed(stage.call.update_agent, CHANGE)
    confirm(stage)
    stage.respond("Sales here.", ms=200, response_id="r2", item_id="i2")
    stage.finish(response_id="r2", item_id="i2")
    stage.play(800)
    stage.feed(stage.call.model_lost, 1006, "gone", stage.connection)
    stage.advance(0.2)
    stage.connect_again()
    stage.advance(0.05)
    (update,) = stage.sent_on(stage.connection, "session.update")
    assert update["session"]["instructions"] == "You sell."
    assert update["session"]["audio"]["output"]["voice"] == "marin"
    assert update["session"]["tools"] == [TOOL]
    assert len(stage.of(AgentChanged)) == 1


def test_a_change_in_whose_midst_the_session_is_lost_comes_about_in_the_next(stage: Stage) -> None:
    """Trap: the model's word for it never comes, and no agent can be changed to any more."""
    stage.feed(stage.call.update_agent, CHANGE)
    stage.play(800)
    stage.feed(stage.call.model_lost, 1006, "gone", stage.connection)
    stage.advance(0.2)
    stage.connect_again()
    stage.advance(0.05)
    begun, changed = stage.sent_on(stage.connection, "session.update")
    assert begun["session"]["instructions"] == ""
    assert changed["session"] == {"type": "realtime", "instructions": "You sell.", "tools": [TOOL]}
    confirm(stage)
    assert [fact.agent for fact in stage.of(AgentChanged)] == ["sales"]
    (create,) = stage.sent_on(stage.connection, "response.create")
    assert create["response"]["instructions"].endswith("Greet as sales.")
