"""G.711 against the reference's sweep of every 16-bit input, and against itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sipagent.audio.g711 import (
    SILENCE,
    alaw_to_ulaw,
    decode,
    decode_alaw,
    decode_ulaw,
    encode,
    encode_alaw,
    encode_ulaw,
    to_pcm,
    ulaw_to_alaw,
)
from sipagent.errors import LocalProtocolError

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32_768, 32_768).astype(np.int16)


def words(path: Path) -> NDArray[np.int16]:
    """Read a file of the reference: 16-bit words, little-endian; codes stand in the low byte."""
    return np.fromfile(path, "<i2").astype(np.int16)


@pytest.mark.parametrize(("codec", "codes", "decoded", "decoded_alone"), [
    ("PCMU", "sweep-r.u", "sweep-r.reu", "sweep-r.u-u"),
    ("PCMA", "sweep-r.a", "sweep-r.rea", "sweep-r.a-a"),
])  # fmt: skip
def test_bit_exact_with_the_reference(corpora: Path, codec: str, codes: str, decoded: str, decoded_alone: str) -> None:
    source = words(corpora / "g711" / "sweep.src")
    assert len(np.unique(source)) == 65_536
    expected = words(corpora / "g711" / codes).astype(np.uint8).tobytes()
    assert set(expected) == set(EVERY_CODE)
    assert encode(source, codec) == expected
    assert np.array_equal(decode(expected, codec), words(corpora / "g711" / decoded))
    assert np.array_equal(decode(expected, codec), words(corpora / "g711" / decoded_alone))


@pytest.mark.parametrize(
    ("sample", "ulaw", "alaw"),
    [
        (0, 0xFF, 0xD5),
        (-1, 0x7F, 0x55),
        (32_767, 0x80, 0xAA),
        (-32_768, 0x00, 0x2A),
        (1_000, 0xCE, 0xFA),
        (-8, 0x7E, 0x55),
    ],
)
def test_known_codes(sample: int, ulaw: int, alaw: int) -> None:
    pcm = np.array([sample], np.int16)
    assert (encode_ulaw(pcm), encode_alaw(pcm)) == (bytes([ulaw]), bytes([alaw]))


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_decoding_loses_nothing(codec: str) -> None:
    again = encode(decode(EVERY_CODE, codec), codec)
    minus_zero = 0x7F  # of μ-law; it decodes to 0, and 0 encodes to plus zero
    assert [code for code in EVERY_CODE if again[code] != code] == ([minus_zero] if codec == "PCMU" else [])


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_the_error_is_half_a_step(codec: str) -> None:
    within = EVERY_SAMPLE[np.abs(EVERY_SAMPLE.astype(np.int64)) < 32_000].astype(np.int64)
    error = np.abs(decode(encode(within.astype(np.int16), codec), codec) - within)
    assert np.all(error <= np.abs(within) / 32 + 8)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_silence_is_nearly_nothing(codec: str) -> None:
    assert decode(bytes([SILENCE[codec]]), codec)[0] in (0, 8)
    assert encode(np.zeros(1, np.int16), codec) == bytes([SILENCE[codec]])


def test_changing_the_law_goes_by_way_of_the_sample() -> None:
    assert ulaw_to_alaw(EVERY_CODE) == encode_alaw(decode_ulaw(EVERY_CODE))
    assert alaw_to_ulaw(EVERY_CODE) == encode_ulaw(decode_alaw(EVERY_CODE))
    assert ulaw_to_alaw(b"\xff") == b"\xd5"


@given(st.binary())
def test_lengths_are_kept(data: bytes) -> None:
    for codec in SILENCE:
        pcm = decode(data, codec)
        assert (len(pcm), pcm.dtype.name) == (len(data), "int16")
        assert len(encode(pcm, codec)) == len(data)
    assert len(ulaw_to_alaw(data)) == len(alaw_to_ulaw(data)) == len(data)


def test_a_slice_with_steps_is_encoded() -> None:
    assert encode_ulaw(EVERY_SAMPLE[::256]) == encode_ulaw(EVERY_SAMPLE[::256].copy())


def test_rounding_and_clipping() -> None:
    assert to_pcm(np.array([0.4, -1.6, 40_000.0, -40_000.0])).tolist() == [0, -2, 32_767, -32_768]


def test_other_samples_and_codecs_are_refused() -> None:
    with pytest.raises(LocalProtocolError):
        encode_ulaw(np.zeros(160))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError):
        encode(EVERY_SAMPLE, "G722")
    with pytest.raises(LocalProtocolError):
        decode(EVERY_CODE, "G722")
