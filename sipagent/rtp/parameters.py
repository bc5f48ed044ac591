"""What a session sends and hears, as offer and answer agreed on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sipagent.rtp.latch import Address
from sipagent.rtp.srtp import SrtpParameters
from sipagent.rtp.webrtc import WebRtcParameters

COMFORT_NOISE: Final = 13
"""The static payload type of :rfc:`3389`."""


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """How long the audio of a payload is; as it stands, that of G.711 and G.722."""

    clock_rate: int = 8000
    """Of RTP, in Hz; for G.722 that is 8000 (:rfc:`3551#section-4.5.2`)."""
    count_samples: Callable[[bytes], int] = len
    """Takes a payload, returns its length on that clock: 0 or more, whatever the bytes."""


G711: Final = PayloadFormat()


@dataclass(frozen=True, slots=True)
class RtpParameters:
    """One agreement; a re-INVITE brings another."""

    payload_type: int
    """Of the audio that is sent."""
    receive_payload_types: Mapping[int, PayloadFormat]
    """Of the audio that may come."""
    telephone_event: Mapping[int, int] = field(default_factory=dict)
    """Payload types of the digits that may come, and their clock rates."""
    comfort_noise: frozenset[int] = frozenset({COMFORT_NOISE})
    """Payload types of comfort noise that may come."""
    remote: Address | None = None
    """The SDP's address, numeric. ``None`` on hold by 0.0.0.0: nothing can be sent, but the source stays as it was."""
    remote_rtcp: Address | None = None
    """``None`` for the port above the one of ``remote``."""
    rtcp_mux: bool = False
    """RTCP shares the port of RTP (:rfc:`5761`)."""
    send_telephone_event: int | None = None
    """Payload type of the digits that are sent, ``None`` when the peer takes none."""
    signalling_host: str | None = None
    """The peer's host as the signalling sees it; behind a NAT it is a better guess than any other."""
    frame_samples: int = 160
    """Of each frame that is sent; 20 ms at 8 kHz."""
    clock_rate: int = 8000
    """Of what is sent."""
    srtp: SrtpParameters | None = None
    """``None`` for plain RTP, and for a browser's, whose keys come by DTLS."""
    webrtc: WebRtcParameters | None = None
    """How a browser is reached; ``remote`` is then any address, the same throughout, and RTCP shares the port."""

    @property
    def is_authenticated(self) -> bool:
        """Whether what comes in is vouched for."""
        return self.srtp is not None


UNCONFIGURED = RtpParameters(payload_type=0, receive_payload_types={})
"""Before the first agreement: nobody is heard, nothing can be sent."""
