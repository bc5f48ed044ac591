"""The responses of the embedded model: the order of their events, their pace, their end, and who may begin one."""

import math
from base64 import b64decode
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from realtime.local_harness import DELTA, DONE, WORDS, Harness, error_of, kinds, of_kind, only, spoken

from sipagent.realtime.local.brain import Call, Prompt, Say, Step
from sipagent.realtime.local.settings import LocalSettings

HEAD = ["response.created", "response.output_item.added", "conversation.item.added", "response.content_part.added"]
TAIL = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
    "rate_limits.updated",
]
HANG_UP = {"type": "function", "name": "hang_up", "description": "End the call.", "parameters": {"type": "object"}}


class Scripted:
    """A brain that says what the test wants."""

    phrases = ("hello",)

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.prompts: list[Prompt] = []

    def think(self, prompt: Prompt) -> Sequence[Step]:
        self.prompts.append(prompt)
        return self.steps


def audio_of(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b64decode(event["delta"]) for event in of_kind(events, DELTA))


def test_the_order_inside_a_spoken_response() -> None:
    events = Harness().open().respond()
    assert kinds(events)[:4] == HEAD
    assert set(kinds(events)[4:-7]) == {WORDS, DELTA}
    assert kinds(events)[4] == WORDS
    assert kinds(events)[-7:] == TAIL
    response_id = events[0]["response"]["id"]
    item_id = events[1]["item"]["id"]
    for event in events[3:-4]:
        place = (event["response_id"], event["item_id"], event["output_index"], event["content_index"])
        assert place == (response_id, item_id, 0, 0)
    assert events[1]["item"]["status"] == "in_progress"
    assert events[1]["item"]["content"] == []
    assert events[-3]["item"]["status"] == "completed"


def test_transcript_and_audio_are_whole() -> None:
    harness = Harness().open()
    events = harness.respond()
    transcript = only(events, "response.output_audio_transcript.done")["transcript"]
    assert transcript == spoken(events)
    assert transcript.startswith("Hello, ")
    (output,) = only(events, DONE)["response"]["output"]
    assert output["content"] == [{"type": "output_audio", "transcript": transcript}]
    rendered_ms = sum(max(300, 60 * len(request.text)) for request in harness.renders)
    assert len(audio_of(events)) == rendered_ms * 8


def test_the_first_delta_is_late_and_the_rest_come_faster_than_real_time() -> None:
    harness = Harness(LocalSettings(pace=8.0, delta_ms=200, first_delta_s=0.3)).open()
    started_at = harness.now
    harness.respond()
    times = [at for at, event in zip(harness.times, harness.events, strict=True) if event["type"] == DELTA]
    assert times[0] == pytest.approx(started_at + 0.3)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[:-1] == pytest.approx([0.025] * (len(gaps) - 1))
    sizes = [len(b64decode(event["delta"])) for event in of_kind(harness.events, DELTA)]
    assert set(sizes[:-1]) == {1600}


def test_infinite_pace_sends_all_at_once() -> None:
    harness = Harness(LocalSettings(pace=math.inf, first_delta_s=0.0)).open()
    started_at = harness.now
    harness.respond()
    assert harness.now == started_at


@pytest.mark.parametrize(("name", "per_ms"), [("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)])
def test_every_format(name: str, per_ms: int) -> None:
    harness = Harness(brain=Scripted(Say("Hi."))).open()
    harness.send("session.update", session={"type": "realtime", "audio": {"output": {"format": {"type": name}}}})
    assert len(audio_of(harness.respond())) == 300 * per_ms


def test_metadata_is_echoed() -> None:
    events = Harness().open().respond(metadata={"turn": "7"})
    assert events[0]["response"]["metadata"] == {"turn": "7"}
    assert only(events, DONE)["response"]["metadata"] == {"turn": "7"}


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ({"modalities": ["audio"]}, "unknown_parameter"),
        ({"metadata": {"a": 1}}, "invalid_type"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "invalid_value"),
        ({"conversation": "other"}, "invalid_value"),
        ({"input": {}}, "invalid_type"),
        ({"input": [{"type": "item_reference", "id": "nothing"}]}, "invalid_value"),
        ({"input": [{"type": "item_reference"}]}, "missing_required_parameter"),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "text", "text": ""}]}]}, "invalid_value"),
        ("now", "invalid_type"),
    ],
)
def test_wrong_parameters_begin_nothing(response: Any, code: str) -> None:
    harness = Harness().open()
    assert error_of(harness.send("response.create", response=response))["code"] == code
    assert kinds(harness.send("response.create")) == ["response.created"]


def test_only_one_response_at_a_time() -> None:
    harness = Harness().open()
    created = only(harness.send("response.create"), "response.created")["response"]["id"]
    error = error_of(harness.send("response.create"))
    assert error["code"] == "conversation_already_has_active_response"
    assert created in error["message"]
    harness.run(until=DONE)
    assert kinds(harness.send("response.create")) == ["response.created"]


