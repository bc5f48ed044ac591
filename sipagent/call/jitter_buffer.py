"""The jitter buffer of a listener who hears in real time: frames in as they come, an even flow of sound out.

It decides about one figure, the delay: how long after the fastest packet could have brought it a sound is played.

- The target is what nearly all of the last packets needed (:mod:`sipagent.call.lateness`), and a tick on top.
- The delay is brought there by making sound longer or shorter: in pauses at once, within speech one period at a time,
  and only when it is urgent or no pause comes.
- With nothing to play it waits, and conceals the waiting; what comes late is played late, not thrown away. Only what is
  missing while later frames are there, and has been waited for as long as the target says, is given up.
- A leap of the timestamps, by another SSRC most likely, is a new beginning: what is there is played to its end, and
  what comes goes on behind it.

What a frame is (G.711, G.722, Opus) its decoder knows; frames are decoded in the order in which they are heard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from sipagent.audio.g711 import Pcm
from sipagent.audio.stretch import LONGEST_JUMP_MS, Jump, Quiet, find_jump, leap, room_for
from sipagent.call.lateness import Lateness
from sipagent.rtp.session import Frame

TICK_S: Final = 0.020
"""What is taken at a time, until it shows; frames may begin in its midst, and so it needs that much more delay."""
MARGIN_S: Final = 0.010
"""What the delay may fall below the target before anything is missed."""
LEAST_TARGET_S: Final = 0.040
"""However even the network: so the packet behind a gap is there before the gap is played to its end, whose last part is
then led up to from both sides."""
TOLERANCE_S: Final = 0.008
"""A delay as near to the target is left alone. Half of what a clock that is off by 200 millionths makes in a minute."""
TARGET_FALL_S: Final = 0.015
"""The target falls only by as much at least, for the spread of 300 packets is itself uneven."""
MOST_TARGET_S: Final = 0.400
"""No conversation is possible with more."""
MOST_HELD_S: Final = 0.500
"""What waits beyond is thrown away, the oldest first: a network that stalled delivers so much at once."""
LEAP_S: Final = 1.0
"""A packet that is later than that against its timestamp belongs to another clock than those before."""
LEAP_BACK_S: Final = 0.1
"""Nor can a packet be faster than the fastest by so much."""

URGENT_LESS_S: Final = 0.060
"""So much too much delay is taken off speech as well."""
URGENT_MORE_S: Final = 0.020
"""So much too little is a gap soon, which is worse than a longer vowel."""
PATIENCE_S: Final = 1.0
"""How long a pause is waited for; speakers breathe, but music on hold does not."""
RESIGNED_S: Final = 3.0
"""After that any place will do."""
BETWEEN_JUMPS_S: Final = 0.060
"""Within speech; each jump is 10 ms or so, and a sixth faster or slower is hardly heard."""
LIKE: Final = 0.75
"""How well the sound has to go on behind a jump within speech that is not urgent."""
QUIET_JUMP_S: Final = 0.020
"""The longest jump in a pause, for each tick."""
HISTORY_MS: Final = 60
"""What was heard last, for whoever conceals."""
SPAN_S: Final = 0.100
"""A longer gap is not filled at once: the sound behind it tells nothing of how it began."""
JOIN_MS: Final = 5
"""Over so much the sound behind a cut is joined to the one before."""


class Concealer(Protocol):
    """Makes up sound where none came."""

    def conceal(self, samples: int, *, history: Pcm, future: Pcm | None = None) -> Pcm:
        """Return the next samples of a gap: ``history`` was heard before, ``future``, if it is known, comes behind."""

    def recover(self, frame: Pcm) -> Pcm:
        """Return the first frame behind a gap, of which nothing was known before, joined to what was made up."""


@dataclass(frozen=True, slots=True)
class JitterStats:
    """What became of the frames so far."""

    played: int
    """Frames."""
    late: int
    """Frames that came when their moment had been given up."""
    dropped: int
    """Frames thrown away because too much waited."""
    restarts: int
    concealed_ms: float
    """Made up for what was lost or came late; silence that was never sent is none."""
    lengthened_ms: float
    shortened_ms: float
    delay_ms: float
    """How long after the fastest packet could have brought it the last tick's sound was played."""
    target_ms: float


