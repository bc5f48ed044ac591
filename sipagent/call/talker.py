"""What the shell knows of a machine that takes and makes packets: a call or a phone.

A base class and no protocol, so that compiled code calls it directly: all packets go through it.
"""

from typing import Generic, TypeVar

from sipagent.call.events import Address

Output = TypeVar("Output")


class Talker(Generic[Output]):
    """A :class:`~sipagent.machine.Machine` with media."""

    @property
    def remote(self) -> Address | None:
        """Where its packets go."""
        raise NotImplementedError

    @property
    def frame_ms(self) -> int:
        """How often it makes one."""
        raise NotImplementedError

    def poll(self) -> Output | None:
        """Return the next output, or ``None`` when there is no more."""
        raise NotImplementedError

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due."""
        raise NotImplementedError

    def handle_timer(self, *, now: float) -> None:
        """Do what is due at ``now``."""
        raise NotImplementedError

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> bool:
        """Take a packet; say whether it may have brought a deadline near."""
        raise NotImplementedError

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet."""
        raise NotImplementedError

    def next_packet(self, *, now: float) -> bytes | None:
        """Make the packet of this tick."""
        raise NotImplementedError
