import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.realtime import protocol
from sipagent.realtime.audio_delta import AUDIO_DELTA, AudioDelta
from sipagent.realtime.protocol import parse_server_event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def audio_delta(**fields: Any) -> str:
    event = {
        "type": "response.output_audio.delta",
        "event_id": "event_1",
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
        "delta": b64encode(b"\x7f\xff").decode(),
    }
    return json.dumps({key: value for key, value in (event | fields).items() if value is not ...})


def test_audio_delta_is_decoded() -> None:
    assert parse_server_event(audio_delta()) == AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"content_index": ...}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"content_index": None}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"content_index": 3}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 3)),
        ({"content_index": -1}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"content_index": 10**30}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"content_index": True}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"response_id": ...}, AudioDelta(b"\x7f\xff", "", "item_1", 0)),
        ({"response_id": None, "item_id": 7}, AudioDelta(b"\x7f\xff", "", "", 0)),
        ({"item_id": "x" * 257}, AudioDelta(b"\x7f\xff", "resp_1", "", 0)),
        ({"type": "response.audio.delta"}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"obfuscation": "abc", "phase": {"a": [1]}}, AudioDelta(b"\x7f\xff", "resp_1", "item_1", 0)),
        ({"delta": ""}, AudioDelta(b"", "resp_1", "item_1", 0)),
        ({"delta": ..., "content_index": None}, AudioDelta(b"", "resp_1", "item_1", 0)),
        ({"delta": "!!!!"}, None),
        ({"delta": "fw"}, None),
        ({"delta": "\u00e9\u00e9\u00e9\u00e9"}, None),
    ],
)
def test_audio_delta_is_read_tolerantly(fields: dict[str, Any], expected: AudioDelta | None) -> None:
    assert parse_server_event(audio_delta(**fields)) == expected


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b'"x"', b"{", b"{}", b'{"type":1}', b"\xff", b"[" * 100_000, "\ud800"]
)
def test_what_is_no_event_is_none(data: bytes | str) -> None:
    assert parse_server_event(data) is None


def test_unknown_event_is_a_plain_dict() -> None:
    assert parse_server_event('{"type":"ping","event_id":"e","n":null}') == {"type": "ping", "event_id": "e", "n": None}


def test_a_message_of_17_mib_is_not_read() -> None:
    assert parse_server_event(b'{"type":"ping","x":"' + b"a" * 17 * 1024 * 1024 + b'"}') is None


@pytest.mark.parametrize(("old", "new"), protocol.BETA_NAMES.items())
def test_old_names_become_new(old: str, new: str) -> None:
    event = parse_server_event(json.dumps({"type": old, "transcript": "hi", "delta": ""}))
    if isinstance(event, AudioDelta):
        assert new == AUDIO_DELTA
    else:
        assert event is not None
        assert event["type"] == new


@given(st.binary() | st.text())
def test_any_bytes_or_text_are_read_without_raising(data: bytes | str) -> None:
    event = parse_server_event(data)
    assert event is None or isinstance(event, dict | AudioDelta)


@given(JSON, st.sampled_from(["response.output_audio.delta", "error", "x"]))
def test_any_json_is_read_without_raising(value: Any, kind: str) -> None:
    if isinstance(value, dict):
        value["type"] = kind
    event = parse_server_event(json.dumps(value))
    assert event is None or isinstance(event, dict | AudioDelta)


@pytest.mark.parametrize(
    ("value", "as_text", "as_index"),
    [("a", "a", 0), (None, "", 0), (2, "", 2), (True, "", 0), (-1, "", 0), (1.5, "", 0), ([], "", 0), (1 << 16, "", 0)],
)
def test_fields_of_a_wrong_type_are_read_as_absent(value: Any, as_text: str, as_index: int) -> None:
    event = {"key": value}
    assert protocol.text(event, "key") == as_text
    assert protocol.index(event, "key") == as_index
    assert protocol.mapping(event, "key") == {}


def test_an_overlong_identifier_is_absent() -> None:
    assert protocol.identifier({"id": "x" * 256}, "id") == "x" * 256
    assert protocol.identifier({"id": "x" * 257}, "id") == ""


@given(st.binary(max_size=2000))
def test_append_audio_carries_the_audio(audio: bytes) -> None:
    event = json.loads(protocol.append_audio(audio))
    assert event == {"type": "input_audio_buffer.append", "audio": b64encode(audio).decode()}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (protocol.commit_input("e"), {"type": "input_audio_buffer.commit", "event_id": "e"}),
        (protocol.clear_input("e"), {"type": "input_audio_buffer.clear", "event_id": "e"}),
        (
            protocol.update_session("e", {"type": "realtime", "tracing": None}),
            {"type": "session.update", "event_id": "e", "session": {"type": "realtime", "tracing": None}},
        ),
        (
            protocol.create_item("e", {"type": "function_call_output"}),
            {"type": "conversation.item.create", "event_id": "e", "item": {"type": "function_call_output"}},
        ),
        (protocol.delete_item("e", "i"), {"type": "conversation.item.delete", "event_id": "e", "item_id": "i"}),
        (
            protocol.truncate_item("e", "i", 1, 120),
            {
                "type": "conversation.item.truncate",
                "event_id": "e",
                "item_id": "i",
                "content_index": 1,
                "audio_end_ms": 120,
            },
        ),
        (protocol.create_response("e", {}), {"type": "response.create", "event_id": "e", "response": {}}),
        (
            protocol.cancel_response("e", "resp_1"),
            {"type": "response.cancel", "event_id": "e", "response_id": "resp_1"},
        ),
        (protocol.cancel_response("e", ""), {"type": "response.cancel", "event_id": "e"}),
    ],
)
def test_client_events(data: bytes, expected: dict[str, Any]) -> None:
    assert json.loads(data) == expected


def test_a_lone_surrogate_is_replaced() -> None:
    data = protocol.create_item("e", {"content": [{"text": "a\ud800b", "n": 1}]})
    assert json.loads(data)["item"] == {"content": [{"text": "a?b", "n": 1}]}
