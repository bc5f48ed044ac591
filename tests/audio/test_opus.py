"""Opus packets by their first bytes, and the codec at its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.opus import HAS_OPUS, OpusCodec, samples
from sipagent.audio.tones import sine
from sipagent.errors import LocalProtocolError

needs_libopus = pytest.mark.skipif(not HAS_OPUS, reason="needs the extra opus")


@pytest.mark.parametrize(("configuration", "durations_ms"), [
    (0, (10, 20, 40, 60)), (4, (10, 20, 40, 60)), (8, (10, 20, 40, 60)), (12, (10, 20)), (14, (10, 20)),
    (16, (2.5, 5, 10, 20)), (20, (2.5, 5, 10, 20)), (24, (2.5, 5, 10, 20)), (28, (2.5, 5, 10, 20)),
])  # fmt: skip
def test_durations_of_rfc_6716(configuration: int, durations_ms: tuple[float, ...]) -> None:
    for offset, duration_ms in enumerate(durations_ms):
        first = (configuration + offset) << 3
        assert samples(bytes([first]) + b"frame") == duration_ms * 48
        assert samples(bytes([first | 1]) + b"frames") == samples(bytes([first | 2]) + b"frames") == duration_ms * 96
        assert samples(bytes([first | 4])) == duration_ms * 48  # the bit for stereo changes nothing


@pytest.mark.parametrize(("payload", "expected"), [
    (b"", 0),
    (b"\xfb", 0),  # it should tell how many frames, and ends
    (b"\xfb\x00", 0), (b"\xfb\xc0", 0),  # none, whatever its flags
    (b"\xfb\x06", 5_760), (b"\xfb\xc6", 5_760),  # 6 of 20 ms are as much as there may be
    (b"\xfb\x07", 0), (b"\xfb\x3f", 0),
    (b"\x1b\x02", 5_760), (b"\x1b\x03", 0), (b"\x1a", 5_760),  # of 60 ms, 2
    (b"\x83\x30", 5_760), (b"\x83\x31", 0),  # of 2.5 ms, 48
])  # fmt: skip
def test_counts_and_bounds(payload: bytes, expected: int) -> None:
    assert samples(payload) == expected


@needs_libopus
@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=6))
def test_what_is_decoded_is_as_long_as_it_looked(payloads: list[bytes]) -> None:
    codec = OpusCodec()
    for payload in payloads:
        assert len(codec.decode(payload)) in (0, samples(payload) // 2)


@needs_libopus
def test_rubbish_does_no_harm_to_what_follows() -> None:
    codec = OpusCodec()
    packets = [codec.encode(np.repeat(sine(400, 20, level_dbfs=-10), 3)) for _ in range(10)]
    for packet in packets:
        for rubbish in (b"", b"\xfb", b"\xff\xff", b"\x03\xff" + bytes(30)):
            assert len(codec.decode(rubbish)) == 0
        pcm = codec.decode(packet)
        assert len(pcm) == 480
    assert np.std(pcm) > 5_000


@needs_libopus
@pytest.mark.parametrize("duration_ms", [10, 20, 40, 60])
def test_frames_of_the_peers_length(duration_ms: int) -> None:
    codec = OpusCodec()
    pcm = np.zeros(24 * duration_ms, np.int16)
    for _ in range(3):
        payload = codec.encode(pcm)
        assert samples(payload) == 48 * duration_ms
        assert len(codec.decode(payload)) == 24 * duration_ms


@needs_libopus
def test_the_length_may_change_in_mid_stream() -> None:
    codec = OpusCodec()
    assert [samples(codec.encode(np.zeros(length, np.int16))) for length in (480, 240, 960, 480)] == [
        960,
        480,
        1_920,
        960,
    ]


@needs_libopus
@pytest.mark.parametrize("length", [0, 1, 479, 481, 720, 1_200])
def test_lengths_that_opus_has_not(length: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"not {length} of int16"):
        OpusCodec().encode(np.zeros(length, np.int16))


@needs_libopus
def test_silence_is_sent_too() -> None:
    codec = OpusCodec()
    payloads = [codec.encode(np.zeros(480, np.int16)) for _ in range(100)]
    assert all(len(payload) > 2 for payload in payloads)  # with DTX most would be two bytes


@needs_libopus
def test_a_packet_carries_a_copy_of_the_one_before() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 24_000)
    speech = (noise * 4_000 * np.abs(np.sin(np.arange(24_000) / 2_400))).astype(np.int16)
    codec = OpusCodec()
    payloads = [codec.encode(speech[at : at + 480]) for at in range(0, 24_000, 480)]
    speaking = [payload for payload in payloads if payload[0] >> 3 < 16]  # SILK or hybrid: CELT has no copies
    assert len(speaking) > 25
    assert sum(bool(payload[1] & 0x40) for payload in speaking) > len(speaking) / 2
