"""Whatever bytes a client sends, the embedded model answers with events and goes on."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from realtime.local_harness import PHONE, Harness, kinds

from sipagent.realtime.local.server import EVENTS

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
words = st.sampled_from(
    [
        "type",
        "message",
        "user",
        "assistant",
        "input_text",
        "input_audio",
        "audio",
        "auto",
        "none",
        "root",
        "realtime",
        "function",
        "function_call_output",
        "server_vad",
        "audio/pcmu",
        "audio/pcm",
        "a",
        "inf",
        "text",
    ]
)
values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    [
        "session",
        "audio",
        "item",
        "item_id",
        "previous_item_id",
        "content_index",
        "audio_end_ms",
        "response",
        "response_id",
        "event_id",
    ]
)
fields = st.dictionaries(names, values)
events = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(list(EVENTS)), fields)


def check(harness: Harness) -> None:
    """It is still there, and itself."""
    assert not harness.closes
    assert kinds(harness.send("session.update", session=PHONE))[-1] in ("session.updated", "error")
    assert kinds(harness.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


@given(st.lists(st.binary(max_size=200) | st.text(max_size=200), max_size=10))
def test_bytes(frames: list[bytes | str]) -> None:
    harness = Harness().open()
    for frame in frames:
        assert kinds(harness.send_raw(frame)) == ["error"]
    check(harness)


@given(st.lists(values, max_size=10))
def test_json(frames: list[Any]) -> None:
    harness = Harness().open()
    for frame in frames:
        assert kinds(harness.send_raw(msgspec.json.encode(frame))) == ["error"]
    check(harness)


@settings(max_examples=200)
@given(st.lists(events, max_size=12))
def test_events(frames: list[dict[str, Any]]) -> None:
    harness = Harness().open()
    for frame in frames:
        harness.send_raw(msgspec.json.encode(frame))
        harness.run(0.2)
    check(harness)


commands = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["hello", "tell me a story", "goodbye", "go on"])),
    st.tuples(st.just("send"), st.sampled_from(["response.create", "response.cancel", "input_audio_buffer.commit"])),
    st.tuples(st.just("run"), st.sampled_from([0.01, 0.3, 2.0, 30.0])),
    st.tuples(st.just("truncate"), st.integers(0, 5000)),
    st.tuples(st.just("delete"), st.none()),
)


@settings(max_examples=200)
@given(st.lists(commands, max_size=25))
def test_conversations(steps: list[tuple[str, Any]]) -> None:
    """At most one response is live, each that begins ends once, and truncation never yields more than was sent."""
    harness = Harness().open()
    for verb, value in steps:
        spoken = [event["item_id"] for event in harness.events if event["type"] == "response.output_audio.delta"]
        if verb == "say":
            harness.say(value)
        elif verb == "send":
            harness.send(value)
        elif verb == "run":
            harness.run(value)
        elif spoken and verb == "truncate":
            harness.send("conversation.item.truncate", item_id=spoken[-1], content_index=0, audio_end_ms=value)
        elif spoken:
            harness.send("conversation.item.delete", item_id=spoken[-1])
    harness.run(600.0)
    live = 0
    for kind in kinds(harness.events):
        live += (kind == "response.created") - (kind == "response.done")
        assert 0 <= live <= 1
    assert live == 0
    check(harness)
