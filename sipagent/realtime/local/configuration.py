"""The session's configuration: its defaults, and ``session.update``, a merge patch taken whole or not at all."""

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from sipagent.formats import FORMATS, PCM, AudioFormat
from sipagent.realtime.local import schema
from sipagent.realtime.local.wire import Json, RequestError, missing, wrong_type

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
MAX_INSTRUCTIONS = 500_000
"""Characters; a context of 128k tokens holds about as many."""
MAX_TOOLS = 128
"""The API's own limit."""
REASONING_MODELS = re.compile(r"gpt-realtime-2(?!\d)")
"""Only these take ``reasoning`` and ``parallel_tool_calls``; ``gpt-realtime-2025-08-28`` is of the first generation."""

VAD_DEFAULTS: Mapping[str, Json] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}

_name = schema.text(256)
_format = schema.tagged(
    {
        "audio/pcm": schema.mapping({"type": schema.anything, "rate": schema.integer(PCM.rate, PCM.rate)}),
        "audio/pcmu": schema.mapping({"type": schema.anything}),
        "audio/pcma": schema.mapping({"type": schema.anything}),
    }
)
_voice = schema.either(
    lambda value: isinstance(value, dict), schema.mapping({"id": _name}, required=("id",)), schema.choice(*VOICES)
)
_modalities = schema.either(
    lambda value: value in (["audio"], ["text"]),
    schema.anything,
    lambda _value, path: _refuse(schema.invalid(path, "supported combinations are ['audio'] and ['text'].")),
)
_turn_detection = schema.tagged(
    {
        "server_vad": schema.mapping(
            {
                "type": schema.anything,
                "threshold": schema.number(0.0, 1.0),
                "prefix_padding_ms": schema.integer(0, 10_000),
                "silence_duration_ms": schema.integer(0, 60_000),
                "idle_timeout_ms": schema.nullable(schema.integer(5_000, 30_000)),
                "create_response": schema.boolean,
                "interrupt_response": schema.boolean,
            }
        ),
        "semantic_vad": schema.mapping(
            {
                "type": schema.anything,
                "eagerness": schema.choice("low", "medium", "high", "auto"),
                "create_response": schema.boolean,
                "interrupt_response": schema.boolean,
                "model_version": schema.anything,
            }
        ),
    }
)
_transcription = schema.mapping(
    {
        "model": _name,
        "language": schema.nullable(_name),
        "languages": schema.array(_name, 64),
        "prompt": schema.nullable(schema.text(10_000)),
        "keywords": schema.array(_name, 1000),
        "delay": schema.anything,
    }
)
_tool = schema.tagged(
    {
        "function": schema.mapping(
            {
                "type": schema.anything,
                "name": schema.text(64),
                "description": schema.nullable(schema.text(10_000)),
                "parameters": schema.nullable(
                    schema.either(
                        lambda value: isinstance(value, dict),
                        schema.anything,
                        lambda _value, path: _refuse(wrong_type(path, "an object")),
                    )
                ),
            },
            required=("name",),
        ),
        "mcp": schema.anything,
    }
)
_tool_choice = schema.either(
    lambda value: isinstance(value, dict),
    schema.tagged(
        {
            "function": schema.mapping({"type": schema.anything, "name": _name}, required=("name",)),
            "mcp": schema.anything,
        }
    ),
    schema.choice("none", "auto", "required"),
)
_max_output_tokens = schema.either(lambda value: isinstance(value, str), schema.choice("inf"), schema.integer(1, 4096))
_reasoning = schema.mapping({"effort": schema.choice("minimal", "low", "medium", "high", "xhigh")})

SHARED_FIELDS: Mapping[str, schema.Check] = {
    "output_modalities": _modalities,
    "instructions": schema.text(MAX_INSTRUCTIONS),
    "tools": schema.array(_tool, MAX_TOOLS),
    "tool_choice": _tool_choice,
    "max_output_tokens": _max_output_tokens,
    "parallel_tool_calls": schema.boolean,
    "reasoning": schema.nullable(_reasoning),
    "prompt": schema.anything,
}
"""What a session and a single response may both say."""

