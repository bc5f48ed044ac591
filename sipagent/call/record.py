"""Both sides of a call on one clock, in the call's own format, handed on a second at a time.

Positions and lengths within are in bytes of that format, and whole samples.

While it is paused both sides are silent, so that the clock goes on; a beep on both says where a pause begins.
"""

from collections.abc import Callable

from sipagent.audio.linear import from_linear
from sipagent.audio.tones import beep
from sipagent.call.ambience import RecordingTone
from sipagent.call.events import RecordAudio, RecordingPaused, RecordingResumed, RecordOutput
from sipagent.formats import AudioFormat

PIECE_MS = 1000
"""How much is handed on at once: seldom enough to cost nothing, often enough to lose little in a crash."""

SNAP_MS = 60
"""Jitter up to 60 ms either way is the network's, not the speaker's: such frames are joined without a gap."""

MAX_GAP_MS = 60_000
"""The longest time in which neither side is heard (on hold, or when the clock leaps); the rest of it is left out."""

MAX_AHEAD_MS = 1000
"""How far a side may run ahead of the clock: a network that stalled delivers so much at once. Faster is no speech."""

MARK_HZ, MARK_MS, MARK_DBFS = 1_000.0, 200.0, -26.0
"""The beep at the beginning of a pause: nothing that anybody heard, and so no part of a conversation."""


class _Track:
    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._snap = SNAP_MS * audio_format.bytes_per_ms
        self._max_ahead = MAX_AHEAD_MS * audio_format.bytes_per_ms
        self._audio = bytearray()
        self.begin = 0
        self._hole_at = self._hole = 0

    @property
    def end(self) -> int:
        return self.begin + len(self._audio)

    def write(self, audio: bytes, at: int) -> None:
        gap = at - self.end
        if gap > self._snap:
            self._hole_at, self._hole = len(self._audio), gap
            self.fill(at)
        elif gap < -self._snap:
            self._give_back(len(audio))
        if gap >= -self._max_ahead:
            self._audio += audio

    def _give_back(self, size: int) -> None:
        """Shorten the last silence filled in: the network had stalled, and what it delivers now belongs there."""
        size = min(size, self._hole)
        self._hole -= size
        del self._audio[self._hole_at : self._hole_at + size]

    def fill(self, until: int) -> None:
        self._audio += self._format.silence * (max(0, until - self.end) // self._format.sample_bytes)

    def cut(self, at: int) -> None:
        """Forget what is there from ``at`` on, and be silent until there."""
        del self._audio[max(0, at - self.begin) :]
        self._hole = 0
        self.fill(at)

    def mark(self, mark: bytes) -> None:
        """Put in what nobody said."""
        self._audio += mark

    def take(self, size: int) -> bytes:
        taken = bytes(self._audio[:size])
        del self._audio[:size]
        self.begin += size
        self._hole = max(0, min(self._hole, self._hole_at + self._hole - size))
        self._hole_at = max(0, self._hole_at - size)
        return taken


class Record:
    """Takes each side's frames as they are heard and gives them back side by side.

    :param began_at: the moment that is sample 0 of both sides.
    :param emit: takes the pieces, and the facts that it paused and goes on.
    :param has_tone: whether the caller is reminded of it by a beep.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        *,
        began_at: float,
        emit: Callable[[RecordOutput], None],
        has_tone: bool = False,
    ) -> None:
        self._format = audio_format
        self._tone = RecordingTone(audio_format=audio_format, began_at=began_at) if has_tone else None
        self._emit = emit
        self._piece = PIECE_MS * audio_format.bytes_per_ms
        self._began_at = began_at
        self._piece_at = began_at + PIECE_MS / 1000
        self._caller = _Track(audio_format)
        self._agent = _Track(audio_format)
        self.is_paused = False
        """Whether nothing is kept of what is heard."""
        self._pausers: set[str] = set()

    def receive_caller(self, audio: bytes, *, now: float) -> None:
        """Take what the caller said; ``now`` is when the end of it arrived."""
        if not self.is_paused:
            self._caller.write(audio, self._position_at(now) - len(audio))
        if now >= self._piece_at:
            self._hand_on(now)

    def receive_agent(self, audio: bytes, *, now: float) -> bytes:
        """Take what the caller is about to hear; ``now`` is when the beginning of it goes out.

        :returns: what is to go out: the same, or with the tone that says that it is recorded.
        """
        if not self.is_paused:
            if self._tone is not None:
                audio = self._tone.add(audio, now=now)
            self._agent.write(audio, self._position_at(now))
        if now >= self._piece_at:
            self._hand_on(now)
        return audio

    def pause(self, *, by: str = "command", now: float) -> None:
        """Keep nothing from now on; what a network that had stalled delivered ahead of the clock is forgotten, too.

        :param by: for whom; it goes on once nobody wants it to pause any more.
        """
        self._pausers.add(by)
        if not self.is_paused:
            self.is_paused = True
            self._cut(now)
            mark = from_linear(beep(MARK_HZ, MARK_MS, level_dbfs=MARK_DBFS, rate=self._format.rate), self._format)
            self._caller.mark(mark)
            self._agent.mark(mark)
            self._emit(RecordingPaused())

    def resume(self, *, by: str = "command", now: float) -> None:
        """Keep again what is heard."""
        self._pausers.discard(by)
        if self.is_paused and not self._pausers:
            self.is_paused = False
            self._cut(now)
            self._emit(RecordingResumed())

    def close(self) -> None:
        """Hand on all that is left."""
        until = max(self._caller.end, self._agent.end, self._taken)
        if until > self._taken:
            self._take(until)

    @property
    def _taken(self) -> int:
        return self._caller.begin

    def _hand_on(self, now: float) -> None:
        """Hand on the next second, once the clock is well past it on both sides."""
        begin = min(self._caller.end, self._agent.end)
        behind = self._position_at(now) - 2 * SNAP_MS * self._format.bytes_per_ms
        until = max(begin, behind)
        if until - self._taken >= self._piece:
            self._take(until)

    def _cut(self, now: float) -> None:
        at = max(self._position_at(now), self._taken)
        self._caller.cut(at)
        self._agent.cut(at)

    def _take(self, until: int) -> None:
        size = until - self._taken
        self._caller.fill(until)
        self._agent.fill(until)
        self._piece_at = self._began_at + (until + self._piece) / (1000 * self._format.bytes_per_ms)
        self._emit(RecordAudio(self._caller.take(size), self._agent.take(size), self._format))

    def _position_at(self, now: float) -> int:
        """Where ``now`` is in the recording; a gap that is too long is shortened for both sides alike."""
        rate, max_gap = self._format.rate, MAX_GAP_MS * self._format.bytes_per_ms
        at = round((now - self._began_at) * rate) * self._format.sample_bytes
        if at - self._taken <= max_gap:
            return at
        latest = max(self._caller.end, self._agent.end) + max_gap
        self._began_at += max(0, at - latest) / (rate * self._format.sample_bytes)
        return min(at, latest)
