"""The caller's sound in the call's format: untouched where it can be, without a seam where it can't."""

from random import Random

import numpy as np
import pytest

from sipagent.audio.codecs import make_codec
from sipagent.audio.g711 import Pcm
from sipagent.audio.linear import to_linear
from sipagent.call.downlink import Downlink
from sipagent.call.uplink import Uplink
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat
from sipagent.rtp.session import Frame

FRAME_MS = 20
PAYLOAD_TYPES = {"PCMU/8000": 0, "PCMA/8000": 8, "G722/8000": 9, "opus/48000": 111, "L16/16000": 96, "L16/8000": 97}


class Wire:
    """A caller's stream in any codec."""

    def __init__(self, encoding: str) -> None:
        self.codec = make_codec(encoding)
        self.ticks = self.codec.clock_rate * FRAME_MS // 1000
        self.payload_type = PAYLOAD_TYPES[encoding]
        self.timestamp = 0

    def say(self, pcm: Pcm) -> list[Frame]:
        """The frames of some sound at the codec's rate."""
        size = self.codec.rate * FRAME_MS // 1000
        return [self._frame(self.codec.encode(pcm[n : n + size])) for n in range(0, len(pcm), size)]

    def lose(self, frame: Frame) -> Frame:
        return frame._replace(payload=b"", lost=True)

    def rest(self, ms: int) -> Frame:
        frame = Frame(b"", self.payload_type, self.timestamp, False, self.codec.clock_rate * ms // 1000)
        self.timestamp += frame.samples
        return frame

    def _frame(self, payload: bytes) -> Frame:
        frame = Frame(payload, self.payload_type, self.timestamp, False, self.ticks)
        self.timestamp += self.ticks
        return frame


def make_uplink(audio_format: AudioFormat) -> Uplink:
    uplink = Uplink(audio_format, random=Random(1))
    uplink.configure({number: encoding for encoding, number in PAYLOAD_TYPES.items()})
    return uplink


def linear(frames: list[Frame], audio_format: AudioFormat) -> Pcm:
    return to_linear(b"".join(frame.payload for frame in frames), audio_format)


def likeness(one: Pcm, other: Pcm, *, lag: int = 600) -> float:
    """The best normalised correlation of two sounds, one up to ``lag`` samples later than the other."""
    length = min(len(one), len(other)) - lag
    reference = one[lag : lag + length // 2].astype(float)
    other = other[: len(reference) + 2 * lag].astype(float)
    size = len(other) + len(reference)
    products = np.fft.irfft(np.fft.rfft(other, size) * np.fft.rfft(reference, size).conj(), size)
    energies = np.concatenate([[0.0], np.cumsum(np.square(other))])
    starts = np.arange(len(other) - len(reference))
    norms = np.sqrt(np.maximum(energies[starts + len(reference)] - energies[starts], 1.0))
    return float((products[starts] / norms).max() / np.linalg.norm(reference))


def chirp(rate: int, seconds: float) -> Pcm:
    time = np.arange(round(rate * seconds)) / rate
    return np.rint(8000 * np.sin(2 * np.pi * (300 * time + 600 * time**2))).astype(np.int16)


def test_the_calls_own_law_passes_byte_for_byte() -> None:
    wire, uplink = Wire("PCMU/8000"), make_uplink(PCMU)
    for frame in wire.say(chirp(8000, 1.0)):
        heard = uplink.receive([frame])
        assert heard == [frame]
        assert heard[0] is frame


def test_the_other_law_is_translated() -> None:
    wire, uplink = Wire("PCMA/8000"), make_uplink(PCMU)
    frames = wire.say(chirp(8000, 0.5))
    heard = [one for frame in frames for one in uplink.receive([frame])]
    assert {frame.samples for frame in heard} == {160}
    assert likeness(linear(heard, PCMU), linear(frames, PCMA), lag=40) > 0.999


@pytest.mark.parametrize("encoding", PAYLOAD_TYPES)
@pytest.mark.parametrize("audio_format", [PCMU, PCM], ids=["PCMU", "PCM"])
def test_every_codec_is_heard_in_every_format(encoding: str, audio_format: AudioFormat) -> None:
    wire, uplink = Wire(encoding), make_uplink(audio_format)
    frames = wire.say(chirp(wire.codec.rate, 1.0))
    heard = [one for frame in frames for one in uplink.receive([frame])]
    assert sum(frame.samples for frame in heard) == audio_format.rate
    assert {len(frame.payload) for frame in heard} == {FRAME_MS * audio_format.bytes_per_ms}
    assert likeness(chirp(audio_format.rate, 1.0), linear(heard, audio_format)) > 0.98


@pytest.mark.parametrize("encoding", PAYLOAD_TYPES)
@pytest.mark.parametrize("audio_format", [PCMU, PCM], ids=["PCMU", "PCM"])
def test_what_was_lost_sounds_on(encoding: str, audio_format: AudioFormat) -> None:
    wire, uplink = Wire(encoding), make_uplink(audio_format)
    frames = wire.say(tone(wire.codec.rate))
    heard = [one for frame in frames[:20] for one in uplink.receive([frame])]
    heard += uplink.receive([wire.lose(frames[20]), wire.lose(frames[21]), frames[22]])
    heard += [one for frame in frames[23:] for one in uplink.receive([frame])]
    assert sum(frame.samples for frame in heard) == audio_format.rate
    assert [frame.samples * 1000 // audio_format.rate for frame in heard if frame.lost] == [40]
    gap = linear([frame for frame in heard if frame.lost], audio_format).astype(float)
    steady = linear(heard[10:12], audio_format).astype(float)
    assert np.sqrt(np.mean(gap**2)) > 0.5 * np.sqrt(np.mean(steady**2))


def tone(rate: int) -> Pcm:
    return np.rint(8000 * np.sin(2 * np.pi * 200 * np.arange(rate) / rate)).astype(np.int16)


def test_silence_that_was_not_sent_stays_empty_and_says_how_long_it_was() -> None:
    for encoding in PAYLOAD_TYPES:
        wire, uplink = Wire(encoding), make_uplink(PCM)
        uplink.receive(wire.say(tone(wire.codec.rate))[:5])
        (rest,) = uplink.receive([wire.rest(400)])
        assert (rest.payload, rest.lost, rest.samples) == (b"", False, 9600)
        if encoding == "opus/48000":  # whose own memory of a tone outlasts it
            continue
        quiet = np.zeros(wire.codec.rate // 50, np.int16)
        (first, _) = uplink.receive([wire.rest(20)._replace(lost=True), *wire.say(quiet)])
        assert np.abs(linear([first], PCM).astype(int)).mean() < 100, "the loss was in silence"


def test_what_nobody_agreed_on_is_not_heard() -> None:
    uplink = make_uplink(PCMU)
    assert uplink.receive([Frame(b"\x01" * 160, 50, 0, False, 160)]) == []
    assert uplink.receive([]) == []


def test_a_loss_before_anything_was_heard() -> None:
    wire, uplink = Wire("PCMU/8000"), make_uplink(PCMU)
    frame = wire.say(tone(8000))[0]
    lost, heard = uplink.receive([wire.lose(frame), frame])
    assert len(lost.payload) == 160
    assert heard.payload == frame.payload


@pytest.mark.parametrize("encoding", PAYLOAD_TYPES)
@pytest.mark.parametrize("audio_format", [PCMU, PCM], ids=["PCMU", "PCM"])
@pytest.mark.parametrize("ms", [10, 20, 40])
def test_the_way_down_leads_back(encoding: str, audio_format: AudioFormat, ms: int) -> None:
    downlink, codec = Downlink(audio_format), make_codec(encoding)
    downlink.configure(encoding)
    said = chirp(audio_format.rate, 0.8)
    size = audio_format.rate * ms // 1000
    audio = [said[n : n + size] for n in range(0, len(said), size)]
    coded = [downlink.encode(from_pcm(piece, audio_format)) for piece in audio]
    heard = np.concatenate([codec.decode(payload) for payload in coded])
    assert len(heard) == codec.rate * 800 // 1000
    if (encoding, ms) != ("opus/48000", 40):  # in longer packets Opus keeps the sound of a voice, but not the wave
        assert likeness(chirp(codec.rate, 0.8), heard) > 0.98


def from_pcm(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    return make_codec("PCMU").encode(pcm) if audio_format is PCMU else pcm.astype("<i2").tobytes()


def test_the_calls_own_law_goes_out_untouched() -> None:
    downlink = Downlink(PCMA)
    downlink.configure("PCMA/8000")
    audio = bytes(range(160))
    assert downlink.encode(audio) is audio
