"""How we want a session to be: the settings, the ``session.update`` they make, and the check of what came of it."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from sipagent.formats import PCMU, AudioFormat
from sipagent.realtime.dialects import OPENAI, Dialect, TurnDetection
from sipagent.realtime.protocol import Event, mapping

MODELS_WITH_REASONING = re.compile(r"gpt-realtime-2(?!\d)")
"""Second-generation models; ``gpt-realtime-2025-08-28`` is a dated first-generation one.

Every other model refuses the whole update for a field it doesn't know.
"""

MODELS_WITH_LANGUAGES = frozenset({"gpt-live-transcribe", "gpt-transcribe"})
"""Transcription models that take the lists ``languages`` and ``keywords``; the others take one ``language``."""


LONGEST_SILENCE_MS = {"low": 8_000, "auto": 4_000, "medium": 4_000, "high": 2_000}
"""What ``semantic_vad`` waits at most, by its eagerness."""


@dataclass(frozen=True, slots=True)
class ServerVad:
    """The server's own judge of turns: of loudness and silence, or of meaning.

    All that its type knows is sent, because the server's real defaults differ from its documentation's.
    """

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """Of ``semantic_vad`` alone; the three above are of ``server_vad`` alone."""

    @property
    def longest_silence_ms(self) -> int:
        """The most silence after which it says that a turn is over."""
        return self.silence_duration_ms if self.type == "server_vad" else LONGEST_SILENCE_MS[self.eagerness]


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What one session with the model is to be like. ``model`` itself travels in the connection's URL."""

    model: str
    instructions: str = ""
    voice: str = "marin"
    """A name, or the id (``voice_...``) of a voice of one's own."""
    audio_format: AudioFormat = PCMU
    """Both ways."""
    turn_detection: TurnDetection = "local"
    """Who ends the caller's turn: we, the server, or the server while we ask for the answer (``hybrid``); who
    interrupts the agent is always decided here."""
    server_vad: ServerVad = field(default_factory=ServerVad)
    transcription_model: str | None = None
    language: str | None = None
    """ISO 639-1, a hint to the transcription."""
    keywords: tuple[str, ...] = ()
    """Names and terms that callers use: another hint, for the models that take lists; the others never see it."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    tools: tuple[Event, ...] = field(default=(), repr=False)  # in one of an MCP server there may be a key
    max_output_tokens: int | Literal["inf"] = 4096
    speed: float = 1.0
    retention_ratio: float = 0.8
    """How much of the conversation stays when it outgrows the model's context."""
    reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    """For the models that reason; the others never see it."""
    parallel_tool_calls: bool | None = None
    """For the models that reason; the others never see it."""
    dialect: Dialect = OPENAI
    """What kind of server it is."""
    delegation_model: str = "gpt-5.5"
    """For GPT-Live: the model that thinks and calls tools behind the one that speaks."""
    setup_timeout_s: float = 5.0
    """How long the server may take from the open connection to the confirmed configuration."""


def session_object(settings: SessionSettings) -> Event:
    """The ``session`` of our ``session.update``, in the words of the dialect."""
    dialect = settings.dialect
    audio_format = settings.audio_format.to_json()
    given: Event = {
        "format": audio_format,
        "noise_reduction": {"type": settings.noise_reduction} if settings.noise_reduction else None,
        "transcription": _transcription(settings),
        "turn_detection": _turn_detection(settings),
    }
    given = {name: value for name, value in given.items() if name not in dialect.lacks}
    taken: Event = {"format": audio_format, "voice": voice_of(settings.voice), "speed": settings.speed}
    session: Event = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": settings.instructions,
        **{name: part.pop(name) for name in sorted(dialect.top_level) for part in (given, taken) if name in part},
        "audio": {"input": _known(given, dialect, "audio.input."), "output": _known(taken, dialect, "audio.output.")},
        "tools": list(settings.tools),
        "tool_choice": "auto",
        "max_output_tokens": settings.max_output_tokens,
        "truncation": {"type": "retention_ratio", "retention_ratio": settings.retention_ratio},
        "tracing": None,
    }
    if MODELS_WITH_REASONING.match(settings.model) and dialect.can("reasoning"):
        session |= _reasoning(settings)
    return _known(session, dialect)


