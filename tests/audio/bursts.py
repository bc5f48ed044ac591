"""Sounds that are no speech, made by rules: coughs, breath, clicks, knocks and noise, as float64 at 8 kHz.

A cough is a plosive of 30 to 60 ms, then breath through an open throat, and in two of five cases a short voiced end
(J. Korpáš and others, "Analysis of the cough sound", 1996): no recordings of any are at hand in a package.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE

Sound = NDArray[np.float64]
Generator = np.random.Generator
Peak = tuple[float, float, float]
"""Hz, width in Hz, gain."""


def shaped(seconds: float, peaks: list[Peak], random: Generator) -> Sound:
    """Noise with these resonances, of peak 1."""
    count = int(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(random.normal(size=count))
    at = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    gains = 0.05 + sum(gain / (1 + ((at - hz) / width) ** 2) for hz, width, gain in peaks)
    return peak_1(np.fft.irfft(spectrum * gains, count))


def peak_1(sound: Sound) -> Sound:
    loudest: Sound = sound / np.abs(sound).max()
    return loudest


def swell(count: int, rise_s: float, fall_s: float) -> Sound:
    time = np.arange(count) / SAMPLE_RATE
    return np.minimum(1, time / rise_s) * np.exp(-np.maximum(0, time - rise_s) / fall_s)


def cough(random: Generator) -> Sound:
    plosive = shaped(
        random.uniform(0.03, 0.06),
        [(random.uniform(300, 700), 300, 1), (random.uniform(1_000, 1_800), 400, 0.8), (2_800, 500, 0.4)],
        random,
    )
    wind = shaped(
        random.uniform(0.1, 0.25),
        [(random.uniform(400, 800), 250, 0.8), (random.uniform(1_200, 2_000), 400, 0.6)],
        random,
    )
    parts = [
        plosive * swell(len(plosive), 0.004, 0.05),
        wind * swell(len(wind), 0.01, random.uniform(0.05, 0.12)) * random.uniform(0.3, 0.6),
    ]
    return np.concatenate([*parts, *([voiced_end(random)] if random.random() < 0.4 else [])])


def voiced_end(random: Generator) -> Sound:
    count = int(random.uniform(0.06, 0.14) * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    wander = 0.05 * np.cumsum(random.normal(size=count)) / count**0.5
    pitch = random.uniform(120, 320) * (1 + 2.5 * random.uniform(-1, 1) * time + wander)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    voice = peak_1(sum((np.cos(k * phase) / k for k in range(1, 8)), np.zeros(count)))
    return (0.5 * voice + 0.35 * shaped(count / SAMPLE_RATE, [(600, 300, 1)], random)[:count]) * np.hanning(count) * 0.4


def breath(random: Generator) -> Sound:
    sound = shaped(random.uniform(0.3, 0.8), [(random.uniform(800, 1_600), 800, 1)], random)
    return sound * np.hanning(len(sound))


def clicks(random: Generator) -> Sound:
    sound = np.zeros(int(0.3 * SAMPLE_RATE))
    length = int(random.uniform(0.002, 0.03) * SAMPLE_RATE)
    for _ in range(random.integers(1, 4)):
        at = random.integers(0, len(sound) - length)
        sound[at : at + length] += random.normal(size=length) * np.exp(-np.arange(length) / (length / 3))
    return peak_1(sound)


def knocks(random: Generator) -> Sound:
    time = np.arange(int(0.25 * SAMPLE_RATE)) / SAMPLE_RATE
    ring = np.sin(2 * np.pi * random.uniform(90, 260) * time) * np.exp(-time / random.uniform(0.01, 0.03))
    return peak_1(np.tile(ring + 0.3 * random.normal(size=len(time)) * np.exp(-time / 0.005), 2))


def noise(random: Generator) -> Sound:
    sound = shaped(random.uniform(0.1, 0.6), [(random.uniform(200, 3_000), random.uniform(300, 1_500), 1)], random)
    edge = np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1])
    return sound * np.minimum(1, edge / 200)


BURSTS: dict[str, Callable[[Generator], Sound]] = {
    each.__name__: each for each in (cough, breath, clicks, knocks, noise)
}


def on_a_line(
    sound: Sound, random: Generator, *, dbfs: float = -20.0, noise_dbfs: float = -62.0, pad_s: float = 0.1
) -> NDArray[np.int16]:
    """The louder half of a sound at this RMS level, with line noise under it and around it."""
    louder = np.sort(np.abs(sound.astype(np.float64)))[len(sound) // 2 :]
    loud = sound / np.sqrt(np.mean(louder**2)) * 10 ** (dbfs / 20) * 32_768
    pad = np.zeros(int(pad_s * SAMPLE_RATE))
    whole = np.concatenate((pad, loud, pad))
    whole += random.normal(size=len(whole)) * 10 ** (noise_dbfs / 20) * 32_768
    return np.clip(whole, -32_768, 32_767).astype(np.int16)
