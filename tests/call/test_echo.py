"""The agent on a speakerphone: a whole call that hears itself."""

from base64 import b64encode
from collections import deque

import numpy as np
import pytest
from call.stage import CALLER, QUIET, Stage

from sipagent.audio.g711 import decode_ulaw, encode_ulaw, to_pcm
from sipagent.call import events

FRAME = 160
DELAY = 8
"""Frames of the round trip: 160 ms."""
RETURNED = 0.32
"""10 dB of return loss."""


def babble(frames: int, seed: int, level: float = 6000.0) -> bytes:
    """A buzz in syllables, each with its own pitch and loudness, and breath: as uneven as a voice, and none like it."""
    random = np.random.default_rng(seed)
    count = frames // 5 + 1
    loudness = np.repeat(random.uniform(0.1, 1.0, count), 5 * FRAME)[: frames * FRAME]
    pitch = np.repeat(random.uniform(90.0, 220.0, count), 5 * FRAME)[: frames * FRAME]
    phase = np.cumsum(pitch) / 8000
    buzz = sum(np.sin(2 * np.pi * (harmonic * phase + random.random())) for harmonic in range(1, 12)) / 2
    return encode_ulaw(to_pcm((buzz + 0.3 * random.normal(size=phase.size)) * loudness * level))


class Speakerphone:
    """What a caller's telephone sends: what it played 160 ms ago, softer, and what he says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._air = deque([QUIET["PCMU"]] * DELAY)

    def beat(self, said: bytes = QUIET["PCMU"]) -> None:
        packet = self.stage.tick()
        assert packet is not None
        self._air.append(packet.payload)
        heard = RETURNED * decode_ulaw(self._air.popleft()) + decode_ulaw(said)
        data = self.stage.caller.say(encode_ulaw(to_pcm(heard)))
        self.stage.feed(self.stage.call.receive_rtp, data, CALLER)


def greeted(*, echo_guard: bool) -> Speakerphone:
    stage = Stage(greeting="Say hello.", echo_guard=echo_guard)
    stage.answer()
    stage.respond("A long story")
    place = {"response_id": "resp", "item_id": "item", "content_index": 0}
    stage.say("response.output_audio.delta", delta=b64encode(babble(300, 1)).decode(), **place)
    stage.finish()
    return Speakerphone(stage)


def test_the_agent_on_a_speakerphone_does_not_interrupt_itself() -> None:
    phone = greeted(echo_guard=True)
    for _ in range(330):
        phone.beat()
    assert not phone.stage.of(events.AgentPaused)
    assert not phone.stage.of(events.SpeechStarted), "and its last words are no turn of the caller's"
    assert not phone.stage.of(events.BargedIn)


def test_without_the_guard_it_does() -> None:
    phone = greeted(echo_guard=False)
    for _ in range(100):
        phone.beat()
    assert phone.stage.of(events.AgentPaused)


@pytest.mark.parametrize(("before", "delay_s"), [(25, 0.3), (100, 0.12)], ids=["at_first", "later"])
def test_a_caller_over_the_echo_interrupts(before: int, delay_s: float) -> None:
    phone = greeted(echo_guard=True)
    for _ in range(before):
        phone.beat()
    assert not phone.stage.of(events.AgentPaused)
    said = babble(60, 2)
    began_at = phone.stage.now
    for at in range(0, len(said), FRAME):
        phone.beat(said[at : at + FRAME])
    (paused,) = phone.stage.of(events.AgentPaused)
    assert paused.onset_at < began_at + delay_s
    (barged_in,) = phone.stage.of(events.BargedIn)
    assert barged_in.discarded_ms
