"""What is known of one sender of RTP (RFC 3550, appendix A): its sequence, what was lost, and the jitter.

Sequence numbers come in with 16 bits and go out extended: they only grow, so whoever comes after needs no modular
arithmetic.
"""

from typing import Final, NamedTuple

MAX_DROPOUT: Final = 3000
"""Packets a sequence may skip and still be the same sequence; the RFC's figure, a minute of 20 ms packets."""

MAX_MISORDER: Final = 100
"""Packets a sequence may fall back and still be only out of order; the RFC's figure."""

MAX_TRANSIT_STEP_S: Final = 10
"""A greater change of the relative transit time is a sender's clock set anew (or wrapped), not jitter."""

MAX_CUMULATIVE_LOST: Final = 0x7FFFFF
"""The report's field is signed and of 24 bits."""


class Reception(NamedTuple):
    """How a source is received, as a report block says it (:rfc:`3550#section-6.4.1`)."""

    fraction_lost: int
    """Since the report before, in 256ths, 0 to 255."""
    cumulative_lost: int
    """-2**23 to 2**23 - 1; duplicates make it smaller."""
    highest_sequence_number: int
    """Extended, modulo 2**32."""
    jitter: int
    """In samples."""


class Source:
    """One SSRC, from its first packet on."""

    __slots__ = (
        "_base", "_clock_hz", "_is_measured", "_jitter", "_jump_to", "_max_step", "_prior", "_transit", "highest",
        "received", "ssrc",
    )  # fmt: skip

    def __init__(self, ssrc: int, sequence_number: int, *, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.highest = sequence_number - 1
        """The highest extended sequence number so far; before the first packet, the one before it."""
        self.received = 0
        """Packets, duplicates and late ones included."""
        self._base = sequence_number
        self._jump_to: int | None = None
        self._prior = (0, 0)
        self._clock_hz = float(clock_rate)
        self._max_step = MAX_TRANSIT_STEP_S * self._clock_hz
        self._transit = 0.0
        self._is_measured = False
        self._jitter = 0.0

    def receive(self, sequence_number: int) -> int | None:
        """Count a packet and return its extended number, or ``None`` to drop it: a jump not yet confirmed.

        A sender that began anew with the same SSRC is believed with the second packet in order; its numbers go on far
        above the old ones, and what lies between was never sent and isn't lost.
        """
        step = (sequence_number - self.highest) & 0xFFFF
        if step >= MAX_DROPOUT:
            if step > 0xFFFF - MAX_MISORDER:
                self.received += 1
                return self.highest + step - 0x10000
            if sequence_number != self._jump_to:
                self._jump_to = (sequence_number + 1) & 0xFFFF
                return None
            self._base += step - 1
        self.highest += step
        self.received += 1
        return self.highest

    def receive_next(self, timestamp: int, *, now: float) -> None:
        """Count the packet after the highest. Hot path."""
        self.highest += 1
        self.received += 1
        self.measure_jitter(timestamp, now=now)

    def use_clock(self, clock_rate: int) -> None:
        """Take note of the clock that the next timestamps are of; another than before is measured anew."""
        if clock_rate != self._clock_hz:
            self._jitter *= clock_rate / self._clock_hz
            self._clock_hz = float(clock_rate)
            self._max_step = MAX_TRANSIT_STEP_S * self._clock_hz
            self._is_measured = False

    def measure_jitter(self, timestamp: int, *, now: float) -> None:
        """Smooth the change of relative transit time into the jitter (:rfc:`3550#appendix-A.8`)."""
        transit = now * self._clock_hz - float(timestamp)
        if self._is_measured:
            step = abs(transit - self._transit)
            if step < self._max_step:
                self._jitter += (step - self._jitter) / 16.0
        self._transit, self._is_measured = transit, True

    @property
    def has_news(self) -> bool:
        """Whether packets came since the last report; a source without any is not reported on."""
        return self.received != self._prior[1]

    @property
    def jitter_ms(self) -> float:
        """The smoothed interarrival jitter in milliseconds."""
        return 1000 * self._jitter / self._clock_hz

    def report(self) -> Reception:
        """Return the figures of a report block, and begin the next interval (:rfc:`3550#appendix-A.3`)."""
        expected = self.highest - self._base + 1
        lost = max(-MAX_CUMULATIVE_LOST - 1, min(MAX_CUMULATIVE_LOST, expected - self.received))
        expected_interval = expected - self._prior[0]
        lost_interval = expected_interval - (self.received - self._prior[1])
        self._prior = (expected, self.received)
        fraction = 256 * lost_interval // expected_interval if expected_interval > 0 and lost_interval > 0 else 0
        return Reception(min(fraction, 255), lost, self.highest & 0xFFFFFFFF, int(self._jitter))
