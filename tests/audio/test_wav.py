"""WAV: what is written reads back, what others write is read, and nothing else."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import decode_alaw, decode_ulaw
from sipagent.audio.wav import MAX_DATA_BYTES, Encoding, WavError, read_wav, wav_header, write_wav

SAMPLES = np.array([[0, 1], [-32_768, 32_767], [1_000, -1_000]], np.int16)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def fmt(tag: int, bits: int, channels: int = 1, rate: int = 8_000, more: bytes = b"") -> tuple[bytes, bytes]:
    frame = channels * bits // 8
    return b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + more


def test_what_is_written_reads_back() -> None:
    rate, samples = read_wav(write_wav(16_000, SAMPLES))
    assert rate == 16_000
    assert np.array_equal(samples, SAMPLES)


def test_one_channel_is_a_row() -> None:
    rate, samples = read_wav(write_wav(8_000, SAMPLES[:, 0]))
    assert (rate, samples.shape) == (8_000, (3, 1))


def test_others_read_what_is_written() -> None:
    with wave.open(io.BytesIO(write_wav(8_000, SAMPLES))) as reader:
        assert reader.getparams()[:4] == (2, 2, 8_000, 3)
        assert reader.readframes(3) == SAMPLES.astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("tag", "bits", "data", "expected"),
    [
        (1, 8, bytes([0, 128, 255]), [-32_768, 0, 32_512]),
        (1, 16, struct.pack("<3h", -32_768, 0, 32_767), [-32_768, 0, 32_767]),
        (1, 24, b"\xff\xff\x7f\x00\x00\x80\x00\x01\x00", [32_767, -32_768, 1]),
        (1, 32, struct.pack("<3i", 2**31 - 1, -(2**31), 65_536), [32_767, -32_768, 1]),
        (3, 32, struct.pack("<4f", 1.5, -1.0, 0.5, float("nan")), [32_767, -32_768, 16_384, 0]),
        (6, 8, b"\x2a\xd5", decode_alaw(b"\x2a\xd5").tolist()),
        (7, 8, b"\x00\xff", decode_ulaw(b"\x00\xff").tolist()),
    ],
)
def test_formats(tag: int, bits: int, data: bytes, expected: list[int]) -> None:
    subformat = struct.pack("<HHIH", 22, bits, 4, tag) + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    for header in (fmt(tag, bits), fmt(0xFFFE, bits, more=subformat)):
        rate, samples = read_wav(riff(header, (b"data", data)))
        assert (rate, samples.dtype.name, samples.ravel().tolist()) == (8_000, "int16", expected)


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 100])
def test_a_pipe_does_not_know_its_length(length: int) -> None:
    data = write_wav(8_000, SAMPLES)
    data = data[:40] + struct.pack("<I", length) + data[44:]
    assert np.array_equal(read_wav(data)[1], SAMPLES)


def test_other_chunks_and_half_frames_are_left_out() -> None:
    data = riff((b"LIST", b"odd"), fmt(1, 16, 2), (b"fact", b"\0" * 4), (b"data", b"\1\0\2\0\3\0\4"), (b"id3 ", b"x"))
    assert read_wav(data)[1].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("encoding", "tag", "bits", "frame"), [("pcm16", 1, 16, 4), ("PCMU", 7, 8, 2), ("PCMA", 6, 8, 2)]
)
def test_a_header(encoding: Encoding, tag: int, bits: int, frame: int) -> None:
    header = wav_header(96, rate=8_000, channels=2, encoding=encoding)
    assert len(header) == len(wav_header(0))
    assert header[20:36] == struct.pack("<HHIIHH", tag, 2, 8_000, 8_000 * frame, frame, bits)
    assert struct.unpack("<I", header[4:8])[0] == len(header) - 8 + 96
    assert header[36:] == b"data" + struct.pack("<I", 96)


@pytest.mark.parametrize("data_bytes", [-1, MAX_DATA_BYTES + 1])
def test_too_long_for_a_header(data_bytes: int) -> None:
    wav_header(MAX_DATA_BYTES)
    with pytest.raises(WavError):
        wav_header(data_bytes)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF\0\0\0\0AVI ",
        riff(),
        riff(fmt(1, 16)),
        riff((b"data", b"\0\0")),
        riff((b"data", b"\0\0"), fmt(1, 16)),
        riff((b"fmt ", b"\1\0"), (b"data", b"\0\0")),
        riff(fmt(1, 16, 0), (b"data", b"\0\0")),
        riff(fmt(1, 16, 9), (b"data", b"\0\0")),
        riff(fmt(1, 16, rate=0), (b"data", b"\0\0")),
        riff(fmt(1, 12), (b"data", b"\0\0")),
        riff(fmt(1, 0), (b"data", b"\0\0")),
        riff(fmt(2, 4), (b"data", b"\0\0")),
        riff(fmt(0xFFFE, 16), (b"data", b"\0\0")),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(WavError):
        read_wav(data)


@given(st.binary(max_size=60), st.sampled_from([b"", b"fmt ", b"data", write_wav(8_000, SAMPLES)[12:]]), st.binary())
def test_any_bytes_are_read_or_refused(before: bytes, middle: bytes, after: bytes) -> None:
    try:
        rate, samples = read_wav(b"RIFF\0\0\0\0WAVE" + before + middle + after)
    except WavError:
        return
    assert rate > 0
    assert samples.ndim == 2
