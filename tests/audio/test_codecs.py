"""Every codec through the one shape they share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio import g722, opus
from sipagent.audio.codecs import available_codecs, make_codec
from sipagent.audio.g711 import Pcm, decode, encode, to_pcm
from sipagent.errors import LocalProtocolError, SipagentError

ENCODINGS = ["PCMU/8000", "PCMA/8000", "G722/8000", "opus/48000", "L16/8000", "L16/16000"]
DELAYS_MS = {"PCMU/8000": 0, "PCMA/8000": 0, "G722/8000": 1.375, "opus/48000": 7.5, "L16/8000": 0, "L16/16000": 0}
every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@pytest.fixture(autouse=True)
def _extras() -> None:
    if not (g722.HAS_G722 and opus.HAS_OPUS):
        pytest.skip("needs the extras g722 and opus")


def speech_like(rate: int) -> Pcm:
    """Return a second of noise below 3 kHz whose loudness comes and goes four times."""
    spectrum = np.fft.rfft(np.random.default_rng(7).normal(0, 1, rate))
    spectrum[3_000:] = 0
    spectrum[:100] = 0
    noise = np.fft.irfft(spectrum, rate) * np.sin(2 * np.pi * 2 * np.arange(rate) / rate)
    return to_pcm(noise / np.abs(noise).max() * 16_000)


@every_encoding
def test_sound_comes_through(encoding: str) -> None:
    codec = make_codec(encoding)
    source = speech_like(codec.rate)
    frame = codec.rate // 50
    heard = np.concatenate([codec.decode(codec.encode(source[at : at + frame])) for at in range(0, codec.rate, frame)])
    assert (len(heard), heard.dtype.name) == (codec.rate, "int16")
    late = round(DELAYS_MS[encoding] * codec.rate / 1_000)
    now, then = heard[late:].astype(np.float64), source[: len(source) - late].astype(np.float64)
    lags = [np.dot(np.roll(now, lag), then) for lag in range(-40, 41)]
    assert int(np.argmax(lags)) == 40  # it is as late as we say, to the sample
    coarse = codec.name == "opus"
    assert np.corrcoef(now, then)[0, 1] >= (0.85 if coarse else 0.99)
    assert np.std(now) == pytest.approx(np.std(then), rel=0.2 if coarse else 0.02)


@every_encoding
def test_the_name_makes_the_codec_again(encoding: str) -> None:
    codec = make_codec(encoding)
    assert f"{codec.name}/{codec.clock_rate}" == encoding
    again = make_codec(encoding.lower())
    assert (again.name, again.rate, again.clock_rate) == (codec.name, codec.rate, codec.clock_rate)


@pytest.mark.parametrize(("encoding", "name"), [
    ("PCMU", "PCMU"), ("pcma", "PCMA"), ("G722", "G722"), ("OPUS", "opus"), ("opus/48000/2", "opus"),
    ("PCMU/8000/1", "PCMU"), ("L16/16000/1", "L16"),
])  # fmt: skip
def test_names_of_session_descriptions(encoding: str, name: str) -> None:
    assert make_codec(encoding).name == name


@pytest.mark.parametrize("encoding", [
    "", "L16", "L16/44100", "L16/16000/2", "PCMU/16000", "G722/16000", "opus/24000", "GSM", "PCMU/",
    "telephone-event/8000",
])  # fmt: skip
def test_what_we_do_not_speak(encoding: str) -> None:
    with pytest.raises(LocalProtocolError, match="we speak PCMU"):
        make_codec(encoding)


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_g711_is_the_tables(encoding: str) -> None:
    codes = bytes(range(256))
    assert np.array_equal(make_codec(encoding).decode(codes), decode(codes, encoding))
    pcm = np.arange(-32_768, 32_768).astype(np.int16)
    assert make_codec(encoding).encode(pcm) == encode(pcm, encoding)


def test_l16_is_in_network_order() -> None:
    codec = make_codec("L16/16000")
    assert codec.encode(np.array([1, -2, 0x1234], np.int16)) == b"\x00\x01\xff\xfe\x12\x34"
    assert codec.decode(b"\x00\x01\xff\xfe\x12\x34\x56").tolist() == [1, -2, 0x1234]


@every_encoding
@given(payloads=st.lists(st.binary(max_size=1_500), max_size=5))
def test_decoders_take_anything(encoding: str, payloads: list[bytes]) -> None:
    codec = make_codec(encoding)
    for payload in payloads:
        pcm = codec.decode(payload)
        assert pcm.dtype == np.int16
        assert pcm.ndim == 1
        assert len(pcm) <= max(2 * len(payload), codec.rate * 120 // 1_000)


@every_encoding
def test_encoders_take_int16_only(encoding: str) -> None:
    codec = make_codec(encoding)
    with pytest.raises(LocalProtocolError, match="float64"):
        codec.encode(np.zeros(codec.rate // 50))  # type: ignore[arg-type]


@every_encoding
def test_encoders_take_every_other_sample_of_an_array(encoding: str) -> None:
    rate = make_codec(encoding).rate
    wide = np.repeat(speech_like(rate)[: rate // 50], 2)
    assert make_codec(encoding).encode(wide[::2]) == make_codec(encoding).encode(wide[::2].copy())


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(available_codecs()) == {"PCMU", "PCMA", "G722", "opus", "L16"}
    monkeypatch.setattr(g722, "HAS_G722", False)
    monkeypatch.setattr(opus, "HAS_OPUS", False)
    assert available_codecs() == ("PCMU", "PCMA", "L16")
    with pytest.raises(SipagentError, match=r"sipagent\[g722\]"):
        make_codec("G722")
    with pytest.raises(SipagentError, match=r"sipagent\[opus\]"):
        make_codec("opus/48000/2")
