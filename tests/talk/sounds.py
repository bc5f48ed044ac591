"""What callers sound like: recorded sentences, little words, coughs and breaths, streets, music, keys.

Sentences are Debian's recorded prompts and the music is its hold music; the little words are spoken by flite's voices;
all else is made here from noise, by a seed. Nothing of it is part of this repository. PCM is int16 at 8 kHz.

A sound begins with the first sample above -40 dBFS and ends with the last, so that it is known when it began.
"""

import subprocess
from functools import lru_cache
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm
from sipagent.audio.tones import DTMF_FREQUENCIES, chord, silence
from sipagent.audio.wav import read_wav

Wave: TypeAlias = NDArray[np.float64]

PROMPTS: Final = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
MUSIC: Final = Path("/usr/share/asterisk/moh")
PACKAGES: Final = ("asterisk-core-sounds-en-wav", "asterisk-moh-opsound-wav", "flite")

FULL_SCALE: Final = 32_768.0
ONSET: Final = FULL_SCALE * 10 ** (-40 / 20)
"""A sample above this is sound."""
SPEECH_DBFS: Final = -22.0
"""RMS of speech where it is active; telephones speak at -18 to -26."""
LINE_NOISE_DBFS: Final = -64.0
"""A quiet line."""

SENTENCES: Final = (
    "agent-incorrect",
    "all-circuits-busy-now",
    "auth-incorrect",
    "cannot-complete-as-dialed",
    "check-number-dial-again",
    "conf-getchannel",
    "conf-getpin",
    "conf-invalidpin",
    "conf-onlyperson",
    "conf-waitforleader",
    "confbridge-only-participant",
    "demo-nogo",
    "dir-nomatch",
    "feature-not-avail-line",
    "if-correct-press",
    "info-about-last-call",
    "invalid",
    "is-in-use",
    "number-not-answering",
    "pbx-invalid",
    "please-try-call-later",
    "pls-hold-while-try",
    "privacy-incorrect",
    "queue-thankyou",
    "sorry-youre-having-problems",
    "ss-noservice",
    "tt-allbusy",
    "tt-somethingwrong",
    "vm-incorrect-mailbox",
    "vm-isunavail",
    "vm-nobodyavail",
    "vm-pls-try-again",
)
"""With which callers interrupt: all begin differently, and are long enough to be meant."""
STREETS: Final = 8
SENTENCE_S: Final = 1.2, 3.0
"""Shorter ones are left out, longer ones end there."""

WORDS: Final = ("-p m ax m hh ax m", "-p ah hh ah", "-t okay", "-t yeah", "-t right")
"""What flite is given: "mm-hm" and "uh-huh" by their sounds, it would spell them."""
STRETCH: Final = 0.7
"""As quickly as people say it."""
VOICES: Final = ("slt", "rms", "kal", "awb", "kal16")
FLITE_S: Final = 10.0


def missing() -> list[str]:
    """The packages that are not there."""
    found = (
        (PROMPTS / "vm-isonphone.wav").is_file(),
        any(MUSIC.glob("*.wav")),
        which("flite") is not None,
    )
    return [package for package, is_there in zip(PACKAGES, found, strict=True) if not is_there]


def level(pcm: Pcm, dbfs: float) -> Pcm:
    """Return the sound so loud where it is active."""
    return to_pcm(pcm * (FULL_SCALE * 10 ** (dbfs / 20) / active_rms(pcm)))


