"""Speech of a kind: a buzz through moving formants, in syllables, as loud and as uneven as talk on the telephone.

It is made here, and the same on every machine, so that figures can be compared.
"""

from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, encode_ulaw, to_pcm

FRAME_BYTES: Final = 160
"""20 ms of G.711."""

TOP_HZ: Final = 3400
"""Where a telephone's band ends."""
FORMANT_WIDTH_HZ: Final = 120
SPEECH_RMS: Final = 4000.0
"""-18 dBFS, as telephones speak."""
NOISE_RMS: Final = 20.0
"""-64 dBFS, a quiet line."""
VOWELS_HZ: Final = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
SYLLABLE_MS: Final = (140, 260)
EDGE_MS: Final = 30


def speak(seconds: float, *, pitch_hz: float, random: Random) -> bytes:
    """Return μ-law speech that is loud from its first frame on."""
    syllables: list[NDArray[np.float64]] = []
    while sum(map(len, syllables)) < seconds * SAMPLE_RATE:
        length = random.randint(*SYLLABLE_MS) * SAMPLE_RATE // 1000
        syllables.append(_say(random.choice(VOWELS_HZ), pitch_hz * random.uniform(0.9, 1.1), length))
    speech = np.concatenate(syllables)[: round(seconds * SAMPLE_RATE)]
    return encode_ulaw(to_pcm(speech * (SPEECH_RMS / np.sqrt(np.mean(speech**2)))))


def hiss(seconds: float, *, random: Random) -> bytes:
    """Return the μ-law noise of a line on which nobody speaks."""
    noise = np.random.default_rng(random.getrandbits(32)).normal(0.0, NOISE_RMS, round(seconds * SAMPLE_RATE))
    return encode_ulaw(to_pcm(noise))


def frames(audio: bytes) -> list[bytes]:
    """Cut audio into frames of 20 ms; what doesn't fill the last is dropped."""
    return [audio[at : at + FRAME_BYTES] for at in range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)]


def _say(vowel: tuple[int, ...], pitch_hz: float, length: int) -> NDArray[np.float64]:
    """One syllable: the harmonics of the voice as strong as the vowel's formants let them pass, swelling and fading."""
    time = np.arange(length) / SAMPLE_RATE
    sound = np.zeros(length)
    for harmonic in np.arange(pitch_hz, TOP_HZ, pitch_hz):
        strength = sum(1 / (1 + ((harmonic - formant) / FORMANT_WIDTH_HZ) ** 2) for formant in vowel)
        sound += strength * np.sin(2 * np.pi * harmonic * time)
    edge = EDGE_MS / 1000
    swell: NDArray[np.float64] = np.minimum(1.0, 0.4 + 0.6 * time / edge)
    fade: NDArray[np.float64] = np.minimum(1.0, 0.05 + (time[-1] - time) / edge)
    return sound * swell * fade
