"""What a session sends and hears, as offer and answer agreed on it."""

from dataclasses import dataclass

from sipagent.rtp.latch import Address


@dataclass(frozen=True, slots=True)
class RtpParameters:
    """One agreement; a re-INVITE brings another."""

    payload_type: int
    """Of the audio that is sent."""
    receive_payload_types: frozenset[int]
    """Of the audio that may come; one byte a sample (G.711)."""
    telephone_event: frozenset[int] = frozenset()
    """Payload types of the digits that may come."""
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
    silence: bytes = b"\xff"
    """One sample of silence, for payload types that are neither PCMU nor PCMA."""


UNCONFIGURED = RtpParameters(payload_type=0, receive_payload_types=frozenset())
"""Before the first agreement: nobody is heard, nothing can be sent."""
