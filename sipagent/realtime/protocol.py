"""The wire of the Realtime API, GA shape: client events as bytes, server events as tolerant values.

A server event is a plain ``dict``, because unknown types and fields occur and known fields may be missing or null;
only the audio delta, which is nearly all of the traffic, has a type of its own. Nothing here has state.
"""

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from sipagent.realtime.audio_delta import AUDIO_DELTA, MAX_IDENTIFIER_CHARACTERS, MAX_INDEX, AudioDelta

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The longest server event that is read; the API's own limit for audio in one event is 15 MiB."""

MAX_MILLISECONDS: Final = 1 << 32
"""A position in the audio beyond this, seven weeks, is no position."""

BETA_NAMES = {
    "response.audio.delta": AUDIO_DELTA,
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
"""Old names that servers of the GA shape (Azure) still emit now and then."""

HOSTED_EVENTS: Final = frozenset(
    {
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
    }
)
"""How far it is; what matters is in the item that follows."""

IGNORED: Final = frozenset(
    {
        "ping",
        "session.created",
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.done",
        "response.output_item.added",
    }
    | HOSTED_EVENTS
)
"""What we know and need not hear; anything else is counted."""

MAX_MESSAGE_CHARACTERS: Final = 500
"""An error's message is cut here; it is for a log."""

Event: TypeAlias = dict[str, Any]

_AUDIO_DELTA: Final = AUDIO_DELTA.encode()
_b2a_base64: Final = b2a_base64
_decode_audio_delta = msgspec.json.Decoder(AudioDelta).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def parse_server_event(data: str | bytes) -> AudioDelta | Event | None:
    """Read one message of the server; ``None`` when it is no JSON object with a ``type``, or is too long.

    :returns: an event with a known old name has the new one. ``AudioDelta`` only for audio deltas with valid audio.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        return None
    if isinstance(data, bytes) and _AUDIO_DELTA not in data:  # to be told so by an exception costs ten times as much
        return _parse_other(data)
    try:
        return _decode_audio_delta(data)
    except (ValueError, RecursionError):  # any other event, or an audio delta with a null where the schema has none
        return _parse_other(data)


def _parse_other(data: str | bytes) -> AudioDelta | Event | None:
    try:
        event = _decode_any(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    kind = event.get("type")
    if not isinstance(kind, str):
        return None
    kind = event["type"] = BETA_NAMES.get(kind, kind)
    return _parse_odd_audio_delta(event) if kind == AUDIO_DELTA else event


def _parse_odd_audio_delta(event: Event) -> AudioDelta | None:
    try:
        audio = a2b_base64(text(event, "delta"), strict_mode=True)
    except (Base64Error, ValueError):
        return None
    return AudioDelta(audio, identifier(event, "response_id"), identifier(event, "item_id"), index(event))


def text(event: Mapping[str, Any], key: str) -> str:
    """The string at ``key``; ``""`` when it is absent or no string."""
    value = event.get(key)
    return value if isinstance(value, str) else ""


def identifier(event: Mapping[str, Any], key: str) -> str:
    """The name at ``key``; ``""`` when it is absent or no name."""
    value = text(event, key)
    return value if len(value) <= MAX_IDENTIFIER_CHARACTERS else ""


def index(event: Mapping[str, Any], key: str = "content_index") -> int:
    """The index at ``key``; 0 when it is absent or no index."""
    return _integer(event.get(key), below=MAX_INDEX)


def milliseconds(event: Mapping[str, Any], key: str) -> int:
    """The position in ms at ``key``; 0 when it is absent or no position."""
    return _integer(event.get(key), below=MAX_MILLISECONDS)


def _integer(value: object, *, below: int) -> int:
    return value if type(value) is int and 0 <= value < below else 0  # JSON's true is an int to isinstance


def mapping(event: Mapping[str, Any], key: str) -> Event:
    """The object at ``key``; an empty one when it is absent or no object."""
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def append_audio(audio: bytes) -> bytes:
    """``input_audio_buffer.append``, joined by hand: 50 times a second, and ``json.dumps`` costs 9 times more."""
    return b'{"type":"input_audio_buffer.append","audio":"' + _b2a_base64(audio, newline=False) + b'"}'


def commit_input(event_id: str) -> bytes:
    """``input_audio_buffer.commit``."""
    return encode({"type": "input_audio_buffer.commit", "event_id": event_id})


def clear_input(event_id: str) -> bytes:
    """``input_audio_buffer.clear``."""
    return encode({"type": "input_audio_buffer.clear", "event_id": event_id})


def update_session(event_id: str, session: Event) -> bytes:
    """``session.update``."""
    return encode({"type": "session.update", "event_id": event_id, "session": session})


def create_item(event_id: str, item: Event) -> bytes:
    """``conversation.item.create``."""
    return encode({"type": "conversation.item.create", "event_id": event_id, "item": item})


def delete_item(event_id: str, item_id: str) -> bytes:
    """``conversation.item.delete``."""
    return encode({"type": "conversation.item.delete", "event_id": event_id, "item_id": item_id})


def truncate_item(event_id: str, item_id: str, content_index: int, audio_end_ms: int) -> bytes:
    """``conversation.item.truncate``."""
    return encode(
        {
            "type": "conversation.item.truncate",
            "event_id": event_id,
            "item_id": item_id,
            "content_index": content_index,
            "audio_end_ms": audio_end_ms,
        }
    )


def create_response(event_id: str, response: Event) -> bytes:
    """``response.create``."""
    return encode({"type": "response.create", "event_id": event_id, "response": response})


def cancel_response(event_id: str, response_id: str) -> bytes:
    """``response.cancel``; an empty ``response_id`` means the one that is active."""
    event = {"type": "response.cancel", "event_id": event_id}
    return encode(event | {"response_id": response_id} if response_id else event)


def encode(event: Event) -> bytes:
    """A client event as bytes; what UTF-8 cannot carry (a lone surrogate from a tool's output) becomes ``?``."""
    try:
        return _encode(event)
    except UnicodeEncodeError:
        return _encode(_carriable(event))


def _carriable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_carriable(key): _carriable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_carriable(each) for each in value]
    return value


class EventIds:
    """The event ids of a session's commands, by which an error tells what it answers.

    :param nonce: sets them apart from another session's.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._serial = 0

    def __call__(self, command: str) -> str:
        """Make a fresh one."""
        self._serial += 1
        return f"{command}_{self._nonce}_{self._serial}"

    def command_of(self, event_id: str) -> str:
        """Return what command it was made for; nothing when it is not ours."""
        command, _, rest = event_id.partition("_")
        return command if rest.startswith(self._nonce) else ""


def arguments(item: Event) -> str:
    """A function call's arguments as JSON text; some servers send the object itself."""
    given = item.get("arguments")
    if not isinstance(given, dict):
        return text(item, "arguments")
    try:
        return json.dumps(given)
    except RecursionError:
        return ""
