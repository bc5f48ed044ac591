from collections.abc import Callable
from random import Random

import pytest
from call.stage import INTERRUPTS, Stage, messages

from sipagent.call import events
from sipagent.call.keypad import Keypad
from sipagent.call.tool_calls import NOT_RUN, ToolCalls
from sipagent.call.waiting import Waiting
from sipagent.formats import PCMU
from sipagent.realtime.events import FunctionCallRequested
from sipagent.realtime.session import RealtimeSession
from sipagent.realtime.settings import SessionSettings


@pytest.fixture
def stage() -> Stage:
    """A call that is up; the model takes up what the caller asked for."""
    stage = Stage(key_tools=["collect_digits"])
    stage.answer()
    stage.hear("." * 20 + "s" * 10 + "." * 30)
    stage.respond()
    stage.outputs.clear()
    return stage


def finish(stage: Stage, call_id: str = "fc", output: str = "here") -> None:
    stage.feed(stage.call.tool_finished, call_id, output)


def outputs_told(stage: Stage) -> list[str]:
    return [message["item"]["call_id"] for message in stage.sent("conversation.item.create")]


def asked(stage: Stage) -> int:
    """How many responses were asked for since the outputs were cleared."""
    return len(stage.sent("response.create"))


# A batch


def test_a_quick_result_waits_for_the_calls_that_the_response_has_yet_to_make(stage: Stage) -> None:
    stage.call_function("quick", call_id="fc_1")
    finish(stage, "fc_1")
    stage.call_function("slow", call_id="fc_2")
    stage.done()
    assert outputs_told(stage) == ["fc_1"]
    assert asked(stage) == 0
    finish(stage, "fc_2")
    assert asked(stage) == 1


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
@pytest.mark.parametrize("over_after", [0, 1, 2, 3])
def test_one_response_is_asked_for_the_calls_of_one(stage: Stage, order: list[int], over_after: int) -> None:
    for number in range(3):
        stage.call_function("look_up", call_id=f"fc_{number}")
    for step in range(4):
        if step == over_after:
            stage.done()
        if step < 3:
            assert asked(stage) == 0
            finish(stage, f"fc_{order[step]}")
    assert asked(stage) == 1
    assert len(outputs_told(stage)) == 3
    stage.respond("Here it is.", ms=100, response_id="resp2", item_id="item2")
    stage.finish(response_id="resp2", item_id="item2")
    stage.advance(10.0)
    assert asked(stage) == 1


def test_a_slow_tool_of_an_earlier_response_holds_up_no_later_one(stage: Stage) -> None:
    stage.call_function("slow", call_id="fc_1")
    stage.done()
    stage.hear("s" * 10 + "." * 30)
    stage.respond(response_id="resp2")
    stage.call_function("quick", call_id="fc_2", response_id="resp2")
    stage.done(response_id="resp2")
    stage.outputs.clear()
    finish(stage, "fc_2")
    assert asked(stage) == 1
    stage.respond("It is noon.", ms=100, response_id="resp3", item_id="item3")
    finish(stage, "fc_1")
    assert asked(stage) == 1, "while a response is live"
    stage.finish(response_id="resp3", item_id="item3")
    assert asked(stage) == 2


def test_a_server_that_names_no_response_means_the_live_one(stage: Stage) -> None:
    stage.call_function("look_up", response_id="")
    finish(stage)
    stage.done(response_id="")
    assert asked(stage) == 1


# An interruption


def interrupt(stage: Stage) -> None:
    """Let the caller speak until he has interrupted the agent; his turn goes on."""
    stage.hear(INTERRUPTS)
    assert stage.of(events.SpeechStarted)


def test_what_an_interrupted_response_still_calls_is_not_run(stage: Stage) -> None:
    stage.speak(1000)
    stage.play(200)
    interrupt(stage)
    stage.call_function("look_up", call_id="fc_1")
    stage.call_function("hang_up", call_id="fc_2")
    stage.done(status="cancelled")
    assert not stage.of(events.ToolCalled)
    stage.hear("." * 30)
    assert asked(stage) == 1
    stage.advance(30.0)
    assert not stage.of(events.HangUp)


@pytest.mark.parametrize("name", ["hang_up", "look_up"])
def test_what_is_called_while_the_caller_begins_to_interrupt_is_not_run(stage: Stage, name: str) -> None:
    stage.speak(2000)
    stage.play(200)
    while not stage.of(events.AgentPaused):
        stage.hear("s")
    stage.call_function(name)
    stage.done()
    assert not stage.of(events.ToolCalled)
    stage.hear(INTERRUPTS)
    assert stage.of(events.BargedIn)
    stage.hear("." * 40)
    stage.advance(5.0)
    assert not stage.of(events.ToolCalled)
    assert not stage.of(events.HangUp)
    assert [item["item"]["output"] for item in stage.sent("conversation.item.create")] == [NOT_RUN]
    assert asked(stage) == 1, "for the caller's turn"


