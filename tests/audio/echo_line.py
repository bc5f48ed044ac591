"""A line that returns what it is sent: recorded speech, rooms made by a seed, and the ear that listens to it all.

Speech is Debian's recorded prompts; a caller's voice is the same a fifth slower, and so deeper. Signals are floats at
the scale of int16, 8 kHz; they go through G.711 each way.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Final, Literal, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from sipagent.audio.echo import EchoGuard
from sipagent.audio.g711 import decode_ulaw, encode_ulaw, to_pcm
from sipagent.audio.resample import Resampler
from sipagent.audio.vad import EnergyVad
from sipagent.audio.wav import read_wav
from sipagent.call.listener import GATE_DBFS, OVER_AGENT_DBFS
from sipagent.formats import PCMU, AudioFormat

Wave: TypeAlias = NDArray[np.float64]
Room: TypeAlias = Literal["line", "speakerphone", "bare room"]

PROMPTS: Final = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PACKAGE: Final = "asterisk-core-sounds-en-wav"
RATE: Final = 8_000
FRAME: Final = 160
FULL_SCALE: Final = 32_768.0
NOISE_DBFS: Final = -62.0
AGENT_DBFS: Final = -20.0
HANGOVER_S: Final = 0.3
"""After the agent's last sound the gate is as high as over it."""
SLOWER: Final = 1.25


@dataclass(frozen=True)
class Line:
    """What a line makes of our voice."""

    room: Room = "speakerphone"
    return_loss_db: float = 10.0
    delay_ms: float = 150.0
    steps_s: float | None = None
    """How often the delay changes by 10 or 20 ms; ``None`` for never."""


def is_installed() -> bool:
    return PROMPTS.is_dir()


def speak(seconds: float, seed: int, *, dbfs: float = AGENT_DBFS, is_caller: bool = False) -> Wave:
    """Sentences with pauses of 0.2 to 0.8 s."""
    random = np.random.default_rng(seed)
    files = sorted(PROMPTS.glob("*.wav"))
    parts: list[Wave] = []
    while sum(map(len, parts)) < seconds * RATE:
        _, samples = read_wav(files[random.integers(len(files))].read_bytes())
        wave = samples[:, 0].astype(np.float64)
        if len(wave) < RATE:
            continue
        if is_caller:
            wave = soxr.resample(wave, RATE, RATE * SLOWER)
            wave = wave[int(np.argmax(np.abs(wave) > FULL_SCALE / 100)) :]
        parts += [
            wave * FULL_SCALE * 10 ** (dbfs / 20) / _active(wave),
            np.zeros(round(random.uniform(0.2, 0.8) * RATE)),
        ]
    return np.concatenate(parts)[: round(seconds * RATE)]


def echo(sent: Wave, line: Line, seed: int) -> Wave:
    """What comes back of it."""
    random = np.random.default_rng(seed)
    played = sent if line.room == "line" else _loudspeaker(sent)
    back = np.convolve(played, _response(line.room, random))[: len(sent)]
    back *= _active(sent) / _active(back) * 10 ** (-line.return_loss_db / 20)
    if line.steps_s is not None:
        back = _stepped(back, line.steps_s, random)
    return np.concatenate((np.zeros(round(line.delay_ms * RATE / 1000)), back))[: len(sent)]


def noise(samples: int, seed: int) -> Wave:
    return np.random.default_rng(seed).normal(size=samples) * FULL_SCALE * 10 ** (NOISE_DBFS / 20)


def coded(wave: Wave) -> Wave:
    return decode_ulaw(encode_ulaw(to_pcm(wave))).astype(np.float64)


