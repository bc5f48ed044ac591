"""A whole call in a wideband codec, and in packets of the length the peer wants."""

from base64 import b64decode, b64encode

import numpy as np
import pytest
from call.stage import CALLER, SSRC, Stage, describe
from call.test_uplink import PAYLOAD_TYPES, Wire, likeness

from sipagent.audio.g711 import Pcm
from sipagent.call import events
from sipagent.formats import PCM
from sipagent.rtp.packet import Packet, pack_packet, parse_packet

G722 = 9


def offer(encoding: str, *, ptime: int = 20, version: int = 1) -> bytes:
    number = PAYLOAD_TYPES[encoding]
    slashes = encoding + "/2" if encoding.startswith("opus") else encoding
    return describe((number,), version=version) + f"a=rtpmap:{number} {slashes}\r\na=ptime:{ptime}\r\n".encode()


def stage_with(encoding: str, *, ptime: int = 20, turn_detection: str = "server") -> Stage:
    stage = Stage(codecs=("PCMU", "PCMA", "G722", "opus", "L16"), turn_detection=turn_detection, records=True)
    stage.answer(offer(encoding, ptime=ptime))
    stage.feed(stage.call.receive_ack, b"")
    return stage


def tick(stage: Stage) -> Packet:
    """One beat, as long as the call's packets are."""
    stage.advance(stage.call.frame_ms / 1000)
    data = stage.call.next_packet(now=stage.now)
    stage.drain()
    assert data is not None
    packet = parse_packet(data)
    assert packet is not None
    return packet


def voice(rate: int, seconds: float) -> Pcm:
    """Something with a lower and an upper half of the band, and a beginning that is like no other part."""
    time = np.arange(round(rate * seconds)) / rate
    wave = np.sin(2 * np.pi * (200 * time + 150 * time**2)) + 0.5 * np.sin(2 * np.pi * 5200 * time)
    return np.rint(6000 * wave).astype(np.int16)


def say(stage: Stage, wire: Wire, pcm: Pcm, *, lose: frozenset[int] = frozenset()) -> None:
    for number, frame in enumerate(wire.say(pcm)):
        stage.advance(0.02)
        data = pack_packet(wire.payload_type, 100 + number, frame.timestamp, SSRC, frame.payload)
        if number not in lose:
            stage.feed(stage.call.receive_rtp, data, CALLER)
    stage.advance(0.2)


def model_heard(stage: Stage) -> Pcm:
    audio = b"".join(b64decode(message["audio"]) for message in stage.sent("input_audio_buffer.append"))
    return np.frombuffer(audio, "<i2").astype(np.int16)


@pytest.mark.parametrize("encoding", ["G722/8000", "opus/48000", "L16/16000"])
def test_the_model_hears_and_speaks_24_khz(encoding: str) -> None:
    stage = stage_with(encoding)
    for side in ("input", "output"):
        assert stage.session["audio"][side]["format"] == {"type": "audio/pcm", "rate": 24000}
    wire = Wire(encoding)
    say(stage, wire, voice(wire.codec.rate, 1.0))
    heard = model_heard(stage)
    assert len(heard) == 24_000
    assert likeness(voice(24_000, 1.0), heard) > 0.95
    assert upper_half_db(heard) > -15, "there is sound above 4 kHz"


def upper_half_db(pcm: Pcm) -> float:
    power = np.abs(np.fft.rfft(pcm.astype(float) * np.hanning(len(pcm)))) ** 2
    edge = 4000 * len(pcm) // 24_000
    return float(10 * np.log10(power[edge:].sum() / power.sum()))


def test_a_lost_packet_of_g722_sounds_on() -> None:
    stage = stage_with("G722/8000")
    wire = Wire("G722/8000")
    say(stage, wire, voice(16_000, 1.0), lose=frozenset({20, 21, 33}))
    heard = model_heard(stage)
    assert len(heard) == 24_000
    assert np.abs(heard[20 * 480 : 22 * 480].astype(int)).max() > 3000


@pytest.mark.parametrize("encoding", ["G722/8000", "opus/48000", "PCMU/8000"])
@pytest.mark.parametrize("ptime", [10, 20, 40, 60])
def test_packets_are_as_long_as_the_peer_wants(encoding: str, ptime: int) -> None:
    stage = stage_with(encoding, ptime=ptime, turn_detection="local")
    assert stage.call.frame_ms == ptime
    packets = [tick(stage) for _ in range(10)]
    ticks = Wire(encoding).codec.clock_rate * ptime // 1000
    steps = np.diff([packet.timestamp for packet in packets]) % 2**32
    assert set(steps.tolist()) == {ticks}
    if encoding != "opus/48000":
        assert {len(packet.payload) for packet in packets} == {8 * ptime}


def test_what_the_agent_says_is_counted_in_milliseconds_of_its_own_format() -> None:
    stage = stage_with("G722/8000", turn_detection="local")
    wire = Wire("G722/8000")
    say(stage, wire, voice(16_000, 0.6))
    stage.advance(1.0)
    stage.respond()
    audio = voice(24_000, 2.0)
    place = {"response_id": "resp", "item_id": "item", "content_index": 0}
    stage.say("response.output_audio.delta", delta=b64encode(audio.astype("<i2").tobytes()).decode(), **place)
    sent = [tick(stage) for _ in range(50)]
    heard = np.concatenate([wire.codec.decode(packet.payload) for packet in sent])
    assert likeness(voice(16_000, 1.0), heard) > 0.95
    stage.feed(stage.call.receive_info, "5")
    (truncate,) = stage.sent("conversation.item.truncate")
    assert truncate["audio_end_ms"] == 1000
    (truncated,) = stage.of(events.Truncated)
    assert (truncated.audio_end_ms, truncated.received_ms) == (1000, 2000)


def test_the_recording_is_as_wide_as_the_call() -> None:
    stage = stage_with("G722/8000")
    wire = Wire("G722/8000")
    for frame in wire.say(voice(16_000, 2.5)):
        tick(stage)
        data = pack_packet(G722, 100 + frame.timestamp // 160, frame.timestamp, SSRC, frame.payload)
        stage.feed(stage.call.receive_rtp, data, CALLER)
    stage.feed(stage.call.leg_ended, "bye")
    pieces = stage.of(events.RecordAudio)
    assert {piece.audio_format for piece in pieces} == {PCM}
    caller = np.frombuffer(b"".join(piece.caller for piece in pieces), "<i2").astype(np.int16)
    assert likeness(voice(24_000, 2.5), caller) > 0.95


def test_a_reinvite_may_change_codec_and_length_while_the_model_goes_on() -> None:
    stage = stage_with("G722/8000")
    stage.feed(stage.call.receive_reinvite, offer("PCMU/8000", ptime=30, version=2))
    assert stage.call.frame_ms == 30
    packet = tick(stage)
    assert (packet.payload_type, len(packet.payload)) == (0, 240)
    wire = Wire("PCMU/8000")
    say(stage, wire, voice(8000, 1.0))
    assert len(model_heard(stage)) == 24_000
    assert len(stage.sent("session.update")) == 1
