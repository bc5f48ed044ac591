"""A browser, which is aiortc's connection here, calls by SIP over a WebSocket; both sides hear what is said."""

import asyncio
import re
from fractions import Fraction
from pathlib import Path
from time import time
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from interop.sound import correlate
from loopback import HOST, Clean, until, within
from serving import serving

from sipagent.audio.wav import read_wav
from sipagent.call import events
from sipagent.rtp import dtls
from sipagent.rtp.dtls import make_certificate
from sipagent.sip.events import Accepted

FINGERPRINT = re.compile(rb"sha-(256|384|512) [0-9A-F:]+")
RATE = 48_000
FRAME = RATE // 50
LIKE = 0.8
"""Opus changes a waveform, but not much of it; another sound is below 0.6."""
FOUND = 0.75
"""On a busy machine a browser's clock stumbles, and a quarter second is not like itself."""


def chirps(seconds: float, seed: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A sound that is like itself in one place only: tones of 300 to 2500 Hz, each as long as a syllable."""
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(int(seconds / 0.125)):
        tone = np.sin(2 * np.pi * random.uniform(300, 2500) * np.arange(RATE // 8) / RATE) * np.hanning(RATE // 8)
        pieces.append(tone * 12_000)
    return np.concatenate(pieces).astype(np.int16)


def share_found(wanted: np.ndarray[Any, Any], within: np.ndarray[Any, Any]) -> float:
    """How many of the quarter seconds of ``wanted``, but for silent ones, are heard again."""
    pieces = [wanted[at : at + 2_000] for at in range(0, len(wanted) - 1_999, 2_000)]
    fits = [correlate(piece, within)[1] for piece in pieces if np.abs(piece).max() > 500]
    return sum(fit > LIKE for fit in fits) / len(fits)


class Microphone(MediaStreamTrack):
    """Says something once, and is silent then; 20 ms at a time, in real time."""

    kind = "audio"

    def __init__(self, said: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        super().__init__()
        self._said = said
        self._at = 0
        self._begun_at = 0.0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._begun_at = self._begun_at or loop.time()
        await asyncio.sleep(self._begun_at + self._at / RATE - loop.time())
        piece = self._said[self._at : self._at + FRAME]
        frame = av.AudioFrame.from_ndarray(np.pad(piece, (0, FRAME - len(piece)))[np.newaxis], layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += FRAME
        return frame


class Browser:
    """A page with a telephone in it."""

    def __init__(self, codec: str, said: np.ndarray[Any, np.dtype[np.int16]]) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone(said)
        transceiver = self.connection.addTransceiver(self.microphone)
        known = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([each for each in known if each.mimeType == f"audio/{codec}"])
        self.heard: list[np.ndarray[Any, Any]] = []
        self.connection.on("track", self._listen)

    def _listen(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.ensure_future(self._hear(track))  # noqa: TID251

    async def _hear(self, track: MediaStreamTrack) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8_000)
        try:
            while True:
                for frame in resampler.resample(await track.recv()):
                    self.heard.append(frame.to_ndarray()[0])
        except MediaStreamError:
            pass

    async def offer(self) -> bytes:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp.encode()

    async def take(self, answer: bytes) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.decode(), "answer"))

    async def close(self) -> None:
        await self.connection.close()
        await self._listening


@pytest.mark.parametrize("codec", ["PCMU", "opus"])
def test_a_browser_hears_and_is_heard(run: Clean, tmp_path: Path, codec: str) -> None:
    said, heard = chirps(2.0, seed=1), []

    async def main() -> None:
        certificate = make_certificate(wall=time())
        chosen = {"codecs": ("PCMU", "opus"), "records": True, "certificate": certificate}
        async with serving(tmp_path, **chosen) as world:
            port = (await world.endpoint.listen("WS", (HOST, 0)))[1]
            browser = Browser(codec, said)
            caller = await world.caller()
            try:
                caller.invite(port, transport="WS", body=await browser.offer())
                accepted = await caller.expect(Accepted)
                await within(browser.take(accepted.body), 10.0)
                await until(lambda: world.ledger.all(events.AgentStarted), within_s=10.0)
                await until(lambda: sum(map(len, browser.heard)) > 8_000 * 2.5, within_s=15.0)
            finally:
                await browser.close()
            caller.hang_up()
            (ended,) = await world.over()
            assert ended.media.unauthenticated == 0
        heard.extend(browser.heard)

    run(main())
    (recording,) = tmp_path.glob("*.wav")
    rate, sides = read_wav(recording.read_bytes())
    agent, caller = sides[:: rate // 8_000, 1], sides[:: rate // 8_000, 0]
    begins = np.flatnonzero(np.abs(agent) > 500)[0]
    assert share_found(agent[begins : begins + 16_000], np.concatenate(heard)) >= FOUND
    assert share_found(said[::6], caller) >= FOUND


def test_a_browser_with_another_certificate_than_it_says_is_hung_up_on(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, certificate=make_certificate(wall=time())) as world:
            port = (await world.endpoint.listen("WS", (HOST, 0)))[1]
            browser = Browser("PCMU", chirps(1.0, seed=1))
            caller = await world.caller()
            try:
                offer = await browser.offer()
                caller.invite(port, transport="WS", body=FINGERPRINT.sub(b"sha-256 " + b":".join([b"00"] * 32), offer))
                accepted = await caller.expect(Accepted)
                await browser.take(accepted.body)
                (ended,) = await world.over()
                assert ended.reason == "webrtc_failed"
                (complaint,) = world.ledger.all(events.LegComplained)
                assert "certificate" in complaint.message
                await until(lambda: browser.connection.connectionState == "connected", within_s=10.0)
            finally:
                await browser.close()

    run(main())


def test_a_page_that_is_closed_ends_its_call(run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a BYE: its good-bye in DTLS is all that comes."""
    monkeypatch.setattr(dtls, "BACK_S", 0.1)

    async def main() -> None:
        async with serving(tmp_path, certificate=make_certificate(wall=time())) as world:
            port = (await world.endpoint.listen("WS", (HOST, 0)))[1]
            browser = Browser("PCMU", chirps(1.0, seed=1))
            caller = await world.caller()
            caller.invite(port, transport="WS", body=await browser.offer())
            try:
                await browser.take((await caller.expect(Accepted)).body)
                await until(lambda: browser.heard, within_s=10.0)  # only who has keys can say good-bye by them
            finally:
                await browser.close()
            (ended,) = await world.over()
            assert ended.reason == "webrtc_failed"
            (complaint,) = world.ledger.all(events.LegComplained)
            assert complaint.message == "the peer has left"

    run(main())