def test_what_is_called_over_a_cough_is_run_when_it_is_over(stage: Stage) -> None:
    stage.speak(2000)
    stage.play(200)
    while not stage.of(events.AgentPaused):
        stage.hear("s")
    stage.call_function("look_up")
    stage.done()
    stage.hear("." * 40)
    assert stage.of(events.AgentResumed)
    assert not stage.of(events.BargedIn)
    assert [run.name for run in stage.of(events.RunTool)] == ["look_up"]
    finish(stage)
    assert asked(stage) == 1


@pytest.mark.parametrize("status", ["in_progress", "incomplete"])
def test_a_call_that_is_not_complete_is_not_run(stage: Stage, status: str) -> None:
    item = {"type": "function_call", "call_id": "fc", "name": "look_up", "arguments": '{"a', "status": status}
    stage.say("response.output_item.done", response_id="resp", item=item)
    assert not stage.of(events.RunTool)


def early(stage: Stage) -> None:
    """The response is interrupted before it is over."""
    interrupt(stage)
    stage.done(status="cancelled")


def late(stage: Stage) -> None:
    """It is over, but not heard to its end."""
    stage.done()
    interrupt(stage)


def by_the_server(stage: Stage) -> None:
    """The server says that it was."""
    stage.say(
        "response.done",
        response={"id": "resp", "status": "cancelled", "status_details": {"reason": "turn_detected"}},
    )
    interrupt(stage)


@pytest.mark.parametrize("how", [early, late, by_the_server])
@pytest.mark.parametrize("answered", [False, True], ids=["in_the_turn", "after_its_answer"])
def test_nobody_asks_for_words_about_what_was_interrupted(
    stage: Stage, how: Callable[[Stage], None], answered: bool
) -> None:
    stage.speak(1000)
    stage.call_function("look_up")
    stage.play(200)
    how(stage)
    if answered:
        stage.hear("." * 30)
        stage.respond("As you like.", ms=100, response_id="resp2", item_id="item2")
        stage.finish(response_id="resp2", item_id="item2")
        stage.play(200)
    finish(stage)
    assert outputs_told(stage) == ["fc"], "the model's memory is complete"
    stage.hear("." * 30)
    stage.advance(5.0)
    assert asked(stage) == 1, "for the caller's turn"


def test_a_result_that_is_in_before_an_interruption_is_not_spoken_of_either(stage: Stage) -> None:
    stage.speak(1000)
    stage.call_function("look_up")
    finish(stage)
    stage.play(200)
    interrupt(stage)
    stage.done(status="cancelled")
    assert asked(stage) == 0
    stage.hear("." * 30)
    assert asked(stage) == 1


def test_a_caller_who_speaks_while_he_waits_interrupts_nothing(stage: Stage) -> None:
    stage.speak(200)
    stage.call_function("look_up")
    stage.done()
    stage.play(400)
    stage.hear("s" * 10 + "." * 30)
    stage.respond("A moment.", ms=100, response_id="resp2", item_id="item2")
    stage.finish(response_id="resp2", item_id="item2")
    stage.play(200)
    stage.outputs.clear()
    finish(stage)
    assert asked(stage) == 1


def test_a_second_turn_before_the_answer_to_the_first_interrupts_no_waiting_tool(stage: Stage) -> None:
    stage.call_function("look_up")
    stage.done()
    stage.hear("s" * 10 + "." * 30)
    assert asked(stage) == 1
    stage.hear(INTERRUPTS)  # before the response is created
    stage.hear("." * 30)
    stage.respond("A moment.", ms=100, response_id="resp2", item_id="item2")
    stage.done(response_id="resp2", status="cancelled")
    stage.respond("A moment.", ms=100, response_id="resp3", item_id="item3")
    stage.finish(response_id="resp3", item_id="item3")
    stage.outputs.clear()
    finish(stage)
    assert asked(stage) == 1


def test_a_key_that_answers_the_question_does_not_interrupt_it(stage: Stage) -> None:
    stage.speak(2000)
    stage.call_function("collect_digits", arguments='{"max_digits": 2}')
    stage.done()
    stage.play(200)
    stage.press("4")
    stage.press("7")
    stage.advance(0.1)
    assert [fact.output for fact in stage.of(events.ToolReturned)] == ["47"]
    assert asked(stage) == 1


def test_a_caller_who_says_nothing_after_all_still_wants_the_results() -> None:
    out: list[events.Output] = []
    tools = ToolCalls(
        session=RealtimeSession(SessionSettings("model"), random=Random(1)),
        emit=out.append,
        keypad=Keypad(),
        press=lambda digits: None,
        waiting=Waiting(None, audio_format=PCMU),
        key_tools=frozenset(),
        may_transfer=False,
    )
    for number in (1, 2):
        tools.receive(FunctionCallRequested(f"fc_{number}", "look_up", "{}", f"resp_{number}"))
        tools.run(queued_ms=0, now=0.0)
        tools.interrupt(f"resp_{number}")
        tools.response_over(f"resp_{number}")
    tools._session.outputs.clear()
    tools._session.send_tool_output = lambda *args: None  # type: ignore[method-assign]
    tools.finish("fc_1", "one", now=0.0)
    assert not tools.owes_response
    tools.forgive()
    assert tools.owes_response
    tools.asked()
    tools.finish("fc_2", "two", now=0.0)
    assert tools.owes_response
    assert not messages(out)
