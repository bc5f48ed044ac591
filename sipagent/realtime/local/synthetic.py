"""A voice and an ear for the simulation: no processes, no codecs, and the same bytes every time.

The voice speaks a square wave: its half period, in samples, tells the phrase, and its length is that of the text. The
ear finds the half period again, also when packets were lost or companding changed the level: it looks at signs.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from sipagent.formats import PCM, AudioFormat

MS_PER_CHARACTER = 60
"""Speech at some 160 words a minute."""
MIN_MS = 300
UNKNOWN_HALF_PERIOD = 3
"""Samples at 8 kHz; for a text that is no phrase, such as all that the model says."""
FIRST_HALF_PERIOD = 4
"""That of the first phrase: 1 kHz; the hundredth is at 39 Hz, and still told from its neighbours."""
MAX_PHRASES = 100
SYLLABLE_MS = 160
PAUSE_MS = 40
"""Speech is not steady; a tone that is counts as noise to a detector, and rightly."""
LOUD_CODE = 0x40
"""G.711 codes from here on are within 24 dB of full scale."""
MIN_RUNS = 5
"""Half periods that must agree before the ear believes in a phrase."""

LOUD = {
    "audio/pcmu": (b"\x9f", b"\x1f"),
    "audio/pcma": (b"\xba", b"\x3a"),
    "audio/pcm": (b"\x00\x20", b"\x00\xe0"),
}
"""A loud positive and a loud negative sample, some -12 dB below full scale."""


def speak(text: str, audio_format: AudioFormat, phrases: Sequence[str] = ()) -> bytes:
    """Audio of ``text``; of a phrase, if it is one, such as :func:`hear` understands."""
    half = FIRST_HALF_PERIOD + list(phrases).index(text) if text in phrases else UNKNOWN_HALF_PERIOD
    half *= audio_format.rate // 8000
    positive, negative = LOUD[audio_format.type]
    per_ms = audio_format.bytes_per_ms
    tone = (positive * half + negative * half) * (SYLLABLE_MS * audio_format.rate // 1000 // half)
    pause = audio_format.silence * (PAUSE_MS * per_ms // audio_format.sample_bytes)
    syllable = tone[: SYLLABLE_MS * per_ms] + pause
    size = max(MIN_MS, MS_PER_CHARACTER * len(text)) * per_ms
    return (syllable * (size // len(syllable) + 1))[:size]


def hear(audio: bytes, audio_format: AudioFormat, phrases: Sequence[str]) -> str:
    """The phrase that is spoken in ``audio``, or an empty text."""
    is_pcm = audio_format.codec == PCM.codec
    signs = _signs_of_pcm(audio) if is_pcm else _signs_of_g711(audio, audio_format.silence[0] & 0x7F)
    runs = Counter(sum(1 for _ in run) for sign, run in groupby(signs) if sign)
    length, count = max(runs.items(), key=lambda entry: entry[0] * entry[1], default=(0, 0))
    index = round(length * 8000 / audio_format.rate) - FIRST_HALF_PERIOD
    return phrases[index] if count >= MIN_RUNS and 0 <= index < min(len(phrases), MAX_PHRASES) else ""


def _signs_of_g711(audio: bytes, quiet: int) -> Iterator[int]:
    """For each sample 1 or -1, or 0 for one that is not loud; the top bit of a code is the sign, the rest its level."""
    return (0 if (code & 0x7F) ^ quiet < LOUD_CODE else 1 if code & 0x80 else -1 for code in audio)


def _signs_of_pcm(audio: bytes) -> Iterator[int]:
    """Likewise, from the upper byte of each sample."""
    return (0 if code in (0, 255) else -1 if code & 0x80 else 1 for code in audio[1::2])
