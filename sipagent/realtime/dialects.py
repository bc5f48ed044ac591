"""The dialects: how each server differs from the Realtime API of OpenAI, as data.

A session reads these tables and asks no server for its name (realtime-api.md, sections 1, 2, 7 and 9). What a server
cannot do is never asked of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from sipagent.formats import AudioFormat, pcm_at
from sipagent.realtime.failures import OWN_ERRORS, ErrorClass, ErrorTable

Protocol: TypeAlias = Literal["realtime", "live"]
"""Which of the two APIs it is a dialect of."""

TurnDetection: TypeAlias = Literal["local", "server", "hybrid"]
"""Who ends the caller's turn."""

Auth: TypeAlias = Literal["bearer", "api-key", "basic", "query", "none"]
"""How the key travels: ``Authorization: Bearer``, ``api-key:``, ``Authorization: Basic``, in the URL, not at all."""

Capability: TypeAlias = Literal[
    "cancel", "truncate", "clear", "commit", "noise_reduction", "transcription", "reasoning"
]
"""``commit`` is to take a turn from us at all; without it the server finds the turns."""

DialectName: TypeAlias = Literal["openai", "azure", "xai", "pcm", "live"]

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server."""

    name: DialectName
    protocol: Protocol = "realtime"
    url: str = ""
    """Where it is, if there is one place for all."""
    path: str = "/v1/realtime"
    """Where it is on a host that the configuration names alone."""
    model: str = ""
    """What is asked for where nothing else is."""
    model_parameter: str = "model"
    """What carries the model's name in the URL; empty where the first message does."""
    auth: Auth = "bearer"
    key_parameter: str = "api_key"
    """What carries the key in the URL, with ``query``."""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Sent with the handshake, besides the key."""
    subprotocols: tuple[str, ...] = ()
    """Offered in the handshake."""
    codecs: frozenset[str] = frozenset({"PCMU", "PCMA"})
    """What of a telephone's it takes as it is; anything else goes there as linear samples."""
    rate: int = 24_000
    """Of linear samples, both ways."""
    top_level: frozenset[str] = frozenset()
    """Fields of the session that stand beside ``audio`` and not in it: ``voice``, ``turn_detection``."""
    omitted: frozenset[str] = frozenset()
    """Fields of the session that it refuses or does not know, by their place, such as ``audio.output.speed``."""
    echoes_all: bool = True
    """Whether ``session.updated`` tells everything; else only what is in it is held against what we asked for."""
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Its own names of events."""
    lacks: frozenset[Capability] = frozenset()
    """What it cannot do."""
    session_limit_s: float = HOUR_S
    """How long a session lasts, where the server does not say it itself."""
    errors: ErrorTable = OWN_ERRORS
    """What its errors mean, where they are its own."""

    def can(self, capability: Capability) -> bool:
        """Whether it may be asked for this."""
        return capability not in self.lacks

    def format_for(self, audio_format: AudioFormat) -> AudioFormat:
        """The format of a session for a call in ``audio_format``."""
        return audio_format if audio_format.codec in self.codecs else pcm_at(self.rate)

    def without(self, *lacks: Capability) -> "Dialect":
        """The same for a server that cannot do these either."""
        return replace(self, lacks=self.lacks | frozenset(lacks)) if lacks else self


OPENAI: Final = Dialect("openai", url="wss://api.openai.com/v1/realtime", model="gpt-realtime-2.1")

AZURE: Final = Dialect(
    "azure",
    path="/openai/v1/realtime",
    auth="api-key",
    errors=ErrorTable(
        codes=MappingProxyType({"DeploymentNotFound": ErrorClass.FATAL}),
        words=(("access denied due to invalid subscription key", ErrorClass.FATAL),),
    ),
)
"""The model is the name of a deployment. Now and then it says an event by its name of the preview, which every session
understands (:data:`~sipagent.realtime.protocol.BETA_NAMES`)."""

XAI_UNKNOWN: Final = frozenset(
    (
        *("type", "output_modalities", "tool_choice", "max_output_tokens", "truncation", "tracing"),
        *("audio.output.speed", "turn_detection.create_response", "turn_detection.interrupt_response"),
    )
)

XAI: Final = Dialect(
    "xai",
    url="wss://api.x.ai/v1/realtime",
    model="grok-voice-latest",
    aliases=MappingProxyType(
        {
            "conversation.created": "session.created",  # its first word
            "conversation.item.input_audio_transcription.updated": (
                "conversation.item.input_audio_transcription.delta"
            ),  # which is all so far, not what is new
        }
    ),
    top_level=frozenset({"voice", "turn_detection"}),
    omitted=XAI_UNKNOWN,
    echoes_all=False,
    lacks=frozenset({"commit", "clear", "noise_reduction", "reasoning"}),
    errors=ErrorTable(
        words=(
            ("incorrect api key", ErrorClass.FATAL),
            ("invalid api key", ErrorClass.FATAL),
            ("run out of credits", ErrorClass.FATAL),
            ("not active", ErrorClass.BENIGN),
            ("buffer is empty", ErrorClass.BENIGN),
        ),
    ),
)
"""Turns that a client ends are unstable there, so the server finds them."""

PCM_ONLY: Final = Dialect(
    "pcm",
    codecs=frozenset(),
    omitted=frozenset({"audio.output.speed", "max_output_tokens", "truncation", "tracing"}),
    echoes_all=False,
    lacks=frozenset({"noise_reduction", "reasoning"}),
)
"""Servers of one's own: of the GA's shape, for linear samples at a rate of theirs."""

LIVE: Final = Dialect(
    "live",
    protocol="live",
    url="wss://api.openai.com/v1/live/sessions",
    path="/v1/live/sessions",
    model="gpt-live-1",
    model_parameter="",
    lacks=frozenset({"cancel", "truncate", "clear", "commit", "noise_reduction", "transcription", "reasoning"}),
    errors=ErrorTable(
        words=(("session duration", ErrorClass.EXPIRED),),
    ),
)
"""GPT-Live: full duplex, the floor is the model's."""

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {dialect.name: dialect for dialect in (OPENAI, AZURE, XAI, PCM_ONLY, LIVE)}
)
