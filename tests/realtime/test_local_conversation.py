"""The items of the embedded model's conversation: made, truncated, deleted, retrieved, and what it then remembers."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import pytest
from realtime.local_harness import DELTA, Harness, error_of, kinds, of_kind, only, spoken

from sipagent.formats import PCMU
from sipagent.realtime.local.brain import Brain, Prompt, Step
from sipagent.realtime.local.conversation import MAX_AUDIO_BYTES, MAX_ITEMS, Conversation
from sipagent.realtime.local.item import Item, Part
from sipagent.realtime.local.responses import CONTEXT_ITEMS


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def interrupt(harness: Harness, phrase: str, heard_ms: int) -> str:
    """Ask for a long answer and hear ``heard_ms`` of it; gives the item's id."""
    harness.say(phrase)
    harness.send("response.create")
    harness.run(1.0)
    item_id: str = of_kind(harness.events, DELTA)[-1]["item_id"]
    harness.send("response.cancel")
    place = {"item_id": item_id, "content_index": 0, "audio_end_ms": heard_ms}
    (truncated,) = harness.send("conversation.item.truncate", **place)
    assert truncated["type"] == "conversation.item.truncated"
    assert {name: truncated[name] for name in place} == place
    return item_id


def test_items_are_added_and_done_after_their_predecessor() -> None:
    harness = Harness().open()
    first = harness.send("conversation.item.create", item=message("one", id="a"))
    assert kinds(first) == ["conversation.item.added", "conversation.item.done"]
    assert first[0]["previous_item_id"] is None
    assert first[1]["item"] == {
        "id": "a",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "one"}],
    }
    assert harness.send("conversation.item.create", item=message("two", id="b"))[0]["previous_item_id"] == "a"
    between = harness.send("conversation.item.create", item=message("x", id="c"), previous_item_id="a")
    assert between[0]["previous_item_id"] == "a"
    head = harness.send("conversation.item.create", item=message("y"), previous_item_id="root")
    assert head[0]["previous_item_id"] is None
    assert head[0]["item"]["id"].startswith("item_")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_parameter", "item"),
        ({"item": []}, "invalid_type", "item"),
        ({"item": {"type": "message"}}, "missing_required_parameter", "item.role"),
        ({"item": {"type": "message", "role": "user"}}, "missing_required_parameter", "item.content"),
        ({"item": message("x", id="a")}, "item_create_duplicate_item_id", "item.id"),
        ({"item": message("x"), "previous_item_id": "z"}, "item_create_invalid_previous_item_id", "item_id"),
        (
            {"item": {"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]}},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {"item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "?"}]}},
            "invalid_value",
            "item.content[0].audio",
        ),
        ({"item": {"type": "function_call_output", "output": ""}}, "missing_required_parameter", "item.call_id"),
        ({"item": {"type": "function_call_output", "call_id": "x", "output": 1}}, "invalid_type", "item.output"),
        (
            {"item": {"type": "function_call_output", "call_id": "x", "output": ""}},
            "invalid_tool_call_id",
            "item.call_id",
        ),
    ],
)
def test_wrong_items_are_refused(fields: dict[str, Any], code: str, param: str) -> None:
    harness = Harness().open()
    harness.send("conversation.item.create", item=message("one", id="a"))
    error = error_of(harness.send("conversation.item.create", **fields))
    assert (error["code"], error["param"]) == (code, param)


def test_a_conversation_can_be_replayed() -> None:
    harness = Harness().open()
    harness.type("what did you say")
    harness.type("The shop is closed.", role="assistant")
    call = {"type": "function_call", "name": "look", "call_id": "c1", "arguments": "{}"}
    harness.send("conversation.item.create", item=call)
    output = {"type": "function_call_output", "call_id": "c1", "output": "open until six in the evening today"}
    assert kinds(harness.send("conversation.item.create", item=output))[0] == "conversation.item.added"
    assert spoken(harness.respond()) == "open until six in the evening today"


def test_delete_and_retrieve() -> None:
    harness = Harness().open()
    harness.send("conversation.item.create", item=message("one", id="a"))
    (retrieved,) = harness.send("conversation.item.retrieve", item_id="a")
    assert retrieved["item"]["content"] == [{"type": "input_text", "text": "one"}]
    (deleted,) = harness.send("conversation.item.delete", item_id="a")
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", "a")
    for verb in ("delete", "retrieve"):
        error = error_of(harness.send(f"conversation.item.{verb}", item_id="a"))
        assert error["code"] == f"item_{verb}_invalid_item_id"
        assert "'a' does not exist" in error["message"]
        error = error_of(harness.send(f"conversation.item.{verb}"))
        assert (error["code"], error["param"]) == ("missing_required_parameter", "item_id")


def test_retrieved_items_bring_their_audio() -> None:
    harness = Harness().open()
    events = harness.say("hello")
    item_id = only(events, "conversation.item.done")["item"]["id"]
    (retrieved,) = harness.send("conversation.item.retrieve", item_id=item_id)
    assert b64decode(retrieved["item"]["content"][0]["audio"]) == harness.hearings[0].audio
    events = harness.respond()
    (retrieved,) = harness.send("conversation.item.retrieve", item_id=events[1]["item"]["id"])
    assert b64decode(retrieved["item"]["content"][0]["audio"]) == b"".join(
        b64decode(event["delta"]) for event in of_kind(events, DELTA)
    )