class Ear:
    """The detector and the guard as a call has them.

    :param guards: whether there is a guard.
    """

    def __init__(self, audio_format: AudioFormat = PCMU, *, guards: bool = True) -> None:
        self.guard = EchoGuard(audio_format) if guards else None
        self.costs: list[float] = []
        self.now = 100.0
        self._vad = EnergyVad(audio_format)
        self._sounded_at = 0.0

    def hear(self, sent: bytes, heard: bytes) -> bool:
        """20 ms of either side: whether the caller speaks."""
        self.now += FRAME / RATE
        is_sound = len(set(sent)) > 1
        if is_sound:
            self._sounded_at = self.now
        over_agent = self.now < self._sounded_at + HANGOVER_S
        self._vad.gate_dbfs = OVER_AGENT_DBFS if over_agent else GATE_DBFS
        if self.guard is not None:
            self.guard.sent(sent, is_sound=is_sound, now=self.now)
            self.guard.heard(heard, now=self.now + 0.004)
        if not self._vad.is_speech(heard):
            return False
        if self.guard is None:
            return True
        began = process_time()
        is_echo = self.guard.is_echo(now=self.now + 0.004)
        self.costs.append(process_time() - began)
        return not is_echo

    def listen(self, sent: Wave, heard: Wave) -> Iterator[bool]:
        """The same for a while, in μ-law."""
        for out, back in zip(frames(sent), frames(heard), strict=True):
            yield self.hear(out, back)


def frames(wave: Wave, audio_format: AudioFormat = PCMU) -> list[bytes]:
    """Cut into frames of 20 ms, of a call's format."""
    if audio_format is PCMU:
        data, size = encode_ulaw(to_pcm(wave)), FRAME
    else:
        pcm = Resampler(RATE, audio_format.rate).convert(to_pcm(wave))
        data, size = pcm.astype("<i2").tobytes(), 20 * audio_format.bytes_per_ms
    return [data[at : at + size] for at in range(0, len(data) // size * size, size)]


def with_delay(line: Line, delay_ms: float) -> Line:
    return replace(line, delay_ms=delay_ms)


def _active(wave: Wave) -> float:
    """RMS where there is speech."""
    powers = np.square(wave[: len(wave) // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)
    return float(np.sqrt(powers[powers > powers.max() / 1000].mean())) or 1.0


def _loudspeaker(wave: Wave) -> Wave:
    """Small: 400 to 3,300 Hz, and no stranger to distortion."""
    frequencies = np.fft.rfftfreq(len(wave), 1 / RATE)
    response = 1 / np.sqrt((1 + (400 / np.maximum(frequencies, 1)) ** 6) * (1 + (frequencies / 3300) ** 12))
    played = np.fft.irfft(np.fft.rfft(wave) * response, len(wave))
    limit = 3 * _active(wave)
    return np.tanh(played / limit) * limit


def _response(room: Room, random: np.random.Generator) -> Wave:
    """A line's filter; or a direct way, and a tail that is 7 dB softer or, in a bare room, as loud."""
    if room == "line":
        response = random.normal(size=64) * np.exp(-np.arange(64) / 8)
        response[0] += 2.0
        return response
    reverberation_s = 0.45 if room == "bare room" else random.uniform(0.2, 0.4)
    tail = random.normal(size=round(reverberation_s * RATE))
    tail *= 10 ** (-3 * np.arange(len(tail)) / len(tail))
    tail *= (1.0 if room == "bare room" else 10 ** (-random.uniform(4, 10) / 20)) / np.sqrt(tail @ tail)
    tail[:3] += (0.3, 1.0, 0.4)
    return tail


def _stepped(wave: Wave, every_s: float, random: np.random.Generator) -> Wave:
    """The same with a jitter buffer that changes its mind."""
    moved, offset, at = np.zeros_like(wave), 0, 0
    while at < len(wave):
        until = min(len(wave), at + round(random.uniform(0.5, 1.5) * every_s * RATE))
        moved[at:until] = wave[np.clip(np.arange(at, until) + offset, 0, len(wave) - 1)]
        offset = int(np.clip(offset + random.choice((-160, -80, 80, 160)), -400, 400))
        at = until
    return moved
