import json
from random import Random
from typing import Any

import pytest
from call.stage import Stage

from sipagent.agent.approval import Approval
from sipagent.call import events
from sipagent.realtime.protocol import HOSTED_EVENTS
from sipagent.realtime.session import RealtimeSession
from sipagent.realtime.settings import SessionSettings, session_object


@pytest.fixture
def stage() -> Stage:
    """A call that is up; the model takes up what the caller asked for."""
    stage = Stage()
    stage.answer()
    stage.hear("." * 20 + "s" * 10 + "." * 30)
    stage.respond()
    stage.outputs.clear()
    return stage


def item(stage: Stage, kind: str, response_id: str = "resp", **fields: Any) -> None:
    stage.say("response.output_item.done", response_id=response_id, item={"type": kind, **fields})


def call(stage: Stage, **fields: Any) -> None:
    about = {"id": "mcp_1", "server_label": "shop", "name": "find", "arguments": '{"order":7}', "output": "shipped"}
    item(stage, "mcp_call", **about | fields)


def asked(stage: Stage) -> int:
    return len(stage.sent("response.create"))


def test_pitfall_20_a_response_that_ends_with_a_hosted_call_is_followed_by_another(stage: Stage) -> None:
    stage.speak(200)
    item(stage, "message")
    call(stage)
    assert asked(stage) == 0
    stage.done()
    assert asked(stage) == 1
    assert stage.of(events.ToolCalled) == [events.ToolCalled("shop.find", '{"order":7}')]
    assert stage.of(events.ToolReturned) == [events.ToolReturned("shop.find", "shipped")]
    assert not stage.sent("conversation.item.create"), "the model has the result"


def test_a_response_that_speaks_of_its_hosted_call_is_not(stage: Stage) -> None:
    call(stage)
    stage.speak(200)
    item(stage, "message")
    stage.finish()
    stage.play(400)
    assert asked(stage) == 0


def test_of_two_hosted_calls_the_last_counts(stage: Stage) -> None:
    call(stage)
    stage.speak(200)
    item(stage, "message")
    call(stage, id="mcp_2")
    stage.done()
    assert asked(stage) == 1


def test_a_function_beside_a_hosted_call_is_waited_for(stage: Stage) -> None:
    call(stage)
    stage.call_function("look_up")
    stage.done()
    assert asked(stage) == 0
    stage.feed(stage.call.tool_finished, "fc", "here")
    assert asked(stage) == 1


def test_a_hosted_call_that_the_caller_interrupted_is_not_spoken_of(stage: Stage) -> None:
    stage.speak(1000)
    call(stage)
    stage.play(200)
    stage.hear("s" * 10)
    stage.done(status="cancelled")
    assert asked(stage) == 0


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"output": None, "error": {"type": "http_error", "message": "no such order"}}, "no such order"),
        ({"output": None, "error": "it is down"}, "it is down"),
        ({"output": None, "error": {}}, "it failed"),
        ({"output": None, "error": {"code": 7}}, "it failed"),
        ({"output": 7}, ""),
    ],
)
def test_what_went_wrong_is_told(stage: Stage, fields: dict[str, Any], output: str) -> None:
    call(stage, **fields)
    assert [fact.output for fact in stage.of(events.ToolReturned)] == [output]


def request(stage: Stage, request_id: str = "mcpr_1") -> None:
    item(stage, "mcp_approval_request", id=request_id, server_label="shop", name="cancel", arguments='{"order":7}')


@pytest.mark.parametrize("approval", [Approval(True), Approval(False, "not today")])
def test_an_approval_is_answered_and_the_model_goes_on(stage: Stage, approval: Approval) -> None:
    request(stage)
    request(stage)
    assert stage.of(events.JudgeTool) == [events.JudgeTool("mcpr_1", "shop.cancel", '{"order":7}')]
    stage.done()
    assert asked(stage) == 0
    stage.feed(stage.call.tool_finished, "mcpr_1", approval)
    (message,) = stage.sent("conversation.item.create")
    answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": approval.is_given}
    assert message["item"] == answer | ({"reason": "not today"} if approval.reason else {})
    assert asked(stage) == 1


def test_a_request_without_an_id_asks_nobody(stage: Stage) -> None:
    request(stage, "")
    assert not stage.of(events.JudgeTool)


@pytest.mark.parametrize("is_ready", [False, True])
def test_how_far_a_hosted_call_is_need_not_be_known(is_ready: bool) -> None:
    session = RealtimeSession(SessionSettings("model"), random=Random(1))
    session.open(now=0.0)
    session.receive_text('{"type":"session.created"}', now=0.0)
    if is_ready:
        updated = {"type": "session.updated", "session": session_object(SessionSettings("model"))}
        session.receive_text(json.dumps(updated), now=0.0)
    assert session.is_ready is is_ready
    for kind in HOSTED_EVENTS:
        session.receive_text(json.dumps({"type": kind, "item_id": "x"}), now=0.0)
    assert not session.counters


def test_a_key_in_a_server_s_definition_is_sent_and_not_shown() -> None:
    tool = {"type": "mcp", "server_label": "shop", "headers": {"Authorization": "hunter2"}}
    settings = SessionSettings("model", tools=(tool,))
    assert session_object(settings)["tools"] == [tool]
    assert "hunter2" not in repr(settings)
