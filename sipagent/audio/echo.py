"""The guard against our own echo: is what the caller's side sends nothing but what we sent, come back?

A speakerphone, a hybrid, a headset at full volume: the caller's line returns our voice 20 to 500 ms later, and 5 to 35
dB softer. A detector that knows loudness only takes it for the caller's. The guard knows what we sent. It is asked
about loud frames only, so a call without echo pays for keeping two lists of frames; the rules:

- What we sent within half a second, attenuated, can be no louder than it was: a frame that is was spoken.
- A known path (``echo_path``) foretells the echo. What it leaves over is speech once it stands out of what the room
  adds, in two of three frames.
- Where it fails, or none is known, the echo is searched for (``echo_search``). What was found and explains the frames
  that follow is the path from then on: so an echo is known after 60 to 100 ms, and a delay that changes is followed.
- Until something is known there is doubt, for :data:`DOUBTS` frames: the first word of a greeting comes back before
  anybody can tell. Where we spoke and nothing came back there is no doubt, and only a clear echo counts.

Measured by ``tests/echo_table.py``.
"""

from enum import Enum
from math import inf
from typing import Final

import numpy as np

from sipagent.audio.echo_path import LEAD, EchoPath
from sipagent.audio.echo_search import LONGEST, MAX_LAG, RATE, WHOLE, resemblances
from sipagent.audio.history import LAWS, History, Samples
from sipagent.audio.linear import to_linear
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat

BLOCK: Final = RATE // 50
"""Samples that are judged at once: 20 ms."""
KEPT_FAR, KEPT_NEAR = 14_880, 10_240
"""Samples that are kept of what we sent and of what came: as far as :data:`LOOK_BACK` looks, and some frames."""
PENDING: Final = 128
"""Frames that are kept until somebody asks; who asks seldom has no use for those before them."""
BATCH: Final = 16
"""Frames of G.711, which needs no decoding to be kept, that are put away together: a few at a time cost more."""
LATEST_S: Final = 0.62
"""After the end of what we sent: the longest delay, and a jitter buffer's."""
APART: Final = 480
"""Samples by which the two clocks may differ from the time of arrival: the jitter of a network, 60 ms."""

FLOOR: Final = BLOCK * (32_768 * 10 ** (-45 / 20)) ** 2
"""The energy of a block at -45 dBFS, below which nothing is speech."""
NO_ECHO: Final = 0.8
"""No echo has more of the energy of the loudest that was sent of late: 1 dB of return loss."""

PAUSE_S: Final = 0.3
"""What is loud after such a pause is news."""
SHORTEST: Final = 800
"""Samples that are searched for: 100 ms, and what follows on a pause until it is :data:`LONGEST`."""
CLEAR, CLEAR_IF_QUIET = 5.0, 8.0
"""From what clarity on a resemblance is looked at: at first, and where we spoke and nothing came back."""
CERTAIN: Final = 12.0
"""From here on it is an echo, even one of which a short filter explains little: a bare room."""
ALIKE: Final = 0.1
"""What share a single tap must explain for the filter to be worth fitting: of every echo that a filter explained it was
0.2 or more, of a stranger's voice it is 0.08 in 5 of 100."""
LEFT, LEFT_IF_QUIET = 0.4, 0.2
"""What share its filter may leave unexplained of the sound it was fitted to; a stranger's voice leaves 0.8."""
LEFT_OF_NEXT: Final = 0.5
"""And of frames that it was not fitted to; a stranger's voice leaves all."""
LEFT_OF_SAME: Final = 0.3
"""What share a filter that is fitted anew may leave."""
SAME: Final = 32
"""Samples: a delay so near to that of the known path is no other."""
GAIN_MAX: Final = 0.7
"""A path with a greater gain is none: whoever is so loud was not played by a loudspeaker."""
PROVEN: Final = 2
"""So many frames foretold make a path."""
DOUBTS: Final = 5
"""Frames: 100 ms more is what an echo that is searched for needs to show itself."""

HELD, HELD_LONGEST = 4, 16
"""Frames after one that was a voice which are taken for more of it: to judge is dear, and who speaks speaks on. As long
as no echo is known, each that was a voice again doubles them: the sound was found unlike ours several times by then."""

LOOK_BACK: Final = 60
"""Blocks that show whether what we say comes back at all."""
SOUNDED: Final = (32_768 * 10 ** (-32 / 20)) ** 2
"""Power from which on what we said would be heard if it came back."""
SHOWN: Final = 25
"""Blocks: for half a second nothing loud came back of it."""
UNLIKE: Final = 6.0
"""In a loud place: the clarity below which a second of it holds no echo that could be taken for a voice."""


