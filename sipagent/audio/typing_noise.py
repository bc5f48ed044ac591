"""Somebody types: the sound of a keyboard, made to be repeated without a seam."""

from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm

DURATION_S: Final = 8
"""Of one turn of it: nobody counts keystrokes for so long."""

GAP_S: Final = (0.08, 0.24)
"""Between two keys: a fast typist's, and a slow one's."""

PAUSE_S: Final = (0.5, 1.1)
"""Between two words, now and then."""

WORD_KEYS: Final = (3, 9)
"""Keys between two pauses."""

DECAY_S: Final = (0.004, 0.012)
"""How long a key sounds: plastic on plastic, with no tail that a telephone would carry."""

KEY_S: Final = 0.06
"""After which nothing of it is left."""


def typing_noise(level_dbfs: float, *, random: Random, rate: int = SAMPLE_RATE) -> Pcm:
    """Return some seconds of typing; a key that would sound across the end is left out.

    :param level_dbfs: RMS of all of it, pauses included, relative to 32,768.
    :param rate: Hz.
    """
    samples = DURATION_S * rate
    sound = np.zeros(samples)
    generator = np.random.default_rng(random.getrandbits(64))
    length = round(KEY_S * rate)
    at, left = random.uniform(*GAP_S), random.randint(*WORD_KEYS)
    while (begin := round(at * rate)) + length < samples:
        sound[begin : begin + length] += _key(generator, random, length, rate)
        left -= 1
        at += random.uniform(*(GAP_S if left else PAUSE_S))
        left = left or random.randint(*WORD_KEYS)
    return to_pcm(sound * (32_768 * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(sound**2))))


def _key(generator: np.random.Generator, random: Random, length: int, rate: int) -> NDArray[np.float64]:
    """The click of one key going down, as loud as the finger is strong."""
    times = np.arange(length) / rate
    click = generator.standard_normal(length) * np.exp(-times / random.uniform(*DECAY_S))
    return click * random.uniform(0.4, 1.0)
