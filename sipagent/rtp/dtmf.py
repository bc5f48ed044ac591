"""Keypad digits as telephone events (RFC 4733): received each exactly once, and sent.

A press is named by its RTP timestamp: packets with the timestamp of a press already reported are that press again,
whatever their marker and end bits say. It is reported at its first end packet or, when all those were lost, at the next
press or after ``END_TIMEOUT_S`` without an update.
"""

from math import inf
from struct import Struct
from typing import NamedTuple

DIGITS = "0123456789*#ABCD"
"""The digit of each event code (:rfc:`4733#section-3.2`); higher codes are no keys of a keypad."""

END_TIMEOUT_S = 0.2
"""Senders repeat an event every 20 to 50 ms: when four are missing, the key is up."""

MAX_SEGMENT = 0xFFFF
"""Samples one event can last; a key held longer begins a new segment there (:rfc:`4733#section-2.5.1.3`)."""

END_REPEATS = 3
"""How often the last packet of an event is sent (:rfc:`4733#section-2.5.1.4`)."""

VOLUME = 10
"""What we send, in -dBm0; a keypad's usual level."""

_END = 0x80
_PAYLOAD = Struct("!BBH")


class DigitReceived(NamedTuple):
    """The caller pressed a key, and let it go."""

    digit: str
    """One of ``0`` to ``9``, ``*``, ``#``, ``A`` to ``D``."""
    duration_ms: int


class DigitReceiver:
    """The presses of one source, from its event packets in order."""

    __slots__ = (
        "_duration", "_event", "_finished_segments", "_pressed", "_timestamp", "clock_rate", "due_at", "ignored",
    )  # fmt: skip

    def __init__(self, *, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.ignored = 0
        """Packets that were too short, or of an event that is no digit."""
        self.reset()

    def reset(self) -> None:
        """Forget what was pressed, reported or not: the next packet is of another clock."""
        self.due_at = inf
        """When :meth:`release` is to be called, as no update came; infinity while no key is down."""
        self._pressed = False
        self._timestamp: int | None = None
        self._event = 0
        self._duration = 0
        self._finished_segments = 0

    #  0                   1                   2                   3
    #  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    # |     event     |E|R| volume    |          duration             |
    # +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    def receive(self, payload: bytes, timestamp: int, *, now: float) -> list[DigitReceived]:
        """Take one event packet, and return the presses that are over by it: none or one, two when an end was lost."""
        if len(payload) < _PAYLOAD.size or payload[0] >= len(DIGITS):
            self.ignored += 1
            return []
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        over = []
        if self._continues(event, timestamp):
            self._finished_segments += MAX_SEGMENT
        elif timestamp != self._timestamp:
            over = self.release()
            self._pressed, self._event, self._finished_segments = True, event, 0
        elif not self._pressed:
            return []
        self._timestamp, self._duration = timestamp, self._finished_segments + duration
        self.due_at = now + END_TIMEOUT_S
        return over + self.release() if flags & _END else over

    def release(self) -> list[DigitReceived]:
        """The key is up: return its press, if one was down."""
        if not self._pressed:
            return []
        self._pressed, self.due_at = False, inf
        return [DigitReceived(DIGITS[self._event], self._duration * 1000 // self.clock_rate)]

    def _continues(self, event: int, timestamp: int) -> bool:
        """Whether this is the next segment of the key that is down."""
        return (
            self._pressed
            and self._timestamp is not None
            and event == self._event
            and timestamp == (self._timestamp + MAX_SEGMENT) & 0xFFFFFFFF
        )


class EventPacket(NamedTuple):
    """What to send in place of a frame of audio."""

    payload: bytes
    timestamp: int
    """Of the press, the same in all its packets."""
    marker: bool
    is_last: bool


class DigitSender:
    """One press to send: a packet a frame, its duration growing, the last of them ``END_REPEATS`` times."""

    __slots__ = ("_duration", "_elapsed", "_ends_left", "_event", "_timestamp")

    def __init__(self, digit: str, *, duration: int) -> None:
        """
        :param digit: one of ``DIGITS``.
        :param duration: in samples, at most ``MAX_SEGMENT``.
        """
        self._event = DIGITS.index(digit)
        self._timestamp: int | None = None
        self._duration = duration
        self._elapsed = 0
        self._ends_left = END_REPEATS

    def next_packet(self, timestamp: int, *, frame_samples: int) -> EventPacket:
        """Return the event packet of the frame at ``timestamp``; not to be called after the last."""
        marker = self._timestamp is None
        if self._timestamp is None:
            self._timestamp = timestamp
        self._elapsed = min(self._elapsed + frame_samples, self._duration)
        flags = VOLUME
        if self._elapsed == self._duration:
            self._ends_left -= 1
            flags |= _END
        payload = _PAYLOAD.pack(self._event, flags, self._elapsed)
        return EventPacket(payload, self._timestamp, marker, self._ends_left == 0)