def test_out_of_band_responses_run_beside_it_and_leave_no_item() -> None:
    harness = Harness().open()
    harness.send("response.create")
    question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "what time is it"}]}
    events = harness.send("response.create", response={"conversation": "none", "input": [question]})
    assert events[0]["response"]["conversation_id"] is None
    beside = events[0]["response"]["id"]
    harness.run()
    mine = [event for event in harness.events if event.get("response_id") == beside]
    assert "12:05" in spoken(mine)
    own_item = only(mine, "response.output_item.done")["item"]["id"]
    assert own_item not in [event["item"]["id"] for event in of_kind(harness.events, "conversation.item.added")]


def test_a_bounded_number_runs_beside() -> None:
    harness = Harness().open()
    for _ in range(10):
        harness.send("response.create", response={"conversation": "none"})
    assert of_kind(harness.events, "error")[0]["error"]["code"] == "rate_limit_exceeded"
    assert len(of_kind(harness.events, "response.created")) == 5


def test_instructions_of_a_response_are_followed() -> None:
    assert spoken(Harness().open().respond(instructions='Say "Good evening, Harbour Clock Company."')) == (
        "Good evening, Harbour Clock Company."
    )


def test_input_takes_the_place_of_the_conversation() -> None:
    harness = Harness().open()
    harness.type("tell me a story")
    item_id = harness.events[-1]["item"]["id"]
    harness.type("what time is it")
    assert "12:05" in spoken(harness.respond())
    assert "Once upon a time" in spoken(harness.respond(input=[{"type": "item_reference", "id": item_id}]))
    assert spoken(harness.respond(input=[])).startswith("Hello")


def test_written_responses() -> None:
    events = Harness(brain=Scripted(Say("One two three four five."))).open().respond(output_modalities=["text"])
    assert kinds(events) == [
        *HEAD,
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        *TAIL[2:],
    ]
    assert [event["delta"] for event in events[4:6]] == ["One two three four ", "five."]
    assert only(events, "response.output_text.done")["text"] == "One two three four five."
    assert only(events, "response.content_part.done")["part"] == {"type": "text", "text": "One two three four five."}


def test_cancel_closes_what_is_open() -> None:
    harness = Harness().open()
    harness.say("tell me a story")
    harness.send("response.create")
    harness.run(1.0)
    events = harness.send("response.cancel")
    assert kinds(events) == TAIL
    assert events[3]["item"]["status"] == "incomplete"
    response = events[5]["response"]
    assert (response["status"], response["status_details"]) == (
        "cancelled",
        {"type": "cancelled", "reason": "client_cancelled"},
    )
    assert harness.run(60.0) == []
    assert kinds(harness.send("response.create")) == ["response.created"]


def test_cancel_before_the_first_delta_leaves_no_output() -> None:
    harness = Harness().open()
    response_id = harness.send("response.create")[0]["response"]["id"]
    events = harness.send("response.cancel", response_id=response_id)
    assert kinds(events) == ["response.done", "rate_limits.updated"]
    assert events[0]["response"]["output"] == []


@pytest.mark.parametrize("fields", [{}, {"response_id": "resp_other"}])
def test_cancel_of_nothing(fields: dict[str, str]) -> None:
    error = error_of(Harness().open().send("response.cancel", **fields))
    assert error["code"] == "response_cancel_not_active"
    assert error["message"] == "Cancellation failed: no active response found"


def test_cancel_before_created_is_no_cancel() -> None:
    harness = Harness(faults="slow_created seconds=0.5").open()
    assert harness.send("response.create") == []
    assert error_of(harness.send("response.cancel"))["code"] == "response_cancel_not_active"
    assert error_of(harness.send("response.create"))["code"] == "conversation_already_has_active_response"
    events = harness.run(until=DONE)
    assert only(events, DONE)["response"]["status"] == "completed"


def test_goodbye_calls_the_tool_that_hangs_up() -> None:
    harness = Harness().open()
    harness.send("session.update", session={"type": "realtime", "tools": [HANG_UP]})
    harness.say("goodbye")
    events = harness.respond()
    message, call = only(events, DONE)["response"]["output"]
    assert "Goodbye" in message["content"][0]["transcript"]
    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "hang_up", "{}")
    assert call["status"] == "completed"
    tail = [event for event in events if event.get("output_index") == 1]
    assert kinds(tail) == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    assert (tail[2]["name"], tail[2]["call_id"]) == ("hang_up", call["call_id"])
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '"ok"'}
    harness.send("conversation.item.create", item=output)
    assert only(harness.respond(), DONE)["response"]["output"] == []


