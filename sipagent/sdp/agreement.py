"""What an exchange agreed on, seen from our side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sipagent.sdp.crypto import SrtpKeys
from sipagent.sdp.formats import Format
from sipagent.sdp.webrtc import WebRtcTerms

Address: TypeAlias = tuple[str, int]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

DIRECTIONS: Final[Mapping[Direction, tuple[bool, bool]]] = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
"""Whether the one who says it sends, and whether he receives (:rfc:`3264#section-5.1`)."""


@dataclass(frozen=True, slots=True)
class MediaParameters:
    """One agreement; a re-INVITE brings another."""

    codec: str
    """What we send: ``PCMU``, ``PCMA``, ``G722``, ``opus`` or ``L16``."""
    clock_rate: int
    """Hz of its RTP clock: 8000 for G.722, though it samples at 16 kHz; 48000 for opus."""
    payload_type: int
    """What we send it as."""
    receive_formats: Mapping[int, Format]
    """The codec and the clock of each payload type the peer may send, without events and comfort noise."""
    remote: Address | None
    """Where the peer wants its media: an IP address and a port.

    ``None`` when the peer is on hold by address or port.
    """
    remote_rtcp: Address | None
    rtcp_mux: bool
    """RTP and RTCP share a port (:rfc:`5761`)."""
    telephone_event_payload_type: int | None
    """What to send keypad events as (:rfc:`4733`); ``None`` when the peer takes none."""
    telephone_event_clock_rate: int
    """Hz of those; that of the codec, but where the peer knows of 8000 only."""
    receive_telephone_events: Mapping[int, int]
    """The clock rate of each payload type that the peer may send keypad events as."""
    comfort_noise: frozenset[int]
    """Payload types of comfort noise (:rfc:`3389`), which some send unasked. We never send it, nor ask for it."""
    ptime_ms: int
    """How much audio is in a packet of ours, as the peer would like it: 10 to 60, in tens; our description says so."""
    direction: Direction
    """Ours: ``sendonly`` means that we send."""
    srtp: SrtpKeys | None = None
    """What packets are protected with; ``None`` for plain RTP."""
    webrtc: WebRtcTerms | None = None
    """How a browser is reached, and its keys are agreed on; ``remote`` then says nothing."""

    @property
    def receive_payload_types(self) -> dict[int, str]:
        """The codec of each payload type the peer may send."""
        return {number: entry.codec for number, entry in self.receive_formats.items()}

    @property
    def receive_telephone_event(self) -> frozenset[int]:
        """The payload types the peer may send keypad events as."""
        return frozenset(self.receive_telephone_events)

    @property
    def sends(self) -> bool:
        """Whether our audio may go out."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the peer's audio is expected."""
        return self.direction in ("sendrecv", "recvonly")
