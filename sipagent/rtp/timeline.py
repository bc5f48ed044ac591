"""The sender's clock: which of the time between two packets was lost, and which was silence never sent.

A packet says by its timestamp where its audio belongs. Between the end of the audio before and there lies, first, a
frame for each packet that was lost, as long as the frame before it and never more than the clock went on; then silence,
which the sender did not send (:rfc:`3551#section-4.1`) or described by comfort noise (:rfc:`3389`). How long it was is
known when the next packet comes. Arrival only tells a silence from a clock set anew: time that the sender's clock went
on must have passed here, too, else there is nothing to fill.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sipagent.rtp.jitter import MAX_GAP
from sipagent.rtp.packet import Packet
from sipagent.rtp.parameters import PayloadFormat
from sipagent.rtp.source import MAX_DROPOUT

MAX_PIECE_S: Final = 2
"""A longer silence comes in pieces, so that no frame costs much at once."""

MAX_SILENCE_S: Final = 30
"""Of a longer silence only so much is told: a pause is as good as over for whoever listened, and memory is bounded."""

MAX_LEAD_S: Final = 0.5
"""How far silence may put the sender's clock ahead of ours: a network that stalled brings so much at once."""

MAX_SKEW: Final = 0.001
"""How much quicker than ours the sender's clock may run; quartz is 20 times as good."""

_MASK: Final = 0xFFFFFFFF
_BACKWARDS: Final = 0x7FFFFFFF
"""Steps beyond are backwards, modulo 2**32."""


class Frame(NamedTuple):
    """The audio of one packet, or what is known of its absence."""

    payload: bytes
    """Empty when there is none: lost, or silence."""
    payload_type: int
    timestamp: int
    """On the payload type's clock, modulo 2**32."""
    lost: bool
    """Whether it was sent and did not come; else an empty one is silence (DTX, comfort noise)."""
    samples: int
    """Its length on the payload type's clock."""


class Timeline:
    """The end of what has been played. The receiver's hot path reads the public attributes."""

    __slots__ = (
        "_clock_at", "_clock_rate", "_clock_timestamp", "_count_samples", "_counts_bytes", "expected", "payload_type",
        "samples",
    )  # fmt: skip

    def __init__(self) -> None:
        self.expected = -1
        """The timestamp at which the last frame ends, -1 before the first."""
        self.samples = 0
        """The length of the last frame."""
        self.payload_type = -1
        """Of the last frame, -1 before the first."""
        self._count_samples: Callable[[bytes], int] = len
        """The length of a payload of that type."""
        self._counts_bytes = True
        """Whether it is its size."""
        self._clock_rate = 0
        self._clock_at = 0.0
        self._clock_timestamp = 0

    @property
    def frame_ms(self) -> float:
        """How long the last frame was; 0 before the first."""
        return 1000 * self.samples / self._clock_rate if self._clock_rate else 0.0

    def reset(self) -> None:
        """Forget the last frame: what comes next is of another clock, or another agreement."""
        self.expected = self.payload_type = -1

    def play(self, packet: Packet, payload_format: PayloadFormat, missing: int, *, now: float) -> list[Frame]:
        """Return the frame of an audio packet behind those of the time before it.

        :param missing: how many packets just before it were given up; negative for one that fills an earlier gap.
        """
        payload_type, _, _, timestamp, _, payload = packet
        samples = payload_format.count_samples(payload)
        if missing < 0:
            return [Frame(payload, payload_type, timestamp, False, samples)]
        frames = self._fill(timestamp, payload_format.clock_rate, missing, now)
        frames.append(Frame(payload, payload_type, timestamp, False, samples))
        self.expected = (timestamp + samples) & _MASK
        self.samples, self.payload_type, self._count_samples = samples, payload_type, payload_format.count_samples
        self._counts_bytes = payload_format.count_samples is len
        return frames

    def go_on(self, timestamp: int, payload: bytes) -> None:
        """Take note of audio right behind the last, and of its kind. Hot path."""
        self.samples = samples = len(payload) if self._counts_bytes else self._count_samples(payload)
        self.expected = (timestamp + samples) & _MASK

    def rest(self, timestamp: int, missing: int, *, now: float) -> list[Frame]:
        """Return the frames of the time before a packet of comfort noise; that after it comes with the next packet."""
        if self.expected < 0 or missing < 0:
            return []
        frames = self._fill(timestamp, self._clock_rate, missing, now)
        self.expected = timestamp
        return frames

    def can_reach(self, timestamp: int, *, elapsed_s: float) -> bool:
        """Whether the sender's clock can have gone on to there in the time since the last frame came."""
        samples = (timestamp - self.expected) & _MASK
        return self.expected < 0 or samples <= (elapsed_s + MAX_LEAD_S) * self._clock_rate

    def _fill(self, timestamp: int, clock_rate: int, missing: int, now: float) -> list[Frame]:
        room = (timestamp - self.expected) & _MASK
        if self.expected < 0 or clock_rate != self._clock_rate or room > _BACKWARDS:
            self._clock_rate, self._clock_at, self._clock_timestamp = clock_rate, now, timestamp
            return []
        lost = self._lost_samples(room, missing)
        silence = min(self._believe(room - lost, now), MAX_SILENCE_S * clock_rate)
        frames = self._pieces(self.expected, lost, self.samples, lost=True)
        return frames + self._pieces(timestamp - silence, silence, MAX_PIECE_S * clock_rate, lost=False)

    def _lost_samples(self, room: int, missing: int) -> int:
        """How much of ``room`` was in the packets given up; a sender's new start skips numbers that never were."""
        if not missing or missing >= MAX_DROPOUT:
            return 0
        lost = min(min(missing, MAX_GAP) * self.samples, room)
        return room if room - lost < self.samples else lost

    def _believe(self, silence: int, now: float) -> int:
        """Return as much of the silence as can be true: all, or nothing of what is more than time has passed."""
        if not silence:
            return 0
        elapsed_s = now - self._clock_at
        end = self.expected + silence
        lead_s = ((end - self._clock_timestamp) & _MASK) / self._clock_rate - elapsed_s
        if lead_s > MAX_LEAD_S + elapsed_s * MAX_SKEW:
            self._clock_timestamp += silence
            return 0
        if lead_s < 0:
            self._clock_at, self._clock_timestamp = now, end
        return silence

    def _pieces(self, start: int, samples: int, step: int, *, lost: bool) -> list[Frame]:
        """Cut ``samples`` from ``start`` on into frames of ``step``; the last may be shorter."""
        if not samples:
            return []
        return [
            Frame(b"", self.payload_type, (start + offset) & _MASK, lost, min(step, samples - offset))
            for offset in range(0, samples, step)
        ]
