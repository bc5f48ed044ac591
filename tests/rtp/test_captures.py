"""Calls that others captured, replayed into the session by their clock; what comes out is counted and listened to."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from rtp.wire import Datagram, read_pcap

from sipagent.audio import g711, opus
from sipagent.audio.opus import OpusCodec
from sipagent.audio.resample import Resampler
from sipagent.rtp.session import G711, DigitReceived, Frame, PayloadFormat, RtpParameters, RtpSession

DIGITS = {**{digit: digit for digit in "0123456789"}, "star": "*", "pound": "#"}
TYPES: Mapping[int, PayloadFormat] = {0: G711, 8: G711}
MILLIWATT_HZ = 1_004
MILLIWATT_STEP = 0.025
"""Radians: the captured tone begins anew every 2,000 samples, and not quite where it ended. A lost sample makes 0.8."""


@pytest.fixture(scope="session")
def captures(corpora: Path) -> Path:
    return corpora / "pcap"


class Listener:
    """A session at the receiving end of a capture, and what it made of it."""

    def __init__(self, path: Path, types: Mapping[int, PayloadFormat] = TYPES) -> None:
        self.datagrams = list(read_pcap(path))
        first = self.datagrams[0]
        self.port = first.destination[1]
        self.session = RtpSession(
            random=Random(1),
            cname="agent@host",
            parameters=RtpParameters(
                payload_type=min(types), receive_payload_types=types, telephone_event={101: 8_000}, remote=first.source
            ),
        )
        self.frames: list[Frame] = []
        self.digits: list[str] = []
        for datagram in self.datagrams:
            self._wait(datagram.at)
            self._hear(datagram)
        self._wait(self.datagrams[-1].at + 1)

    @property
    def pcm(self) -> NDArray[np.int16]:
        """What the frames with a law of G.711 sound like."""
        laws = {0: "PCMU", 8: "PCMA"}
        return np.concatenate([g711.decode(frame.payload, laws[frame.payload_type]) for frame in self.frames])

    def _hear(self, datagram: Datagram) -> None:
        if datagram.destination[1] == self.port:
            self.frames += self.session.receive_packet(datagram.data, datagram.source, now=datagram.at)
        else:
            self.session.receive_rtcp(datagram.data, datagram.source, now=datagram.at)

    def _wait(self, now: float) -> None:
        """Let the timers fire that are due."""
        while (due_at := self.session.get_timer()) is not None and due_at <= now:
            self.session.handle_timer(now=due_at)
            self.frames += self.session.take_released()
        while (output := self.session.poll()) is not None:
            if isinstance(output, DigitReceived):
                self.digits.append(output.digit)


def is_one_stretch(frames: list[Frame]) -> bool:
    """Whether each frame begins where the one before it ends."""
    return all(
        after.timestamp == (before.timestamp + before.samples) & 0xFFFFFFFF for before, after in pairwise(frames)
    )


@pytest.mark.parametrize("name", DIGITS)
def test_each_digit_once(captures: Path, name: str) -> None:
    heard = Listener(captures / f"dtmf_2833_{name}.pcap")
    assert heard.digits == [DIGITS[name]]
    assert heard.frames == []
    assert heard.session.stats.duplicate == 2  # of the three ends; each repeats the number of the packet before


def test_a_number_dialled_in_mid_call(captures: Path) -> None:
    heard = Listener(captures / "ulaw-2013785496.pcap")
    assert "".join(heard.digits) == "2013785496"
    spoken = [frame for frame in heard.frames if frame.payload]
    assert len(spoken) == 854
    assert is_one_stretch(heard.frames)
    assert not any(frame.lost for frame in heard.frames)


def test_a_law_in_packets_of_40_ms(captures: Path) -> None:
    heard = Listener(captures / "40msalaw.pcap")
    assert [(frame.payload_type, frame.samples, frame.lost) for frame in heard.frames] == [(8, 320, False)] * 826
    assert is_one_stretch(heard.frames)
    assert len(heard.pcm) == 826 * 320
    assert heard.session.stats.jitter_ms < 5


def test_a_law_in_packets_of_30_ms(captures: Path) -> None:
    heard = Listener(captures / "g711a.pcap")
    assert [(frame.payload_type, frame.samples, frame.lost) for frame in heard.frames] == [(8, 240, False)] * 236
    assert is_one_stretch(heard.frames)
    assert len(heard.pcm) == 236 * 240


def phases(pcm: NDArray[np.int16], rate: int) -> NDArray[np.float64]:
    """Return how far the phase of a milliwatt tone wanders from one 20 ms to the next, in radians."""
    frame = rate // 50
    rows = pcm[: len(pcm) // frame * frame].reshape(-1, frame) * np.hanning(frame)
    turning = np.exp(-2j * np.pi * MILLIWATT_HZ * np.arange(rows.size) / rate).reshape(rows.shape)
    return np.diff(np.unwrap(np.angle((rows * turning).sum(axis=1))))


def test_a_milliwatt_has_no_phase_step(captures: Path) -> None:
    """Neither as it came nor at the model's rate; where the sender left a timestamp out there is silence."""
    heard = Listener(captures / "milliwatt.pcmu.rtp.pcap")
    silences = [frame.samples for frame in heard.frames if not frame.payload]
    assert silences == [160]
    assert is_one_stretch(heard.frames)
    tone = [g711.decode_ulaw(frame.payload) for frame in heard.frames if frame.payload]
    assert len(tone) == 232
    assert np.abs(phases(np.concatenate(tone), 8_000)).max() < MILLIWATT_STEP
    resampler = Resampler(8_000, 24_000)
    resampled = np.concatenate([resampler.convert(frame) for frame in tone])
    assert len(resampled) == 232 * 480
    assert np.abs(phases(resampled, 24_000)[1:]).max() < MILLIWATT_STEP
    assert np.std(resampled[480:]) == pytest.approx(np.std(np.concatenate(tone)), rel=0.001)