def active_rms(pcm: Pcm) -> float:
    """Return the RMS of the 20 ms that are within 20 dB of the loudest."""
    frames = pcm[: len(pcm) // 160 * 160].astype(np.float64).reshape(-1, 160)
    powers = (frames**2).mean(axis=1)
    return float(np.sqrt(powers[powers > powers.max() / 100].mean()))


def trim(pcm: Pcm) -> Pcm:
    """Return the sound from its first sample above -40 dBFS to its last."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > ONSET)
    return pcm[loud[0] : loud[-1] + 1] if len(loud) else pcm[:0]


def fade(pcm: Pcm, seconds: float = 0.02) -> Pcm:
    """Return the sound with a soft end."""
    size = min(len(pcm), round(seconds * SAMPLE_RATE))
    return to_pcm(np.concatenate((pcm[:-size], pcm[-size:] * np.linspace(1, 0, size))))


# Voices


@lru_cache
def prompt(name: str) -> Pcm:
    """Return a recorded prompt as it is.

    :raises OSError: when it is not installed, or not at 8 kHz
    """
    rate, samples = read_wav((PROMPTS / f"{name}.wav").read_bytes())
    if rate != SAMPLE_RATE:
        raise OSError(f"{name}.wav is not at {SAMPLE_RATE} Hz")
    return samples[:, 0]


@lru_cache
def sentences() -> tuple[Pcm, ...]:
    """Return what callers say when they mean to interrupt."""
    least, most = (round(seconds * SAMPLE_RATE) for seconds in SENTENCE_S)
    trimmed = (trim(level(prompt(name), SPEECH_DBFS)) for name in SENTENCES)
    return tuple(trim(fade(sentence[:most])) for sentence in trimmed if len(sentence) >= least)


@lru_cache
def backchannels() -> tuple[Pcm, ...]:
    """Return the little words that mean "go on": five words by five voices."""
    return tuple(trim(level(_flite(word, voice), SPEECH_DBFS)) for word in WORDS for voice in VOICES)


def _flite(word: str, voice: str) -> Pcm:
    kind, _, text = word.partition(" ")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        stretch = f"duration_stretch={STRETCH}"
        command = ["flite", "-voice", voice, "--setf", stretch, kind, text, "-o", str(path)]
        subprocess.run(command, check=True, timeout=FLITE_S, capture_output=True)
        rate, samples = read_wav(path.read_bytes())
    return np.asarray(soxr.resample(samples[:, 0], rate, SAMPLE_RATE), np.int16)


# Noises of a person


def coughs(count: int) -> list[Pcm]:
    """Return coughs, some with a second or third one close behind."""
    return [_cough(np.random.default_rng(1000 + number), 1 + number % 3) for number in range(count)]


def _cough(random: np.random.Generator, fit: int) -> Pcm:
    """A burst as the glottis opens, the rush of air, and sometimes a hoarse voice at its end."""
    parts: list[Wave] = []
    for _ in range(fit):
        burst = _band(random, 0.045, 300, 3400) * _decay(0.045, 0.02)
        rush = _band(random, random.uniform(0.10, 0.18), 500, 2600) * 0.35
        voice = _hoarse(random, random.uniform(0.06, 0.12)) * 0.3 * random.integers(0, 2)
        cough = np.concatenate((burst, rush, voice))
        parts += [cough * _decay(len(cough) / SAMPLE_RATE, 0.2), _nothing(random.uniform(0.12, 0.2))]
    return trim(level(_to_pcm(np.concatenate(parts)), random.uniform(-26.0, -16.0)))


def throats(count: int) -> list[Pcm]:
    """Return clearings of the throat: hoarse voice under rushing air."""
    made = []
    for number in range(count):
        random = np.random.default_rng(2000 + number)
        seconds = random.uniform(0.2, 0.4)
        sound = _hoarse(random, seconds) + 0.5 * _band(random, seconds, 300, 2000)
        made.append(trim(level(_to_pcm(sound * _swell(seconds, 0.05)), random.uniform(-28.0, -20.0))))
    return made


def breaths(count: int) -> list[Pcm]:
    """Return breaths into the microphone: noise that swells and ebbs."""
    made = []
    for number in range(count):
        random = np.random.default_rng(3000 + number)
        seconds = random.uniform(0.5, 1.0)
        made.append(trim(level(_to_pcm(_band(random, seconds, 200, 2200) * _swell(seconds, 0.3)), -34.0)))
    return made


def clicks(count: int) -> list[Pcm]:
    """Return clicks of a handset that is moved, or of a tongue: a few milliseconds each."""
    made = []
    for number in range(count):
        random = np.random.default_rng(4000 + number)
        parts = []
        for _ in range(random.integers(1, 4)):
            click = _band(random, 0.008, 800, 3600) * _decay(0.008, 0.003)
            parts += [click, _nothing(random.uniform(0.05, 0.15))]
        peak = _to_pcm(np.concatenate(parts))
        made.append(trim(to_pcm(peak * (FULL_SCALE * 10 ** (-12 / 20) / np.abs(peak.astype(np.int32)).max()))))
    return made


def _hoarse(random: np.random.Generator, seconds: float) -> Wave:
    """A voice that does not vibrate evenly."""
    size = round(seconds * SAMPLE_RATE)
    pulses = np.zeros(size)
    at = 0.0
    while at < size:
        pulses[int(at)] = random.uniform(0.4, 1.0)
        at += SAMPLE_RATE / random.uniform(80.0, 130.0)
    return _filter(pulses + 0.02 * random.standard_normal(size), 200, 1800) * 4


# Noises around a person


def street(seconds: float, *, snr_db: float, seed: int, has_events: bool = True) -> Pcm:
    """Return traffic, so far below speech: a rumble that swells slowly, talk far away, cars that pass, and horns.

    There are a few streets; everybody is in one of them at another time.
    """
    sound = _street(seconds, seed % STREETS, has_events=has_events)
    rms = FULL_SCALE * 10 ** ((SPEECH_DBFS - snr_db) / 20)
    return np.roll(to_pcm(sound * rms), -(seed // STREETS * round(3.7 * SAMPLE_RATE)))


@lru_cache
def _street(seconds: float, seed: int, *, has_events: bool) -> Wave:
    random = np.random.default_rng(5000 + seed)
    size = round(seconds * SAMPLE_RATE)
    rumble = _filter(random.standard_normal(size), 60, 900) + 0.3 * _filter(random.standard_normal(size), 900, 3000)
    rumble *= 10 ** (_wander(random, size, 4.0) * 3.0 / 20)
    sound = rumble / rumble.std() + 0.35 * _babble(random, size)
    if has_events:
        sound += _cars(random, size) + _horns(random, size)
    return np.asarray(sound / sound.std())


def line_noise(seconds: float, *, seed: int) -> Pcm:
    """Return the hiss of a quiet line."""
    random = np.random.default_rng(6000 + seed)
    return to_pcm(random.normal(0.0, FULL_SCALE * 10 ** (LINE_NOISE_DBFS / 20), round(seconds * SAMPLE_RATE)))


def _babble(random: np.random.Generator, size: int) -> Wave:
    """Six people at once, too far away to be understood."""
    sound = np.zeros(size)
    for _ in range(6):
        names = random.permutation(SENTENCES)
        talk = np.concatenate([prompt(name) for name in names]).astype(np.float64)
        talk = np.tile(talk, size // len(talk) + 2)
        start = int(random.integers(0, len(talk) - size))
        sound += _filter(talk[start : start + size], 250, 2500)
    return sound / sound.std()


def _cars(random: np.random.Generator, size: int) -> Wave:
    """A car every eight seconds or so, for two or three seconds."""
    sound = np.zeros(size)
    at = random.uniform(0.0, 6.0)
    while at * SAMPLE_RATE < size:
        seconds = random.uniform(2.0, 3.5)
        car = _filter(random.standard_normal(round(seconds * SAMPLE_RATE)), 100, 2200)
        hump = np.exp(-((np.linspace(-3.0, 3.0, len(car))) ** 2))
        _add(sound, car / car.std() * hump * random.uniform(1.0, 2.0), round(at * SAMPLE_RATE))
        at += random.uniform(5.0, 11.0)
    return sound


def _horns(random: np.random.Generator, size: int) -> Wave:
    """Two notes, every quarter of a minute, a street away."""
    sound = np.zeros(size)
    at = random.uniform(3.0, 15.0)
    while at * SAMPLE_RATE < size:
        seconds, base = random.uniform(0.2, 0.7), random.uniform(350.0, 450.0)
        time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        tone = sum(np.sign(np.sin(2 * np.pi * base * ratio * time)) for ratio in (1.0, 1.25))
        horn = _filter(np.asarray(tone), 300, 2500) * _swell(seconds, 0.03)
        _add(sound, horn * random.uniform(0.8, 1.6), round(at * SAMPLE_RATE))
        at += random.uniform(10.0, 20.0)
    return sound


def music(seconds: float, *, number: int) -> Pcm:
    """Return hold music, as loud as speech: somebody put us on hold.

    :raises OSError: when there is none
    """
    files = sorted(MUSIC.glob("*.wav"))
    if not files:
        raise OSError(f"no music in {MUSIC}")
    _, samples = read_wav(files[number % len(files)].read_bytes())
    start = (10 + 17 * (number // len(files))) * SAMPLE_RATE
    return level(samples[start : start + round(seconds * SAMPLE_RATE), 0], SPEECH_DBFS)


def keys(digits: str) -> Pcm:
    """Return keys of the telephone as tones in the audio."""
    parts = [part for digit in digits for part in (chord(DTMF_FREQUENCIES[digit], 100, level_dbfs=-14.0), silence(100))]
    return trim(np.concatenate(parts))


# Arithmetic


def _band(random: np.random.Generator, seconds: float, low_hz: float, high_hz: float) -> Wave:
    return _filter(random.standard_normal(round(seconds * SAMPLE_RATE)), low_hz, high_hz)


def _filter(sound: Wave, low_hz: float, high_hz: float) -> Wave:
    """Let a band pass; its edges are soft, so that nothing rings."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + (low_hz / np.maximum(hertz, 1.0)) ** 6) / np.sqrt(1 + (hertz / high_hz) ** 6)
    return np.asarray(np.fft.irfft(spectrum * gain, len(sound)))


def _wander(random: np.random.Generator, size: int, every_s: float) -> Wave:
    """A line through random points, one every so often, of mean 0 and deviation 1."""
    points = random.standard_normal(int(size / SAMPLE_RATE / every_s) + 3)
    return np.interp(np.arange(size) / SAMPLE_RATE / every_s, np.arange(len(points)), points)


def _nothing(seconds: float) -> Wave:
    return np.zeros(round(seconds * SAMPLE_RATE))


def _decay(seconds: float, constant_s: float) -> Wave:
    return np.exp(-np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE / constant_s)


def _swell(seconds: float, edge_s: float) -> Wave:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.minimum(1.0, np.minimum(time, seconds - time) / edge_s)


def _add(sound: Wave, part: Wave, at: int) -> None:
    part = part[: len(sound) - at]
    sound[at : at + len(part)] += part


def _to_pcm(sound: Wave) -> Pcm:
    return to_pcm(sound * (8000.0 / np.abs(sound).max()))
