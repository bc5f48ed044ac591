"""A caller: 50 packets a second by a beat of its own, with a background, an echo and what it says mixed in.

What comes is stamped by the kernel and kept; it is looked at when the next packet is sent. Whether the agent speaks
is told from that roughly, so that a script can wait for it; nothing is judged while the call is up.
"""

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm, decode_ulaw, encode_ulaw, to_pcm
from sipagent.bench.wire import Wire
from sipagent.rtp.packet import HEADER_LENGTH

FRAME: Final = 160
"""Samples of 20 ms."""
FRAME_S: Final = 0.020
SILENCE: Final = b"\xff" * FRAME
PAUSE_S: Final = 0.3
"""An agent that is silent for longer has stopped."""
MAX_WAIT_S: Final = 15.0
"""An agent that has not begun to speak by then will not."""
MAX_BACKLOG: Final = 3 * FRAME
"""Of what waits to be echoed: more than that the loopback never holds up."""


@dataclass(slots=True)
class Said:
    """One utterance; times are those of the packets that hold its first and its last sample."""

    kind: str
    name: str
    onset_at: float = 0.0
    ended_at: float = 0.0
    """One packet later: the time at which the last sample has been said."""


class Echo:
    """What a speakerphone gives back: all that it plays, so many dB below, by a way and a few walls.

    :param return_loss_db: the energy that comes back, below what was played
    """

    def __init__(self, return_loss_db: float, *, delay_ms: float, random: Random) -> None:
        delays = [round(8 * delay_ms)] + [round(8 * (delay_ms + random.uniform(2, 45))) for _ in range(6)]
        strengths = [1.0] + [random.choice((-1, 1)) * 0.5 * 0.75**number for number in range(6)]
        gain = 10 ** (-return_loss_db / 20) / np.linalg.norm(strengths)
        self._ways = [(delay, gain * strength) for delay, strength in zip(delays, strengths, strict=True)]
        self._past: NDArray[np.float64] = np.zeros(max(delays) + FRAME)
        self._waiting: NDArray[np.float64] = np.zeros(0)

    def play(self, payload: bytes) -> None:
        """Take a packet of the agent's."""
        self._waiting = np.concatenate((self._waiting, decode_ulaw(payload)))[-MAX_BACKLOG:]

    def next_frame(self) -> NDArray[np.float64]:
        """Return the next 20 ms of what the microphone hears of it."""
        played = np.zeros(FRAME)
        taken = self._waiting[:FRAME]
        played[: len(taken)] = taken
        self._waiting = self._waiting[FRAME:]
        self._past = np.concatenate((self._past[FRAME:], played))
        end = len(self._past)
        return np.sum([gain * self._past[end - FRAME - delay : end - delay] for delay, gain in self._ways], axis=0)


@dataclass(slots=True)
class _Wait:
    is_over: Callable[[float], bool]
    future: "asyncio.Future[None]"


@dataclass(slots=True)
class _Utterance:
    said: Said
    pcm: Pcm
    future: "asyncio.Future[None]"
    at: int = 0


@dataclass(slots=True)
class Record:
    """All that one call left behind at the caller's."""

    kind: str
    called: str
    answered_at: float = 0.0
    """When the 200 came."""
    ended_at: float = 0.0
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    late: "array[float]" = field(default_factory=lambda: array("d"))
    """By how much our own packets missed their time."""
    lost: str = ""
    """Why it ended before we ended it."""


class Caller:
    """Use :meth:`on_beat` as a beat of a ticker's.

    :param background: what the microphone hears all the time, over and over
    """

    def __init__(self, record: Record, *, background: Pcm, echo: Echo | None = None, random: Random) -> None:
        self.wire = Wire(random=random)
        self.record = record
        self.random = random
        self._background = np.concatenate((background, background[:FRAME])).astype(np.float64)
        self._period = len(background)
        self._at = 0
        self._echo = echo
        self._utterance: _Utterance | None = None
        self._waits: list[_Wait] = []
        self._voice_since = self._voice_at = 0.0

    async def hear_agent(self, seconds: float) -> bool:
        """Wait until the agent has spoken for so long; say whether it has."""

        def is_over(now: float) -> bool:
            return now - self._voice_at < PAUSE_S and now - self._voice_since >= seconds

        return await self._wait(is_over, MAX_WAIT_S + seconds)

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        until = monotonic() + seconds
        await self._wait(lambda now: now >= until, seconds + MAX_WAIT_S)

    async def say(self, kind: str, name: str, pcm: Pcm) -> Said:
        """Say something, from the next packet on, and wait until it is said."""
        utterance = _Utterance(Said(kind, name), pcm, asyncio.get_running_loop().create_future())
        self._utterance = utterance
        async with asyncio.timeout(MAX_WAIT_S + len(pcm) / 8000):
            await utterance.future
        self.record.said.append(utterance.said)
        return utterance.said

    def on_beat(self, due_at: float) -> None:
        """Take what has arrived, and send the packet of this tick."""
        self.receive_all()
        frame = self._background[self._at : self._at + FRAME]
        self._at = (self._at + FRAME) % self._period
        if self._echo is not None:
            frame = frame + self._echo.next_frame()
        utterance = self._utterance
        if utterance is not None:
            piece = utterance.pcm[utterance.at : utterance.at + FRAME]
            frame = frame.copy()
            frame[: len(piece)] += piece
        packet = self.wire.next_packet(encode_ulaw(to_pcm(frame)))
        now = monotonic()
        self.wire.send(packet)
        self.record.late.append(now - due_at)
        if utterance is not None:
            self._utter(utterance, now)
        self._wake(now)

    def receive_all(self) -> None:
        """Take what has arrived."""
        for at, packet in self.wire.arrivals():
            self.record.arrivals.append((at, packet))
            payload = packet[HEADER_LENGTH:]
            if self._echo is not None and len(payload) == FRAME:
                self._echo.play(payload)
            if payload != SILENCE:
                if at - self._voice_at > PAUSE_S:
                    self._voice_since = at
                self._voice_at = at

    def _utter(self, utterance: _Utterance, now: float) -> None:
        if utterance.at == 0:
            utterance.said.onset_at = now
        utterance.at += FRAME
        if utterance.at >= len(utterance.pcm):
            utterance.said.ended_at = now + FRAME_S
            self._utterance = None
            if not utterance.future.done():
                utterance.future.set_result(None)

    async def _wait(self, is_over: Callable[[float], bool], limit_s: float) -> bool:
        wait = _Wait(is_over, asyncio.get_running_loop().create_future())
        self._waits.append(wait)
        try:
            async with asyncio.timeout(limit_s):
                await wait.future
        except TimeoutError:
            return False
        finally:
            if wait in self._waits:
                self._waits.remove(wait)
        return True

    def _wake(self, now: float) -> None:
        for wait in [wait for wait in self._waits if wait.is_over(now)]:
            self._waits.remove(wait)
            if not wait.future.done():
                wait.future.set_result(None)
