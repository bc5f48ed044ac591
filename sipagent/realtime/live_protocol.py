"""The wire of GPT-Live: client events as bytes, server events as tolerant values (realtime-api.md, section 9).

The server refuses a field that it does not know, so nothing is sent that need not be. Nothing here has state.
"""

from binascii import b2a_base64

import msgspec

from sipagent.realtime import protocol
from sipagent.realtime.protocol import MAX_MESSAGE_BYTES, Event, encode
from sipagent.realtime.settings import SessionSettings, voice_of

AUDIO_DELTA = "session.output_audio.delta"

MAX_CONTENT_CHARACTERS = 1_500
"""Of what is put into a conversation at once: the server takes 500 tokens, and a token is three characters or more."""


class LiveAudio(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag=AUDIO_DELTA):
    """One ``session.output_audio.delta``, decoded from base64."""

    delta: bytes


_decode_audio = msgspec.json.Decoder(LiveAudio).decode
_decode_any = msgspec.json.Decoder().decode


def parse_server_event(data: str | bytes) -> LiveAudio | Event | None:
    """Read one message of the server; ``None`` when it is no JSON object with a ``type``, or is too long."""
    if len(data) > MAX_MESSAGE_BYTES:
        return None
    try:
        return _decode_audio(data)
    except (ValueError, RecursionError):  # any other event
        return _parse_other(data)


def _parse_other(data: str | bytes) -> Event | None:
    try:
        event = _decode_any(data)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(event, dict) and isinstance(event.get("type"), str) and event["type"] != AUDIO_DELTA
    return event if is_event else None


def start_session(event_id: str, settings: SessionSettings) -> bytes:
    """``session.start``. The tools go to the model behind, which has the same instructions."""
    audio_format = settings.audio_format
    session: Event = {
        "model": settings.model,
        "instructions": settings.instructions,
        "audio": {
            "format": {"type": audio_format.type, "rate": audio_format.rate},
            "output": {"voice": voice_of(settings.voice)},
        },
        "store": False,
    }
    if settings.tools:
        session["delegation"] = {"type": "responses", "responses": _backend(settings)}
    return encode({"type": "session.start", "event_id": event_id, "session": session})


def _backend(settings: SessionSettings) -> Event:
    backend: Event = {
        "model": settings.delegation_model,
        "instructions": settings.instructions,
        "tools": list(settings.tools),
        "tool_choice": "auto",
    }
    if settings.max_output_tokens != "inf":
        backend["max_output_tokens"] = settings.max_output_tokens
    return backend


def update_session(event_id: str, settings: SessionSettings) -> bytes:
    """``session.update``, which can change no more than the model behind."""
    changes = {"instructions": settings.instructions, "tools": list(settings.tools)}
    session = {"delegation": {"type": "responses", "responses": changes}}
    return encode({"type": "session.update", "event_id": event_id, "session": session})


def append_audio(audio: bytes) -> bytes:
    """``session.input_audio.append``, joined by hand, as it is sent 50 times a second."""
    return b'{"type":"session.input_audio.append","audio":"' + b2a_base64(audio, newline=False) + b'"}'


def append_content(kind: str, event_id: str, content: str, delegation_id: str | None = None) -> bytes:
    """``session.commentary.append`` (to be spoken of), ``….thinking.…`` (to be known) or ``….instructions.…``."""
    cut = content[:MAX_CONTENT_CHARACTERS]
    return encode(
        {
            "type": f"session.{kind}.append",
            "event_id": event_id,
            "content": cut,
            "delegation_id": delegation_id,
        }
    )


def create_item(event_id: str, item: Event) -> bytes:
    """``response.item.create``: for the model behind."""
    return encode({"type": "response.item.create", "event_id": event_id, "item": item})


def create_response(event_id: str) -> bytes:
    """``response.create``: let the model behind go on."""
    return encode({"type": "response.create", "event_id": event_id})


def close_session(event_id: str) -> bytes:
    """``session.close``."""
    return protocol.encode({"type": "session.close", "event_id": event_id})
