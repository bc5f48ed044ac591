"""The sending half of a session: frames in, packets out.

SSRC, sequence and timestamp run on through anything, hold and re-INVITE included: a peer that sees them change may
stop listening.
"""

from random import Random
from typing import Final

from sipagent.errors import LocalProtocolError
from sipagent.rtp.dtmf import DIGITS, MAX_SEGMENT, DigitSender
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.parameters import UNCONFIGURED, RtpParameters

MAX_DIGITS: Final = 64
"""Digits waiting to be sent; the longest numbers people dial are half of that."""


class Sender:
    """Our stream; :meth:`next_packet` is called once for each frame's time."""

    __slots__ = (
        "_digit", "_digits_waiting", "_first_sequence_number", "_frame_samples", "_parameters",
        "_payload_type", "_sent_at", "_sent_timestamp",
        "_sequence_number", "_timestamp", "octets", "packets", "ssrc",
    )  # fmt: skip

    def __init__(self, *, random: Random) -> None:
        self.ssrc = random.getrandbits(32)
        self.packets = 0
        self.octets = 0
        """Of payload."""
        # far from its end: SRTP's count must not begin on a wrap
        self._sequence_number = self._first_sequence_number = random.getrandbits(15)
        self._timestamp = random.getrandbits(32)
        self._sent_at = 0.0
        self._sent_timestamp = self._timestamp
        self._digit: DigitSender | None = None
        self._digits_waiting: list[tuple[str, int]] = []
        self.configure(UNCONFIGURED)

    def configure(self, parameters: RtpParameters) -> None:
        """Go on with another agreement; digits the peer no longer takes are forgotten."""
        self._parameters = parameters
        self._payload_type = parameters.payload_type
        self._frame_samples = parameters.frame_samples
        if parameters.send_telephone_event is None:
            self._digit = None
            self._digits_waiting.clear()

    def next_packet(self, payload: bytes, *, now: float, marker: bool) -> bytes:
        """Return the packet of the next frame: of ``payload``, or of the digit that is being sent."""
        self._sent_at = now
        self._sent_timestamp = timestamp = self._timestamp
        self._timestamp = (timestamp + self._frame_samples) & 0xFFFFFFFF
        payload_type = self._payload_type
        if self._digit is not None:
            payload_type, timestamp, payload, marker = self._next_event(self._digit, timestamp)
        sequence_number = self._sequence_number
        self._sequence_number = (sequence_number + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return pack_packet(payload_type, sequence_number, timestamp, self.ssrc, payload, marker)

    def skip(self, samples: int) -> None:
        """Let time pass on the media clock without a packet."""
        self._timestamp = (self._timestamp + samples) & 0xFFFFFFFF

    def send_digit(self, digit: str, *, duration_ms: int) -> None:
        """Put a press behind those that wait.

        :raises LocalProtocolError: no such key, no such duration, too many waiting, or the peer takes no events.
        """
        if self._parameters.send_telephone_event is None:
            raise LocalProtocolError("the peer takes no telephone events")
        duration = duration_ms * self._parameters.clock_rate // 1000
        if len(digit) != 1 or digit not in DIGITS or not 0 < duration <= MAX_SEGMENT:
            raise LocalProtocolError(f"{digit!r} for {duration_ms} ms is no press of a key")
        if len(self._digits_waiting) >= MAX_DIGITS:
            raise LocalProtocolError(f"{MAX_DIGITS} digits are waiting already")
        self._digits_waiting.append((digit, duration))
        if self._digit is None:
            self._press_next()

    def count_up_to(self, sequence_number: int) -> int:
        """How many packets were sent up to an extended number, as a receiver counts that heard us from the first."""
        count = sequence_number - self._first_sequence_number + 1 & 0xFFFFFFFF
        return min(count, self.packets)

    def timestamp_at(self, now: float) -> int:
        """The media clock at ``now``: it runs between packets, too."""
        return (self._sent_timestamp + int((now - self._sent_at) * self._parameters.clock_rate)) & 0xFFFFFFFF

    def _press_next(self) -> None:
        self._digit = None
        if self._digits_waiting:
            digit, duration = self._digits_waiting.pop(0)
            self._digit = DigitSender(digit, duration=duration)

    def _next_event(self, digit: DigitSender, timestamp: int) -> tuple[int, int, bytes, bool]:
        """Return payload type, timestamp, payload and marker of the digit's next packet."""
        event = digit.next_packet(timestamp, frame_samples=self._frame_samples)
        if event.is_last:
            self._press_next()
        return self._parameters.send_telephone_event or 0, event.timestamp, event.payload, event.marker