STANDING: Final = 2
"""Of three frames, so many are a voice over an echo: a room is not always as it was learned."""


class Verdict(Enum):
    """On a loud frame."""

    ECHO = "echo"
    STANDS_OUT = "stands_out"
    """It is more than the echo that is known, as far as one frame tells."""
    VOICE = "voice"


class EchoGuard:
    """The ear for our own voice in one call.

    :param audio_format: of the frames of both sides.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._far, self._near = _Stream(audio_format, KEPT_FAR), _Stream(audio_format, KEPT_NEAR)
        self._ahead = 0
        """How much greater the numbers of the far side are at the same moment."""
        self._sounded_at = self._loud_at = self._burst_at = self._echo_at = -inf
        self._path: EchoPath | None = None
        self._candidate: EchoPath | None = None
        self._doubts = 0
        self._is_quiet = False
        self._held = self._holds = 0
        """How many frames more are taken for the voice that was heard, and how many were at first."""
        self._standing = 0
        """Of the last three loud frames, as bits, which stood out."""

    @property
    def delay_ms(self) -> float | None:
        """How much later our voice comes back; ``None`` while no echo is known."""
        return None if self._path is None else self._path.peak * 1000 / RATE

    def sent(self, frame: bytes, *, is_sound: bool = True, now: float) -> None:
        """Take a frame that goes out. Hot path."""
        if is_sound:
            self._sounded_at = now
        self._far.add(frame, now)

    def heard(self, frame: bytes, *, now: float) -> None:
        """Take a frame of the caller's, or as much silence as was not sent. Hot path."""
        self._near.add(frame, now)

    def is_echo(self, *, now: float) -> bool:
        """Say whether the last frame that was heard, which is loud, is an echo. Not thought for soft ones."""
        if now - self._sounded_at > LATEST_S:
            return False
        if self._held and now - self._loud_at <= PAUSE_S:
            self._held -= 1
            self._loud_at = now
            return False
        self._synchronize()
        if now - self._loud_at > PAUSE_S:
            self._burst_at = now
            self._is_quiet = self._path is None and now - self._echo_at > LOOK_BACK * BLOCK / RATE and self._is_silent()
            self._doubts = 0 if self._is_quiet else DOUBTS
            self._standing = self._holds = 0
        self._loud_at = now
        verdict = self._judge(now)
        if verdict is Verdict.ECHO:
            self._echo_at = now
        self._standing = (self._standing << 1 | (verdict is not Verdict.ECHO)) & 7
        is_echo = verdict is not Verdict.VOICE and self._standing.bit_count() < STANDING
        self._holds = 0 if is_echo else HELD if self._path else min(HELD_LONGEST, max(HELD, 2 * self._holds))
        self._held = self._holds
        return is_echo

    def _synchronize(self) -> None:
        """Number the samples of both sides alike, by when they went out and came in."""
        far, near = self._far, self._near
        far.decode()
        near.decode()
        ahead = far.begins - near.history.end + round((near.at - far.at) * RATE)
        if abs(ahead - self._ahead) > APART:
            self._ahead = ahead

    def _take(self, begin: int, end: int) -> Samples:
        """What the caller's side sent, by the numbers of what we sent."""
        return self._near.history.take(begin - self._ahead, end - self._ahead)

    def _is_silent(self) -> bool:
        """Whether we were heard for a while, and nothing loud came back; in a loud place, nothing that is like us."""
        end = self._near.history.end + self._ahead - 3 * BLOCK
        delays = MAX_LAG // BLOCK
        sent = _powers(self._far.history.take(end - (LOOK_BACK + delays) * BLOCK, end))
        mean = np.convolve(sent, np.full(delays, 1 / delays), "valid")[-LOOK_BACK:]
        powers = _powers(self._take(end - LOOK_BACK * BLOCK, end))
        sounded = mean > SOUNDED
        if int((sounded & (powers < FLOOR / BLOCK)).sum()) >= SHOWN:
            return True
        if int(sounded[-WHOLE // BLOCK :].sum()) < SHOWN:
            return False
        best = next(resemblances(self._far.history, self._take(end - WHOLE, end), end - WHOLE), None)
        return best is None or best.clarity < UNLIKE

    def _judge(self, now: float) -> Verdict:
        far, path, candidate = self._far.history, self._path, self._candidate
        end = self._near.history.end + self._ahead
        begin = end - BLOCK
        near = self._take(begin, end)
        loudest = _powers(far.take(end - MAX_LAG - BLOCK, end)).max() * BLOCK
        if float(near @ near) > NO_ECHO * float(loudest):
            return Verdict.VOICE
        if path is not None and path.explains(far, near, begin, floor=FLOOR):
            return Verdict.ECHO
        self._candidate = None
        if candidate is not None and candidate.unexplained(far, near, begin) < LEFT_OF_NEXT:
            candidate.learn(far, near, begin)
            if candidate.age > PROVEN:
                self._path = candidate
            else:
                self._candidate = candidate
            return Verdict.ECHO
        if path is not None:
            self._candidate = path.find_moved(far, self._take(end - 2 * BLOCK, end), end - 2 * BLOCK)
        if self._candidate is not None or self._search(end, now):
            return Verdict.ECHO
        if path is not None:
            return Verdict.STANDS_OUT
        self._doubts -= 1
        return Verdict.ECHO if self._doubts >= 0 else Verdict.VOICE

    def _search(self, end: int, now: float) -> bool:
        """Look for an echo in what was loud of late; whether there is one is seen by what follows."""
        far = self._far.history
        blocks = round((now - self._burst_at) * RATE / BLOCK) + SHORTEST // BLOCK // 2
        size = min(LONGEST, max(SHORTEST, blocks * BLOCK))
        near = self._take(end - size, end)
        for lag, clarity in resemblances(far, near, end - size):
            if clarity < (CLEAR_IF_QUIET if self._is_quiet else CLEAR):
                break
            if self._path is not None and abs(lag - self._path.peak) < SAME:
                return self._fits_better(self._path, near, end)
            path = EchoPath(lag - LEAD)
            if clarity < CERTAIN and path.best_tap(far, near, end - size) < ALIKE:
                continue
            path.learn(far, near, end - size)
            if path.gain > GAIN_MAX:
                continue
            left = path.unexplained(far, near, end - size)
            if clarity > CERTAIN and left > LEFT and self._path is None:
                path.leak = 1.0
                self._path = path
                return True
            if left < (LEFT_IF_QUIET if self._is_quiet else LEFT):
                self._candidate = path
                return True
        return False

    def _fits_better(self, path: EchoPath, near: Samples, end: int) -> bool:
        """Whether the known path had not learned enough yet."""
        far, fresh = self._far.history, EchoPath(path.lag)
        fresh.learn(far, near, end - len(near))
        left = max(fresh.unexplained(far, near[-size:], end - size) for size in (BLOCK, len(near)))
        if left > LEFT_OF_SAME:
            return False
        path.learn(far, near[-BLOCK:], end - BLOCK)
        return True


class _Stream:
    """One side: frames as they come, decoded when somebody asks.

    :param kept: so many samples.
    """

    def __init__(self, audio_format: AudioFormat, kept: int) -> None:
        self._format = audio_format
        self._resampler = Resampler(audio_format.rate, RATE) if audio_format.rate != RATE else None
        self._frames: list[bytes] = []
        self._is_coded = audio_format.codec in LAWS
        self._most = BATCH if self._is_coded else PENDING
        self._bytes = 0
        """In all frames so far."""
        self._last = 0
        self.history = History(kept, audio_format.codec)
        self.at = 0.0
        """When the last frame came or went."""

    @property
    def begins(self) -> int:
        """The number of the first sample of the last frame."""
        return self.history.end - self._last

    def add(self, frame: bytes, now: float) -> None:
        frames = self._frames
        self.at = now
        self._bytes += len(frame)
        frames.append(frame)
        if len(frames) >= self._most:
            self._make_room()

    def decode(self) -> None:
        if not self._frames:
            return
        self._last = self._samples(len(self._frames[-1]))
        kept = b"".join(self._frames)
        self._frames.clear()
        if self._is_coded:
            self.history.append(kept)
            return
        self.history.skip_to(self._samples(self._bytes - len(kept)))
        pcm = to_linear(kept, self._format)
        if self._resampler is not None:
            pcm = self._resampler.convert(pcm)
        self.history.append(pcm.astype("<i2", copy=False).tobytes())

    def _make_room(self) -> None:
        """Put away what costs nothing to decode; of other frames the older half is left out."""
        if self._is_coded:
            self.decode()
        else:
            del self._frames[: PENDING // 2]

    def _samples(self, size: int) -> int:
        return size * RATE // (self._format.rate * self._format.sample_bytes)


def _powers(samples: Samples) -> Samples:
    """The mean power of each block."""
    blocks = samples.reshape(-1, BLOCK)
    powers: Samples = np.einsum("ij,ij->i", blocks, blocks) / BLOCK
    return powers