def test_truncation_checks_its_bounds() -> None:
    harness = Harness().open()
    item_id = interrupt(harness, "tell me a story", 3000)
    place = {"item_id": item_id, "content_index": 0}
    error = error_of(harness.send("conversation.item.truncate", **place, audio_end_ms=3001, event_id="t"))
    assert error["message"] == "Audio content of 3000ms is already shorter than 3001ms"
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "audio_end_ms", "t")
    for end_ms in (3000, 0):
        events = harness.send("conversation.item.truncate", **place, audio_end_ms=end_ms)
        assert kinds(events) == ["conversation.item.truncated"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"audio_end_ms": 12.5}, "invalid_type"),
        ({"audio_end_ms": -1}, "invalid_value"),
        ({"audio_end_ms": None}, "invalid_type"),
        ({"item_id": "item_nobody"}, "item_truncate_invalid_item_id"),
        ({"content_index": 1}, "invalid_value"),
        ({"content_index": "0"}, "invalid_type"),
    ],
)
def test_wrong_truncations_are_refused(fields: dict[str, Any], code: str) -> None:
    harness = Harness().open()
    item_id = interrupt(harness, "tell me a story", 3000)
    place = {"item_id": item_id, "content_index": 0, "audio_end_ms": 10} | fields
    assert error_of(harness.send("conversation.item.truncate", **place))["code"] == code


def test_only_audio_of_the_model_can_be_truncated() -> None:
    harness = Harness().open()
    item_id = only(harness.say("hello"), "conversation.item.done")["item"]["id"]
    error = error_of(harness.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=10))
    assert error["message"] == "Only model output audio messages can be truncated."


def test_truncation_is_allowed_while_the_item_is_spoken() -> None:
    harness = Harness().open()
    harness.say("tell me a story")
    harness.send("response.create")
    harness.run(0.5)
    delta = of_kind(harness.events, DELTA)[-1]
    sent = len(of_kind(harness.events, DELTA)) * 200
    place = {"item_id": delta["item_id"], "content_index": 0}
    too_far = harness.send("conversation.item.truncate", **place, audio_end_ms=sent + 1)
    assert error_of(too_far)["code"] == "invalid_value"
    just_right = harness.send("conversation.item.truncate", **place, audio_end_ms=sent)
    assert kinds(just_right) == ["conversation.item.truncated"]


def test_only_what_was_heard_is_remembered() -> None:
    harness = Harness().open()
    item_id = interrupt(harness, "count to twenty", 1400)
    (retrieved,) = harness.send("conversation.item.retrieve", item_id=item_id)
    (part,) = retrieved["item"]["content"]
    assert part["transcript"] is None
    assert len(b64decode(part["audio"])) == 1400 * 8
    harness.say("what did you say")
    assert spoken(harness.respond()) == "I said: One. Two. Three. Four. And there you interrupted me."


def test_a_response_is_given_what_was_said_last() -> None:
    """And no more of a long call, or each answer would cost more than the one before."""

    class Counting(Brain):
        def think(self, prompt: Prompt) -> Sequence[Step]:
            prompts.append(prompt)
            return super().think(prompt)

    prompts: list[Prompt] = []
    harness = Harness(brain=Counting()).open()
    for number in range(CONTEXT_ITEMS + 10):
        harness.type(f"number {number}")
    events = harness.respond()
    assert [turn.text for turn in prompts[-1].turns] == [f"number {number}" for number in range(10, CONTEXT_ITEMS + 10)]
    usage = only(events, "response.done")["response"]["usage"]
    assert CONTEXT_ITEMS * 3 <= usage["input_token_details"]["text_tokens"] < CONTEXT_ITEMS * 4


def test_it_goes_on_where_the_caller_stopped_hearing() -> None:
    harness = Harness().open()
    interrupt(harness, "count to twenty", 1400)
    harness.say("go on")
    harness.send("response.create")
    harness.run(1.2)
    second = of_kind(harness.events, DELTA)[-1]["item_id"]
    harness.send("response.cancel")
    harness.send("conversation.item.truncate", item_id=second, content_index=0, audio_end_ms=1100)
    went_on = spoken([event for event in harness.events if event.get("item_id") == second])
    assert went_on.startswith("I go on. Five. Six.")
    harness.say("go on")
    assert spoken(harness.respond()).startswith("I go on. Seven. Eight.")


def test_nothing_heard_is_nothing_said() -> None:
    harness = Harness().open()
    interrupt(harness, "count to twenty", 0)
    harness.say("what did you say")
    assert spoken(harness.respond()) == "I have not said anything yet."


def test_the_oldest_items_and_the_oldest_audio_are_let_go() -> None:
    conversation = Conversation()
    for number in range(MAX_ITEMS + 5):
        part = Part("input_audio", format=PCMU, audio=bytearray(MAX_AUDIO_BYTES // 4), audio_bytes=MAX_AUDIO_BYTES // 4)
        content = [part] if number >= MAX_ITEMS - 3 else []
        conversation.insert(Item(f"i{number}", "message", "completed", {"role": "user"}, content))
    assert len(conversation) == MAX_ITEMS
    assert conversation.get("i4") is None
    assert conversation.get("i5") is not None
    parts = [part for item in conversation for part in item.content]
    assert [len(part.audio) > 0 for part in parts] == [False] * 4 + [True] * 4
    assert {part.audio_ms for part in parts} == {MAX_AUDIO_BYTES // 32}


def test_audio_in_an_item_is_heard() -> None:
    harness = Harness().open()
    harness.say("what time is it")
    audio = b64encode(harness.hearings[0].audio).decode()
    harness.send("conversation.item.create", item={**message(""), "content": [{"type": "input_audio", "audio": audio}]})
    assert len(harness.hearings) == 2
    assert "12:05" in spoken(harness.respond())
