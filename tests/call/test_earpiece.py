from random import Random

import numpy as np
import pytest

from sipagent.audio.codecs import make_codec
from sipagent.audio.g711 import Pcm, decode_ulaw, encode_ulaw, to_pcm
from sipagent.audio.linear import to_linear
from sipagent.call.earpiece import Earpiece, Meter
from sipagent.formats import PCM, PCMU, AudioFormat
from sipagent.rtp.session import Frame

FRAME_S = 0.020


def tone(rate: int, frames: int, hz: float = 300.0) -> Pcm:
    return to_pcm(8_000 * np.sin(2 * np.pi * hz * np.arange(rate // 50 * frames) / rate))


class Ear:
    """An earpiece and what it heard, packets coming 5 ms before each tick."""

    def __init__(self, audio_format: AudioFormat, encodings: dict[int, str]) -> None:
        self.format = audio_format
        self.earpiece = Earpiece(audio_format, random=Random(1))
        self.earpiece.configure(encodings)
        self.now = 10.0
        self.heard = b""

    def hear(self, *frames: Frame) -> bytes:
        for frame in frames:
            self.earpiece.receive(frame, now=self.now + 0.015)
        self.now += FRAME_S
        heard = self.earpiece.listen(20, now=self.now)
        assert len(heard) == 20 * self.format.bytes_per_ms
        self.heard += heard
        return heard


@pytest.mark.parametrize(
    ("encoding", "audio_format"),
    [("PCMU/8000", PCMU), ("PCMA/8000", PCM), ("G722/8000", PCM), ("opus/48000", PCM), ("L16/16000", PCM)],
)
def test_each_codec_is_heard_at_its_pitch(encoding: str, audio_format: AudioFormat) -> None:
    sender = make_codec(encoding)
    size, step = sender.rate // 50, sender.clock_rate // 50
    said = tone(sender.rate, 100)
    ear = Ear(audio_format, {96: encoding})
    for number in range(100):
        payload = sender.encode(said[number * size : (number + 1) * size])
        ear.hear(Frame(payload, 96, number * step, False, step))
    heard = to_linear(ear.heard, audio_format)[audio_format.rate // 2 :]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
    peak = int(spectrum.argmax())
    assert peak * audio_format.rate / len(heard) == pytest.approx(300.0, abs=1.0)
    assert spectrum[peak - 5 : peak + 6].sum() > 0.99 * spectrum.sum()
    stats = ear.earpiece.stats
    assert stats is not None
    assert stats.concealed_ms == 0.0


def test_g711_in_its_own_format_is_heard_as_it_was_said() -> None:
    said = encode_ulaw(tone(8_000, 50))
    ear = Ear(PCMU, {0: "PCMU/8000"})
    for number in range(50):
        ear.hear(Frame(said[number * 160 : number * 160 + 160], 0, number * 160, False, 160))
    assert said[: 40 * 160] in ear.heard


def test_silence_before_anything_came() -> None:
    ear = Ear(PCMU, {0: "PCMU/8000"})
    assert ear.hear() == b"\xff" * 160
    assert ear.hear(Frame(b"", 0, 0, True, 160)) == b"\xff" * 160
    assert ear.earpiece.stats is None


def test_a_payload_type_of_nobody_is_not_heard() -> None:
    ear = Ear(PCMU, {0: "PCMU/8000"})
    for number in range(5):
        ear.hear(Frame(b"\x10" * 160, 96, number * 160, False, 160))
    assert ear.heard == b"\xff" * 800


@pytest.mark.parametrize(("first", "second"), [("PCMU/8000", "PCMA/8000"), ("PCMU/8000", "G722/8000")])
def test_another_codec_in_mid_stream(first: str, second: str) -> None:
    """A re-INVITE: what is agreed on changes with it, and not one tick is silent for more than the start takes."""
    ear = Ear(PCM, {0: first})
    timestamp = 0
    for encoding, payload_type in ((first, 0), (second, 8)):
        ear.earpiece.configure({0: first, 8: second})
        sender = make_codec(encoding)
        said = tone(sender.rate, 50)
        for number in range(50):
            payload = sender.encode(said[number * sender.rate // 50 : (number + 1) * sender.rate // 50])
            ear.hear(Frame(payload, payload_type, timestamp, False, 160))
            timestamp += 160
    loud = [np.abs(to_linear(ear.heard[at : at + 960], PCM)).max() > 5_000 for at in range(0, len(ear.heard), 960)]
    assert sum(not one for one in loud) <= 4


def test_a_codec_that_is_no_longer_agreed_on_while_its_frames_wait() -> None:
    ear = Ear(PCMU, {0: "PCMU/8000"})
    ear.hear(Frame(b"\x10" * 160, 0, 0, False, 160), Frame(b"\x10" * 160, 0, 160, False, 160))
    ear.earpiece.configure({8: "PCMA/8000"})
    for _ in range(5):
        ear.hear()


def test_a_meter_reads_packets_of_any_codec() -> None:
    meter = Meter()
    meter.configure({9: "G722/8000", 0: "PCMU/8000"})
    loud = tone(16_000, 5)
    codec = make_codec("G722")
    payloads = [codec.encode(loud[at : at + 320]) for at in range(0, 1_600, 320)]
    levels = [meter.level_dbfs(Frame(payload, 9, 0, False, 160)) for payload in payloads]
    assert all(-20 < level < -10 for level in levels[1:])
    assert meter.level_dbfs(Frame(encode_ulaw(decode_ulaw(b"\xff" * 160)), 0, 0, False, 160)) < -60
    assert meter.level_dbfs(Frame(b"", 0, 0, True, 160)) == -100
    assert meter.level_dbfs(Frame(b"\x00", 5, 0, False, 160)) == -100
