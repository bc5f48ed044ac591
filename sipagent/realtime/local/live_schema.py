"""What a client of the embedded Live server may send: every event and field, and none besides (section 9)."""

from collections.abc import Mapping
from typing import Any

from sipagent.formats import PCMA, PCMU, AudioFormat, pcm_at
from sipagent.realtime.local import schema
from sipagent.realtime.local.wire import Json, RequestError, missing

MAX_CONTENT = 2_000
"""Characters, for the 500 tokens that may be appended at once."""
MAX_INSTRUCTIONS = 65_536
"""Characters, for 16,384 tokens."""
MAX_INPUT = 128
"""Messages of an earlier conversation."""
MAX_TOOLS = 128
MAX_ID = 512

FORMATS: Mapping[tuple[str, int], AudioFormat] = {
    ("audio/pcmu", 8_000): PCMU,
    ("audio/pcma", 8_000): PCMA,
    ("audio/pcm", 16_000): pcm_at(16_000),
    ("audio/pcm", 24_000): pcm_at(24_000),
}
"""By type and rate; the rate must be given."""

_event = {"type": schema.anything, "event_id": schema.nullable(schema.text(MAX_ID))}
_content = schema.mapping(
    {**_event, "content": schema.text(MAX_CONTENT), "delegation_id": schema.nullable(schema.text(MAX_ID))},
    required=("content", "delegation_id"),
)
_tool = schema.tagged(
    {
        "function": schema.mapping(
            {
                "type": schema.anything,
                "name": schema.text(64),
                "description": schema.nullable(schema.text(10_000)),
                "parameters": schema.anything,
                "strict": schema.nullable(schema.boolean),
            },
            required=("name",),
        )
    }
)
_backend: Mapping[str, schema.Check] = {
    "model": schema.text(128),
    "instructions": schema.nullable(schema.text(MAX_INSTRUCTIONS)),
    "max_output_tokens": schema.nullable(schema.integer(1, 2**31)),
    "parallel_tool_calls": schema.nullable(schema.boolean),
    "reasoning": schema.anything,
    "service_tier": schema.anything,
    "text": schema.anything,
    "tool_choice": schema.nullable(schema.choice("auto", "none", "required")),
    "tools": schema.array(_tool, MAX_TOOLS),
}
_delay = {"acknowledgement_delay_ms": schema.nullable(schema.integer(0, 60_000))}
_client = schema.mapping({"type": schema.anything, **_delay})


def _delegation(responses: schema.Check, *required: str) -> schema.Check:
    behind = schema.mapping({"type": schema.anything, **_delay, "responses": responses}, required=required)
    return schema.tagged({"client": _client, "responses": behind})


_voice = schema.either(
    lambda value: isinstance(value, str), schema.text(128), schema.mapping({"id": schema.text(128)}, required=("id",))
)
_format = schema.mapping(
    {"type": schema.choice("audio/pcm", "audio/pcmu", "audio/pcma"), "rate": schema.integer(8_000, 24_000)},
    required=("type", "rate"),
)
_part = schema.mapping({"type": schema.anything, "text": schema.text(MAX_INSTRUCTIONS)}, required=("text",))
_message = schema.mapping(
    {
        "type": schema.anything,
        "id": schema.anything,
        "status": schema.anything,
        "role": schema.choice("developer", "user", "assistant"),
        "content": schema.array(_part, 1),
    },
    required=("role", "content"),
)
_session = schema.mapping(
    {
        "model": schema.text(128),
        "instructions": schema.nullable(schema.text(MAX_INSTRUCTIONS)),
        "audio": schema.mapping({"format": _format, "output": schema.mapping({"voice": _voice})}),
        "delegation": schema.nullable(_delegation(schema.mapping(_backend, required=("model",)), "responses")),
        "input": schema.nullable(schema.array(_message, MAX_INPUT)),
        "safety_identifier": schema.nullable(schema.text(MAX_ID)),
        "store": schema.nullable(schema.boolean),
    },
    required=("model",),
)
_output = schema.mapping(
    {"type": schema.anything, "call_id": schema.text(MAX_ID), "output": schema.text(1_000_000)},
    required=("call_id", "output"),
)

_changes = schema.mapping({"delegation": _delegation(schema.mapping(_backend))})

EVENTS: Mapping[str, schema.Check] = {
    "session.start": schema.mapping({**_event, "session": _session}, required=("session",)),
    "session.update": schema.mapping({**_event, "session": _changes}, required=("session",)),
    "session.input_audio.append": schema.mapping({**_event, "audio": schema.anything}),
    "session.input_audio.mute": schema.mapping(_event),
    "session.input_audio.unmute": schema.mapping(_event),
    "session.commentary.append": _content,
    "session.thinking.append": _content,
    "session.instructions.append": _content,
    "response.item.create": schema.mapping(
        {**_event, "item": schema.tagged({"function_call_output": _output})}, required=("item",)
    ),
    "response.create": schema.mapping(_event),
    "session.close": schema.mapping(_event),
}
"""The client's events; the API's others (``decision.…``, fixtures) are not known here."""


def check_event(event: Json) -> Json:
    """The event, once all of it is right.

    :raises RequestError: it is not.
    """
    kind = event["type"]
    if kind not in EVENTS:
        message = f"Invalid value: '{kind[:80]}'. Supported values are: {', '.join(map(repr, EVENTS))}."
        raise RequestError(message, code="invalid_value", param="type")
    checked: Json = EVENTS[kind](event, "")
    return checked


def format_of(session: Json) -> AudioFormat:
    """The one format of a session, both ways; 24 kHz when it names none.

    :raises RequestError: a rate that the type does not have.
    """
    asked: dict[str, Any] = session.get("audio", {}).get("format", {"type": "audio/pcm", "rate": 24_000})
    if "rate" not in asked:
        raise missing("session.audio.format.rate")
    found = FORMATS.get((asked["type"], asked["rate"]))
    if found is None:
        message = f"Invalid 'session.audio.format': {asked['type']} has no rate of {asked['rate']} Hz."
        raise RequestError(message, code="invalid_value", param="session.audio.format.rate")
    return found
