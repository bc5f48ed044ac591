"""What a socket and a driver know of whoever carries packets between them.

A base class and no protocol, so that compiled code calls it directly: all packets go through it.
"""

from sipagent.call.events import Address


class Carrier:
    """Takes packets that were read, and sends one each tick."""

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Take an RTP packet that was read."""
        raise NotImplementedError

    def send_packet(self, *, now: float) -> bool:
        """Make and send the packet of this tick; say whether a deadline may be near."""
        raise NotImplementedError
