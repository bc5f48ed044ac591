"""A leg: one party of a call, as the call sees it."""

from collections.abc import Sequence
from typing import Protocol

from sipagent.call.events import Address, SendRtcp
from sipagent.call.frames import Codec
from sipagent.rtp.session import Frame


class Leg(Protocol):
    """Frames in, frames out, in one G.711 codec for the whole of the call, whatever the wire changes to."""

    codec: Codec
    is_held: bool
    """The party does not listen; what it sends is hold music, not speech."""

    @property
    def is_agreed(self) -> bool:
        """Whether the party can be sent to; until then it hears nothing."""

    def receive_packet(self, data: bytes, source: Address, *, now: float) -> Sequence[Frame]:
        """Take a packet; return the frames that may now be heard, in order."""

    def take_released(self) -> Sequence[Frame]:
        """Take the frames that a timer let go of."""

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet."""

    def send_frame(self, frame: bytes, *, marker: bool, now: float) -> bytes | None:
        """Make the packet of this tick, ``None`` while the party does not listen."""

    def poll(self) -> SendRtcp | str | None:
        """Take an RTCP packet to send, or a digit that was pressed."""

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` is due."""

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""

    def close(self, *, now: float) -> None:
        """Say good-bye in RTCP."""