def _known(fields: Event, dialect: Dialect, place: str = "") -> Event:
    """Those of the fields that this kind of server takes.

    :param place: where they are in the session, with a dot at its end.
    """
    return {name: value for name, value in fields.items() if f"{place}{name}" not in dialect.omitted}


def _transcription(settings: SessionSettings) -> Event | None:
    model, language = settings.transcription_model, settings.language
    if model is None:
        return None
    takes_lists = model in MODELS_WITH_LANGUAGES
    wanted: Event = {"model": model}
    if language is not None:
        wanted |= {"languages": [language]} if takes_lists else {"language": language}
    if settings.keywords and takes_lists:
        wanted["keywords"] = list(settings.keywords)
    return wanted


def _turn_detection(settings: SessionSettings) -> Event | None:
    if settings.turn_detection == "local":
        return None
    vad = settings.server_vad
    detection: Event = {"type": vad.type}
    if vad.type == "semantic_vad":
        detection["eagerness"] = vad.eagerness
    else:
        detection["threshold"] = vad.threshold
        detection["prefix_padding_ms"] = vad.prefix_padding_ms
        detection["silence_duration_ms"] = vad.silence_duration_ms
    detection |= {"create_response": settings.turn_detection == "server", "interrupt_response": False}
    return _known(detection, settings.dialect, "turn_detection.")


def voice_of(voice: str) -> str | Event:
    """A voice as the API names it: one of its own, or one that was made for somebody."""
    return {"id": voice} if voice.startswith("voice_") else voice


def _reasoning(settings: SessionSettings) -> Event:
    fields: Event = {}
    if settings.reasoning_effort is not None:
        fields["reasoning"] = {"effort": settings.reasoning_effort}
    if settings.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = settings.parallel_tool_calls
    return fields


def differences(settings: SessionSettings, session: Event) -> list[str]:
    """What of a ``session.updated`` is not as asked for and would make the call go wrong, each as a phrase.

    A wrong format is noise in the caller's ear, a wrong turn detection is an agent that talks over the caller or never
    answers. The other settings only change how well it is done, and a server may round or rename them.
    """
    audio_format = settings.audio_format.to_json()
    given = mapping(mapping(session, "audio"), "input")
    taken = mapping(mapping(session, "audio"), "output")
    detection = session if "turn_detection" in settings.dialect.top_level else given
    checks: list[tuple[str, Any, Any]] = [
        ("session.type", "realtime", session.get("type")),
        *_format_checks("audio.input.format", audio_format, mapping(given, "format")),
        *_format_checks("audio.output.format", audio_format, mapping(taken, "format")),
        *_turn_detection_checks(_turn_detection(settings), detection.get("turn_detection")),
    ]
    is_told = settings.dialect.echoes_all
    return [f"{name} is {_shown(got)}, not {want!r}" for name, want, got in checks if got != want and (is_told or got)]


def _format_checks(name: str, want: Event, got: Event) -> list[tuple[str, Any, Any]]:
    """Another rate is noise as much as another codec; a server that names none has the one there is."""
    rate = f"{name}.rate", want.get("rate"), got.get("rate", want.get("rate"))
    return [(name, want["type"], got.get("type")), *([rate] if "rate" in want else [])]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("type")
    return f"{value!r:.80}" if isinstance(value, str | int | float | None) else type(value).__name__


def _turn_detection_checks(want: Event | None, got: Any) -> list[tuple[str, Any, Any]]:
    name = "audio.input.turn_detection"
    if want is None or not isinstance(got, dict):
        return [(name, want and want["type"], got)]
    keys = ("type", "create_response", "interrupt_response")
    return [(f"{name}.{key}", want[key], got.get(key)) for key in keys if key in want]
