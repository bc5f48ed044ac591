"""What the embedded model asks of its shell: bytes to send, and the two things it cannot do itself, speak and hear."""

from dataclasses import dataclass
from typing import TypeAlias

from sipagent.formats import AudioFormat


@dataclass(frozen=True, slots=True)
class Send:
    """Send ``data``, one UTF-8 JSON event, as a text frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket; nothing follows."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Break the connection without a close frame, as a failing network does; nothing follows."""


@dataclass(frozen=True, slots=True)
class RenderSpeech:
    """Speak ``text``, one sentence; answer once with :meth:`LocalServer.receive_speech`.

    ``voice`` is the API's name of it or a custom id, ``speed`` a factor between 0.25 and 1.5.
    """

    request_id: int
    text: str
    voice: str
    speed: float
    format: AudioFormat


@dataclass(frozen=True, slots=True)
class HearSpeech:
    """Say which of ``phrases`` this audio is; answer once with :meth:`LocalServer.receive_hearing`."""

    request_id: int
    audio: bytes
    format: AudioFormat
    phrases: tuple[str, ...]


Output: TypeAlias = Send | Close | Drop | RenderSpeech | HearSpeech
