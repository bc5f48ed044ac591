"""Both sides of a call on one clock, in G.711, handed on a second at a time."""

from sipagent.call.events import RecordAudio
from sipagent.call.frames import Codec, silence

SAMPLE_RATE = 8000

PIECE_SAMPLES = SAMPLE_RATE
"""How much is handed on at once: seldom enough to cost nothing, often enough to lose little in a crash."""

SNAP_SAMPLES = 480
"""Jitter up to 60 ms either way is the network's, not the speaker's: such frames are joined without a gap."""

MAX_GAP_SAMPLES = 60 * SAMPLE_RATE
"""The longest time in which neither side is heard (on hold, or when the clock leaps); the rest of it is left out."""

MAX_AHEAD_SAMPLES = SAMPLE_RATE
"""How far a side may run ahead of the clock: a network that stalled delivers so much at once. Faster is no speech."""


class _Track:
    def __init__(self, silence: bytes) -> None:
        self._silence = silence
        self._audio = bytearray()
        self.begin = 0
        self._hole_at = self._hole = 0

    @property
    def end(self) -> int:
        return self.begin + len(self._audio)

    def write(self, audio: bytes, at: int) -> None:
        gap = at - self.end
        if gap > SNAP_SAMPLES:
            self._hole_at, self._hole = len(self._audio), gap
            self._audio += self._silence * gap
        elif gap < -SNAP_SAMPLES:
            self._give_back(len(audio))
        if gap >= -MAX_AHEAD_SAMPLES:
            self._audio += audio

    def _give_back(self, size: int) -> None:
        """Shorten the last silence filled in: the network had stalled, and what it delivers now belongs there."""
        size = min(size, self._hole)
        self._hole -= size
        del self._audio[self._hole_at : self._hole_at + size]

    def fill(self, until: int) -> None:
        self._audio += self._silence * max(0, until - self.end)

    def take(self, size: int) -> bytes:
        taken = bytes(self._audio[:size])
        del self._audio[:size]
        self.begin += size
        self._hole = max(0, min(self._hole, self._hole_at + self._hole - size))
        self._hole_at = max(0, self._hole_at - size)
        return taken


class Record:
    """Takes each side's frames as they are heard and gives them back side by side.

    :param codec: the call's, ``PCMU`` or ``PCMA``.
    :param began_at: the moment that is sample 0 of both sides.
    """

    def __init__(self, *, codec: Codec, began_at: float) -> None:
        self._codec = codec
        self._began_at = began_at
        self._piece_at = began_at + PIECE_SAMPLES / SAMPLE_RATE
        self._caller = _Track(silence(codec))
        self._agent = _Track(silence(codec))

    def receive_caller(self, audio: bytes, *, now: float) -> None:
        """Take what the caller said; ``now`` is when the end of it arrived."""
        self._caller.write(audio, self._sample_at(now) - len(audio))

    def receive_agent(self, audio: bytes, *, now: float) -> None:
        """Take what the caller is about to hear; ``now`` is when the beginning of it goes out."""
        self._agent.write(audio, self._sample_at(now))

    def take_piece(self, *, now: float) -> RecordAudio | None:
        """Take the next second, once the clock is well past it on both sides."""
        if now < self._piece_at:
            return None
        begin = min(self._caller.end, self._agent.end)
        behind = self._sample_at(now) - 2 * SNAP_SAMPLES
        until = max(begin, behind)
        if until - self._taken < PIECE_SAMPLES:
            return None
        return self._take(until)

    def take_rest(self, *, now: float) -> RecordAudio | None:
        """Take all that is left."""
        until = max(self._caller.end, self._agent.end, self._taken)
        return self._take(until) if until > self._taken else None

    @property
    def _taken(self) -> int:
        return self._caller.begin

    def _take(self, until: int) -> RecordAudio:
        size = until - self._taken
        self._caller.fill(until)
        self._agent.fill(until)
        self._piece_at = self._began_at + (until + PIECE_SAMPLES) / SAMPLE_RATE
        return RecordAudio(self._caller.take(size), self._agent.take(size), self._codec)

    def _sample_at(self, now: float) -> int:
        """Where ``now`` is in the recording; a gap that is too long is shortened for both sides alike."""
        at = round((now - self._began_at) * SAMPLE_RATE)
        if at - self._taken <= MAX_GAP_SAMPLES:
            return at
        latest = max(self._caller.end, self._agent.end) + MAX_GAP_SAMPLES
        self._began_at += max(0, at - latest) / SAMPLE_RATE
        return min(at, latest)