def test_another_source_takes_the_stream_over(captures: Path) -> None:
    """Both captures are of one peer: first a packet of one SSRC, then two of another, at 16 kHz."""
    wideband = {116: PayloadFormat(16_000, lambda payload: 320)}
    heard = Listener(captures / "ssrc1.pcap", wideband)
    assert len(heard.frames) == 1
    for at, source, _, data in read_pcap(captures / "ssrc2.pcap"):
        heard.frames += heard.session.receive_packet(data, source, now=at)
    assert [frame.timestamp for frame in heard.frames] == [0x200AA962, 0xBCBCBDFC, 0xBCBCBF3C]
    assert not any(frame.lost for frame in heard.frames)


def test_reports_that_once_crashed_another(captures: Path) -> None:
    heard = Listener(captures / "crash-27382.pcap")
    assert [(frame.samples, frame.lost) for frame in heard.frames if frame.payload] == [(160, False)] * 274
    assert heard.session.stats.from_strangers == 0


def test_a_fax_that_once_crashed_another(captures: Path) -> None:
    """It is UDPTL (T.38), which is not RTP at all."""
    heard = Listener(captures / "crash.pcap")
    assert heard.frames == []
    assert heard.session.stats.malformed == len(heard.datagrams) == 128


@pytest.mark.skipif(not opus.HAS_OPUS, reason="needs the extra opus")
def test_opus_with_packets_missing(captures: Path) -> None:
    """A minute of 20 ms packets of which 29 never came, all of them alone."""
    heard = Listener(
        captures / "16_bit_48khz_60_fec_dropped.pcapng", {107: PayloadFormat(opus.CLOCK_RATE, opus.samples)}
    )
    assert len(heard.datagrams) == 2_971
    assert sum(frame.lost for frame in heard.frames) == heard.session.stats.lost == 29
    assert {frame.samples for frame in heard.frames} == {960}
    assert is_one_stretch(heard.frames)
    codec = OpusCodec()
    decoded = [codec.decode(frame.payload) for frame in heard.frames if frame.payload]
    assert {len(pcm) for pcm in decoded} == {480}
    assert np.std(np.concatenate(decoded)) > 100