_session = schema.mapping(
    {
        **SHARED_FIELDS,
        "type": schema.choice("realtime"),
        "model": _name,
        "audio": schema.mapping(
            {
                "input": schema.mapping(
                    {
                        "format": _format,
                        "noise_reduction": schema.nullable(
                            schema.mapping(
                                {
                                    "type": schema.choice("near_field", "far_field"),
                                    "strength": schema.number(0.0, 1.0),
                                }
                            )
                        ),
                        "transcription": schema.nullable(_transcription),
                        "turn_detection": schema.nullable(_turn_detection),
                    }
                ),
                "output": schema.mapping({"format": _format, "voice": _voice, "speed": schema.number(0.25, 1.5)}),
            }
        ),
        "truncation": schema.anything,
        "tracing": schema.anything,
        "include": schema.nullable(schema.array(_name, 16)),
    },
    required=("type",),
)
_response = schema.mapping(
    {
        **SHARED_FIELDS,
        "audio": schema.mapping({"output": schema.mapping({"format": _format, "voice": _voice})}),
        "conversation": schema.choice("auto", "none"),
        "input": schema.nullable(schema.anything),
        "metadata": schema.nullable(schema.flat(16, 64, 512)),
    }
)


def check_response(value: object, model: str) -> Json:
    """Check the parameters of ``response.create``; ``{}`` when there are none.

    :raises RequestError: one of them is wrong.
    """
    if value is None:
        return {}
    parameters: Json = _response(value, "response")
    _check_reasoning(parameters, model, "response")
    return parameters


class Configuration:
    """What ``session.created`` and ``session.updated`` show."""

    def __init__(self, session_id: str, model: str, expires_at: int) -> None:
        pcm = PCM.to_json()
        self.values: Json = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "You are a helpful, friendly voice assistant that knows a few set phrases.",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "truncation": "auto",
            "tracing": None,
            "prompt": None,
            "expires_at": expires_at,
            "audio": {
                "input": {
                    "format": pcm,
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(VAD_DEFAULTS["server_vad"]),
                },
                "output": {"format": pcm, "voice": "marin", "speed": 1.0},
            },
            "include": None,
        }

    def update(self, value: object, *, has_spoken: bool) -> None:
        """Merge ``value`` into the configuration; :class:`RequestError` leaves it as it was.

        :param has_spoken: audio has been put out, so that the voice is fixed.
        """
        if value is None:
            raise missing("session")
        patch: Json = _session(value, "session")
        if patch.get("model", self.model) != self.model:
            raise schema.invalid("session.model", "the model of a session cannot be changed.")
        _check_reasoning(patch, self.model, "session")
        voice = patch.get("audio", {}).get("output", {}).get("voice", self.output["voice"])
        if has_spoken and voice != self.output["voice"]:
            message = "Cannot update a conversation's voice if assistant audio is present."
            raise RequestError(message, code="cannot_update_voice", param="session.audio.output.voice")
        self.values = _merge(self.values, patch)

    def echo(self) -> Json:
        """A copy that is safe to change."""
        return deepcopy(self.values)

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.values["model"])

    @property
    def input(self) -> Json:
        """``session.audio.input``."""
        return self.values["audio"]["input"]  # type: ignore[no-any-return]

    @property
    def output(self) -> Json:
        """``session.audio.output``."""
        return self.values["audio"]["output"]  # type: ignore[no-any-return]

    @property
    def input_format(self) -> AudioFormat:
        """How the caller's audio comes."""
        return FORMATS[self.input["format"]["type"]]

    @property
    def turn_detection(self) -> Json | None:
        """The server's voice activity detection, ``None`` when turns are the client's."""
        return self.input["turn_detection"]  # type: ignore[no-any-return]


def read_format(value: Json) -> AudioFormat:
    """The format that a checked ``{"type": …}`` names."""
    return FORMATS[value["type"]]


def _merge(old: Json, patch: Json) -> Json:
    """Only what is sent changes; the containers are merged, all other values replaced and completed by defaults."""
    merged = dict(old)
    for name, value in patch.items():
        if name in ("audio", "input", "output"):
            merged[name] = _merge(old[name], value)
        elif name == "format":
            merged[name] = FORMATS[value["type"]].to_json()
        elif name == "turn_detection" and value is not None:
            same = old[name] is not None and old[name]["type"] == value["type"]
            merged[name] = (old[name] if same else VAD_DEFAULTS[value["type"]]) | value
        elif name == "transcription" and value is not None:
            merged[name] = {"language": None, "prompt": ""} | (old[name] or {}) | value
        else:
            merged[name] = value
    return merged


def _check_reasoning(patch: Json, model: str, path: str) -> None:
    for name in ("reasoning", "parallel_tool_calls"):
        if name in patch and not REASONING_MODELS.match(model):
            message = f"Unsupported parameter: '{path}.{name}' is not supported with this model."
            raise RequestError(message, code="unknown_parameter", param=f"{path}.{name}")


def _refuse(error: RequestError) -> Any:
    raise error