def test_no_tool_is_called_when_tools_are_forbidden() -> None:
    harness = Harness().open()
    harness.send("session.update", session={"type": "realtime", "tools": [HANG_UP]})
    harness.say("goodbye")
    (message,) = only(harness.respond(tool_choice="none"), DONE)["response"]["output"]
    assert message["type"] == "message"


def test_a_cancelled_call_stays_incomplete() -> None:
    arguments = {"text": "x" * 100}
    harness = Harness(brain=Scripted(Call("note", arguments))).open()
    harness.send("response.create")
    harness.run(0.15)
    events = harness.send("response.cancel")
    done = only(events, "response.function_call_arguments.done")
    item = only(events, "response.output_item.done")["item"]
    assert item["status"] == "incomplete"
    assert item["arguments"] == done["arguments"]
    assert 0 < len(done["arguments"]) < 100


def test_the_budget_of_tokens_ends_a_response() -> None:
    harness = Harness().open()
    harness.say("tell me a story")
    response = only(harness.respond(max_output_tokens=50), DONE)["response"]
    assert response["status"] == "incomplete"
    assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert 50 <= response["usage"]["output_tokens"] < 60


def test_usage_counts_time_and_text() -> None:
    harness = Harness(brain=Scripted(Say("Hi."))).open()
    harness.send("session.update", session={"type": "realtime", "instructions": "x" * 40})
    harness.append(b"\xff" * 8000)
    harness.send("input_audio_buffer.commit")
    first = only(harness.respond(), DONE)["response"]["usage"]
    assert first["input_token_details"]["audio_tokens"] == 10
    assert first["input_token_details"]["text_tokens"] == 10
    assert first["output_token_details"] == {"text_tokens": 1, "audio_tokens": 6}
    assert first["total_tokens"] == first["input_tokens"] + first["output_tokens"] == 27
    assert first["input_token_details"]["cached_tokens"] == 0
    second = only(harness.respond(), DONE)["response"]["usage"]
    assert second["input_tokens"] == 27
    assert second["input_token_details"]["cached_tokens"] == 20


def test_rate_limits_are_reported_and_recover() -> None:
    harness = Harness().open()
    first = harness.respond()[-1]["rate_limits"]
    assert (first[0]["name"], first[0]["remaining"]) == ("requests", 4999)
    assert first[1]["remaining"] < first[1]["limit"]
    harness.run(3600 - 600)
    assert harness.respond()[-1]["rate_limits"][0]["remaining"] == 4999


def test_a_late_voice_only_delays() -> None:
    harness = Harness(brain=Scripted(Say("One. Two. Three. Four. Five.")), has_voice=False).open()
    harness.send("response.create")
    harness.run(5.0)
    assert of_kind(harness.events, DELTA) == []
    assert [request.text for request in harness.renders] == ["One.", "Two.", "Three."]
    third, first, second = harness.renders[2], harness.renders[0], harness.renders[1]
    for request in (third, first, second):
        harness.server.receive_speech(request.request_id, request.text.encode() * 400, now=harness.now)
        harness.drain()
    harness.run(5.0)
    assert [request.text for request in harness.renders[3:]] == ["Four.", "Five."]
    for request in harness.renders[3:]:
        harness.server.receive_speech(request.request_id, b"", now=harness.now)
        harness.drain()
    harness.run(5.0)
    assert audio_of(harness.events) == b"One." * 400 + b"Two." * 400 + b"Three." * 400
    assert spoken(harness.events) == "One. Two. Three. Four. Five."
    assert only(harness.events, DONE)["response"]["status"] == "completed"


def test_speech_that_comes_after_a_cancel_is_dropped() -> None:
    harness = Harness(has_voice=False).open()
    harness.send("response.create")
    harness.run(1.0)
    harness.send("response.cancel")
    before = len(harness.events)
    harness.server.receive_speech(harness.renders[0].request_id, b"\x00" * 1600, now=harness.now)
    harness.server.receive_speech(999_999, b"\x00", now=harness.now)
    harness.drain()
    assert harness.events[before:] == []


def test_the_brain_is_given_the_whole_prompt() -> None:
    brain = Scripted(Say("Hi."))
    harness = Harness(brain=brain).open()
    harness.send("session.update", session={"type": "realtime", "instructions": "Be kind.", "tools": [HANG_UP]})
    harness.type("you are a clock", role="system")
    harness.say("hello")
    harness.respond(instructions="Greet.")
    (prompt,) = brain.prompts
    assert (prompt.instructions, prompt.request) == ("Be kind.", "Greet.")
    assert [(turn.kind, turn.text) for turn in prompt.turns] == [("system", "you are a clock"), ("user", "hello")]
    assert prompt.tools[0]["name"] == "hang_up"
    assert (prompt.time.hour, prompt.time.minute) == (12, 5)
