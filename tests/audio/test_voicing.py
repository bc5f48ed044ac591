"""What tells a voice from other bursts; prints how often it is right (pytest -s), and holds it to that."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from audio.bursts import BURSTS, on_a_line

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, encode_alaw, encode_ulaw
from sipagent.audio.resample import Resampler
from sipagent.audio.vad import EnergyVad
from sipagent.audio.voicing import HOP, RUN, WINDOW, Voicing, period_of
from sipagent.audio.wav import read_wav
from sipagent.formats import PCM, PCMA, PCMU

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
MUSIC = Path("/usr/share/asterisk/moh")
FRAME = 160
PENDING_MS = 400
"""How long a barge-in waits for its verdict at most."""


def voice(hz: float, seconds: float, glide: float = 0.0) -> Pcm:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(hz * (1 + glide * time)) / SAMPLE_RATE
    return (4_000 * sum(np.cos(k * phase) / k for k in range(1, 10))).astype(np.int16)


def bursts(pcm: Pcm) -> Iterator[bytes]:
    """Frames from the first that the energy detector hears, as a call has them."""
    vad, heard = EnergyVad(PCMU), False
    for at in range(0, len(pcm) - FRAME + 1, FRAME):
        frame = encode_ulaw(pcm[at : at + FRAME])
        heard = vad.is_speech(frame) or heard
        if heard:
            yield frame


def verdict_ms(pcm: Pcm) -> int | None:
    """How long after the energy detector's onset a voice is told, ``None`` when never within the time there is."""
    voicing = Voicing(PCMU)
    for number, frame in enumerate(bursts(pcm), 1):
        if voicing.hear(frame):
            return 20 * number
        if 20 * number >= PENDING_MS:
            break
    return None


def test_a_period_or_two_are_found() -> None:
    for hz in (80, 120, 200, 320):
        window = voice(hz, 0.1)[:WINDOW].astype(np.float32)
        periods = period_of(window) * hz / SAMPLE_RATE
        assert periods == pytest.approx(round(periods), rel=0.05)
        assert round(periods) >= 1


def test_silence_hiss_and_a_whistle_have_none() -> None:
    random = np.random.default_rng(3)
    whistle = np.sin(2 * np.pi * 2_500 * np.arange(WINDOW) / SAMPLE_RATE)
    for sound in (np.zeros(WINDOW), random.normal(size=WINDOW) * 1_000, whistle * 8_000):
        assert period_of(sound.astype(np.float32)) == 0


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM], ids=lambda each: each.codec)
def test_a_voice_is_told_after_100_ms_however_it_is_cut(audio_format: object) -> None:
    sound = voice(140, 0.3, glide=0.5)
    encoded = {PCMU: encode_ulaw, PCMA: encode_alaw}.get(audio_format)  # type: ignore[call-overload]
    audio = encoded(sound) if encoded else Resampler(SAMPLE_RATE, PCM.rate).convert(sound).tobytes()
    for size in (len(audio), len(audio) // 15, len(audio) // 30):
        voicing = Voicing(audio_format)  # type: ignore[arg-type]
        for at in range(0, len(audio), size):
            voicing.hear(audio[at : at + size])
        assert voicing.is_voice
        assert voicing.heard_ms == RUN * HOP * 1000 // SAMPLE_RATE


def test_a_short_voiced_sound_is_no_voice() -> None:
    quiet = np.zeros(1_600, np.int16)
    voicing = Voicing(PCMU)
    voicing.hear(encode_ulaw(np.concatenate((quiet, voice(200, 0.03), quiet))))
    assert not voicing.is_voice


@pytest.mark.parametrize("kind", sorted(BURSTS))
def test_other_bursts_seldom_are(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(11)
    taken = [verdict_ms(on_a_line(BURSTS[kind](random), random)) is not None for _ in range(50)]
    with capsys.disabled():
        print(f"\n{kind}: {taken.count(True)} of 50 taken for a voice")
    assert taken.count(True) <= (3 if kind in ("cough", "knocks") else 0)


@pytest.mark.skipif(not PROMPTS.exists(), reason="Debian's asterisk-core-sounds-en-wav is not installed")
@pytest.mark.parametrize(("snr", "missed"), [(40, 1), (10, 4)])
def test_recorded_speech_is(snr: int, missed: int, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(5)
    files = sorted(PROMPTS.glob("vm-*.wav"))[::2][:40]
    lines = [on_a_line(read_wav(file.read_bytes())[1][:, 0], random, noise_dbfs=-20 - snr, pad_s=1.0) for file in files]
    waits = sorted(wait if (wait := verdict_ms(line)) is not None else 10**6 for line in lines)
    with capsys.disabled():
        print(
            f"\nspeech at {snr} dB: {waits.count(10**6)} of {len(waits)} missed, verdict after {waits[20]} ms (median)"
        )
    assert waits.count(10**6) <= missed
    assert waits[len(waits) // 2] <= 160
