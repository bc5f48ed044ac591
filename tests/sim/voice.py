"""Voices that never change: a text always sounds alike, and an ear knows the caller's phrases by their pitch.

The agent's voice holds no byte of silence and no two parts of it are alike, so that a listener on the wire can tell
which of its samples went out.
"""

from functools import cache
from zlib import crc32

import numpy as np

from sipagent.audio.g711 import SAMPLE_RATE, SILENCE, Pcm, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

MS_PER_CHARACTER = 40
SYLLABLE_S = 0.2

PHRASES = (
    "hello",
    "tell me a story",
    "count to ten",
    "what time is it",
    "stop",
    "repeat that",
    "go on",
    "thank you",
    "order status",
    "goodbye",
    "transfer me to sales",
)
"""What a caller may say."""

LOWEST_HZ = 300
STEP_HZ = 100
BUZZ_HZ = 100
"""The caller's own pitch: a tone alone is no voice."""


def _hum(seconds: float, hz: float, roughness: float, seed: int, *, buzz_hz: float = 0.0) -> Pcm:
    """A tone in syllables, with a seeded roughness that repeats nowhere, and swelling so many times a second."""
    size = round(seconds * SAMPLE_RATE)
    time = np.arange(size) / SAMPLE_RATE
    syllables = 0.05 + 0.95 * np.abs(np.sin(np.pi * time / SYLLABLE_S)) ** 0.5
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(size)
    swell = (1 + np.cos(2 * np.pi * buzz_hz * time)) / 2
    wave = syllables * (swell * np.sin(2 * np.pi * hz * time) + roughness * noise)
    return np.clip(wave * 8000, -32000, 32000).astype(np.int16)


@cache
def speak(text: str, codec: str) -> bytes:
    """The agent says ``text``."""
    pcm = _hum(max(len(text), 3) * MS_PER_CHARACTER / 1000, 220, 0.5, crc32(text.encode()))
    audio = encode_ulaw(pcm) if codec == "PCMU" else encode_alaw(pcm)
    silence = SILENCE[codec]
    return audio.replace(bytes((silence,)), bytes((silence ^ 1,)))


@cache
def say(phrase: str) -> bytes:
    """The caller says one of :data:`PHRASES`, in μ-law."""
    pitch = LOWEST_HZ + STEP_HZ * PHRASES.index(phrase)
    return encode_ulaw(_hum(0.4 + 0.04 * len(phrase), pitch, 0.1, pitch, buzz_hz=BUZZ_HZ))


def hear(audio: bytes, codec: str) -> str:
    """Which phrase it was; an empty text for none."""
    pcm = decode_ulaw(audio) if codec == "PCMU" else decode_alaw(audio)
    if len(pcm) < SAMPLE_RATE // 10:
        return ""
    spectrum = np.abs(np.fft.rfft(pcm))
    peak = int(np.argmax(spectrum)) * SAMPLE_RATE / len(pcm)
    number = round((peak - LOWEST_HZ) / STEP_HZ)
    is_pitch = abs(peak - LOWEST_HZ - number * STEP_HZ) < STEP_HZ / 4
    return PHRASES[number] if is_pitch and 0 <= number < len(PHRASES) else ""