class JitterBuffer:
    """One stream's.

    :param decode: makes int16 samples at ``rate`` of a frame's payload.
    :param rate: Hz of what is played.
    :param clock_rate: Hz of the timestamps.
    """

    def __init__(
        self, *, decode: Callable[[Frame], Pcm], concealer: Concealer, rate: int = 8_000, clock_rate: int = 8_000
    ) -> None:
        self._decode = decode
        self._concealer = concealer
        self._rate = rate
        self._clock_rate = clock_rate
        self._ratio = rate / clock_rate
        self._lateness = Lateness()
        self._quiet = Quiet()
        self._frames: dict[int, Frame] = {}
        self._last_timestamp = 0
        self._last = 0
        """The last timestamp as a number that goes on; a new stream's goes on behind the old one's."""
        self._next = 0
        """What is to be decoded next; behind it all is decoded, played or given up."""
        self._end = 0
        """Where the newest frame ends."""
        self._pcm: Pcm = np.zeros(HISTORY_MS * rate // 1_000, np.int16)
        self._at = len(self._pcm)
        """The first sample not played yet; before it is what was played."""
        self._tick_s = TICK_S
        self._target = LEAST_TARGET_S
        self._has_frames = False
        self._is_playing = False
        self._loud_until = 0
        """Behind it, in ``_pcm``, nobody speaks."""
        self._is_concealing = False
        self._waited = 0
        """Samples made up while nothing was there, of which it is not known yet whether anything was lost."""
        self._off_since: float | None = None
        self._jumped_at = 0.0
        self._played = self._late = self._dropped = self._restarts = 0
        self._concealed = self._lengthened = self._shortened = 0
        self._played_after = 0.0

    @property
    def stats(self) -> JitterStats:
        """What has been counted so far."""
        ms = 1_000 / self._rate
        return JitterStats(
            played=self._played,
            late=self._late,
            dropped=self._dropped,
            restarts=self._restarts,
            concealed_ms=self._concealed * ms,
            lengthened_ms=self._lengthened * ms,
            shortened_ms=self._shortened * ms,
            delay_ms=self._played_after * 1_000,
            target_ms=self._target * 1_000,
        )

    # In

    def receive(self, frame: Frame, *, now: float) -> None:
        """Take a frame, in whatever order; one that is thought lost teaches nothing that will not show by itself."""
        if frame.lost:
            return
        begin = self._place(frame, now)
        if begin is None:
            return
        if frame.payload:
            self._lateness.observe(now - begin / self._clock_rate, now=now)
            self._set_target()
        if begin < self._next:
            self._late += bool(frame.payload)
            return
        known = self._frames.get(begin)
        if known is None or (frame.payload and not known.payload):
            self._frames[begin] = frame
            self._end = max(self._end, begin + frame.samples)
            self._bound()

    def _place(self, frame: Frame, now: float) -> int | None:
        """Where the frame belongs on a line that goes on through wraps and leaps; ``None`` for nowhere."""
        begin = self._last + ((frame.timestamp - self._last_timestamp + 2**31) & 0xFFFFFFFF) - 2**31
        if not self._has_frames:
            self._has_frames = True
            self._next = self._end = begin = frame.timestamp
        elif not self._is_playing:
            self._next = min(self._next, begin)
        elif not frame.payload:
            return begin if abs(begin - self._end) <= LEAP_S * self._clock_rate else None
        elif self._is_leap(now - begin / self._clock_rate):
            begin = self._restart(now)
        self._last, self._last_timestamp = begin, frame.timestamp
        return begin

    def _is_leap(self, transit: float) -> bool:
        return not -LEAP_BACK_S <= transit - self._lateness.base <= LEAP_S

    def _restart(self, now: float) -> int:
        """Let another stream follow on what is there, and return where it begins."""
        self._restarts += 1
        begin = max(self._next, self._end)
        self._lateness.rebase(now - begin / self._clock_rate)
        self._waited = 0
        return begin

    def _bound(self) -> None:
        """Throw the oldest away when too much waits."""
        most = MOST_HELD_S * self._clock_rate
        while self._end - self._next > most and len(self._frames) > 1:
            oldest = self._frames.pop(min(self._frames))
            self._dropped += bool(oldest.payload)
            if not oldest.payload:
                self._waited = 0
            self._next = min(self._frames)
            if self._is_playing:
                self._cut()

    def _set_target(self) -> None:
        needed = self._lateness.spread + self._tick_s + MARGIN_S
        wanted = min(MOST_TARGET_S, max(LEAST_TARGET_S, needed))
        if wanted > self._target or wanted < self._target - TARGET_FALL_S:
            self._target = wanted

    # Out

    def take(self, samples: int, *, now: float) -> Pcm:
        """Take the next ``samples`` of sound, those of this tick; silence before the first frame."""
        self._tick_s = samples / self._rate
        if not self._is_playing:
            if not self._frames or self._delay(now) < self._target - MARGIN_S:
                return np.zeros(samples, np.int16)
            self._is_playing = True
        self._fill(samples, now)
        if not self._is_concealing:
            self._adapt(now)
            self._fill(samples, now)
        self._played_after = self._delay(now)
        begin, self._at = self._at, self._at + samples
        played = self._pcm[begin : self._at]
        history = HISTORY_MS * self._rate // 1_000
        if self._at > 2 * history:
            self._loud_until -= self._at - history
            self._pcm = self._pcm[self._at - history :]
            self._at = history
        return played

    def _delay(self, now: float) -> float:
        """How much later than by the fastest packet possible the next sound is played, in seconds."""
        position = self._next / self._clock_rate - self._ready / self._rate
        return now - self._lateness.base - position

    @property
    def _ready(self) -> int:
        return len(self._pcm) - self._at

    def _fill(self, samples: int, now: float) -> None:
        while (missing := samples - self._ready) > 0:
            self._append(self._next_piece(missing, now))

    def _append(self, piece: Pcm) -> None:
        self._pcm = np.concatenate((self._pcm, piece))

    def _next_piece(self, missing: int, now: float) -> Pcm:
        frame = self._frames.pop(self._next, None)
        if frame is None:
            return self._bridge(missing, now)
        if frame.payload:
            return self._play(frame)
        return self._be_silent(frame, missing, now)

    def _play(self, frame: Frame) -> Pcm:
        piece = self._open(frame)
        if self._is_concealing:
            self._is_concealing = False
            piece = self._concealer.recover(piece)
        if not self._quiet.hear(piece):
            self._loud_until = len(self._pcm) + len(piece)
        return piece

    def _open(self, frame: Frame) -> Pcm:
        self._next += frame.samples
        self._played += 1
        self._concealed += self._waited
        self._waited = 0
        return self._decode(frame)

    def _be_silent(self, frame: Frame, missing: int, now: float) -> Pcm:
        """Pass over silence that was never sent: what is needed now of what did not pass while it was waited for."""
        skipped = self._skip(frame.samples, now)
        length = min(frame.samples - skipped, self._ticks(missing))
        rest = frame.samples - skipped - length
        self._next += skipped + length
        self._waited = 0
        if rest:
            self._frames[self._next] = frame._replace(samples=rest)
        return np.zeros(round(length * self._ratio), np.int16)

    def _bridge(self, missing: int, now: float) -> Pcm:
        """Wait for the next frame; or give it up, when later ones are there and it has had its time."""
        if not self._frames or self._may_wait(now):
            self._waited += missing
            return self._conceal(missing)
        begin = min(self._frames)
        if begin < self._next:  # a frame that another one, which was played, overlaps
            self._late += bool(self._frames.pop(begin).payload)
            return np.zeros(0, np.int16)
        self._next += self._skip(begin - self._next, now)
        gap = begin - self._next
        if self._frames[begin].payload and 0 < gap <= SPAN_S * self._clock_rate:
            return self._span(gap, self._frames.pop(begin))
        length = min(gap, self._ticks(missing))
        self._next += length
        return self._conceal(self._give_up(length))

    def _span(self, gap: int, frame: Frame) -> Pcm:
        """Fill a gap between what was heard and the frame behind it, which is there already; return both."""
        samples = self._give_up(gap)
        self._next += gap
        future = self._open(frame)
        piece = np.concatenate((self._conceal(samples, future), future))
        self._is_concealing = False
        if not self._quiet.hear(piece):
            self._loud_until = len(self._pcm) + len(piece)
        return piece

    def _give_up(self, length: int) -> int:
        """Count what will not come any more, given on the clock; return it in samples."""
        samples = round(length * self._ratio)
        self._concealed += samples
        return samples

    def _may_wait(self, now: float) -> bool:
        """Whether what is missing may still come: the delay is to grow anyway."""
        return self._delay(now) < self._target - TOLERANCE_S

    def _skip(self, length: int, now: float) -> int:
        """How much of a gap, in ticks of the clock, passed already while it was waited for."""
        if not self._waited:
            return 0
        excess = round((self._delay(now) - self._target) * self._clock_rate)
        return max(0, min(length, excess))

    def _ticks(self, samples: int) -> int:
        """So many samples on the clock of the timestamps, one at least."""
        return max(1, round(samples / self._ratio))

    def _conceal(self, samples: int, future: Pcm | None = None) -> Pcm:
        if not samples:
            return np.zeros(0, np.int16)
        self._is_concealing = True
        history = self._pcm[-(HISTORY_MS * self._rate // 1_000) :]
        return self._concealer.conceal(samples, history=history, future=future)

    def _cut(self) -> None:
        """Join what comes behind a cut to what was before."""
        self._is_concealing = True
        self._concealer.conceal(JOIN_MS * self._rate // 1_000, history=self._pcm)

    # The delay

    def _adapt(self, now: float) -> None:
        """Bring the delay nearer to the target, if it is off, and this is the place."""
        excess = self._delay(now) - self._target
        if abs(excess) <= TOLERANCE_S:
            self._off_since = None
            return
        if self._off_since is None:
            self._off_since = now
        if not self._jump_in_pause(excess, now) and self._is_due(excess, now):
            self._jump_in_speech(excess, now)

    def _is_due(self, excess: float, now: float) -> bool:
        if now < self._jumped_at + BETWEEN_JUMPS_S:
            return False
        return _is_urgent(excess) or (self._off_since is not None and now >= self._off_since + PATIENCE_S)

    def _jump_in_pause(self, excess: float, now: float) -> bool:
        """In noise every place is as good as any other, so just as much is cut or put in as is wanted."""
        wanted = round(min(abs(excess), QUIET_JUMP_S) * self._rate)
        if excess > 0:
            fade = room_for(self._rate, 0.0)
            if self._loud_until <= self._at:
                self._look_ahead(wanted + fade)
            possible = self._ready - fade if self._loud_until <= self._at else 0
        else:
            possible = self._at - self._loud_until
        samples = min(wanted, possible)
        if samples <= 0:
            return False
        self._make(Jump(samples if excess > 0 else -samples, 0.0), now)
        return True

    def _jump_in_speech(self, excess: float, now: float) -> None:
        if excess > 0:
            self._look_ahead(room_for(self._rate))
        longest_ms = min(LONGEST_JUMP_MS, (abs(excess) + TOLERANCE_S) * 1_000)
        jump = find_jump(self._pcm, self._at, rate=self._rate, back=excess < 0, longest_ms=longest_ms)
        is_resigned = self._off_since is not None and now >= self._off_since + RESIGNED_S
        if jump.likeness >= LIKE or is_resigned or _is_urgent(excess):
            self._make(jump, now)

    def _make(self, jump: Jump, now: float) -> None:
        self._pcm = leap(self._pcm, self._at, jump, rate=self._rate)
        if self._loud_until > self._at:
            self._loud_until = max(self._at, self._loud_until - jump.samples)
        self._jumped_at = now
        self._shortened += max(0, jump.samples)
        self._lengthened += max(0, -jump.samples)

    def _look_ahead(self, samples: int) -> None:
        """Decode so far ahead, if the frames are there."""
        while self._ready < samples:
            frame = self._frames.get(self._next)
            if frame is None or not frame.payload:
                return
            del self._frames[self._next]
            self._append(self._play(frame))


def _is_urgent(excess: float) -> bool:
    return excess > URGENT_LESS_S or excess < -URGENT_MORE_S
