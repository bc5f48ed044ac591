"""A call on a stage: its caller and its model are puppets, and its clock is moved by hand."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Literal, TypeVar

from sipagent.audio.clip import Clip
from sipagent.audio.fades import FADE_MS
from sipagent.audio.noise import comfort_noise
from sipagent.call import events
from sipagent.call.ambience import AmbienceSettings
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.call import Call
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.events import Output
from sipagent.call.listener import ListenerSettings
from sipagent.call.privacy import PrivacySettings
from sipagent.call.settings import CallSettings
from sipagent.call.sip_leg import SipLeg
from sipagent.call.transfer import TransferSettings
from sipagent.call.turn_end import TurnEndSettings
from sipagent.realtime.settings import SessionSettings
from sipagent.rtp.packet import Packet, pack_packet, parse_packet

FRAME_S = 0.020
CALLER = ("192.0.2.7", 4000)
SSRC = 0x5EED

SPEECH = (b"\x8f" * 40 + b"\x0f" * 40) * 2
"""20 ms that nobody takes for silence nor for noise, in μ-law and in A-law: a buzz of 100 Hz."""
INTERRUPTS = "s" * 31
"""As long as it takes to interrupt the agent: the detector needs a frame, and the turn 600 ms."""
QUIET = {"PCMU": b"\xff" * 160, "PCMA": b"\xd5" * 160}
REMNANT = 8 * FADE_MS
"""Samples that fade after a stop."""
NO_OTHER = ContinuitySettings(give_up_s=0.0)
"""A model that is lost is not sought again."""
EVENT = 101
"""The payload type of keypad events."""

T = TypeVar("T")


def describe(
    codecs: Sequence[int] = (0, 8),
    *,
    direction: str = "sendrecv",
    version: int = 1,
    host: str = CALLER[0],
    port: int = CALLER[1],
) -> bytes:
    """The caller's session description: static payload types, and keypad events."""
    types = " ".join(map(str, (*codecs, EVENT)))
    lines = [
        "v=0",
        f"o=- 1 {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP {types}",
        f"a=rtpmap:{EVENT} telephone-event/8000",
        f"a={direction}",
        "",
    ]
    return "\r\n".join(lines).encode()


def make_leg(
    *, codecs: tuple[str, ...] = ("PCMU", "PCMA"), seed: int = 1, keys_in_rtp: bool = True, translates: bool = True
) -> SipLeg:
    where: dict[str, Any] = {"address": "192.0.2.1", "port": 10_000, "cname": "test"}
    return SipLeg(**where, codecs=codecs, random=Random(seed), keys_in_rtp=keys_in_rtp, translates=translates)


class Stage:
    """A call, its time, and what came out of it; every input is followed by all its outputs, as the driver does.

    Its caller and its agent have one and the same voice, a tone, so the guard against echoes is off.
    """

    def __init__(
        self,
        *,
        greeting: str | None = None,
        barge_in: BargeInSettings | None = None,
        echo_guard: bool = False,
        transcribes: bool = False,
        turn_detection: Literal["local", "server", "hybrid"] = "local",
        max_call_s: float = 3600.0,
        records: bool = False,
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        transfer: TransferSettings | None = None,
        ambience: AmbienceSettings | None = None,
        recording_tone: bool = False,
        hears_keys: bool = False,
        privacy: PrivacySettings | None = None,
        key_tools: Iterable[str] = (),
        call_tools: Iterable[str] = (),
        has_music: bool = False,
        keys_in_rtp: bool = True,
        continuity: ContinuitySettings | None = None,
        talks: Mapping[str, Any] | None = None,
        vad: Literal["energy", "silero", "fused"] = "energy",
        turn_end: TurnEndSettings | None = None,
        **further: Any,
    ) -> None:
        """
        :param talks: further settings of the conversation.
        :param further: settings of the call.
        """
        conversation = ConversationSettings(
            SessionSettings("model", transcription_model="ear" if transcribes else None),
            greeting=greeting,
            barge_in=barge_in or BargeInSettings(),
            listener=ListenerSettings(echo_guard=echo_guard),
            ambience=ambience,
            key_tools=frozenset(key_tools),
            continuity=continuity or ContinuitySettings(),
            **(talks or {}),
            call_tools=frozenset(call_tools),
            music=Clip({8_000: comfort_noise(-30.0, random=Random(3), rate=8_000)}) if has_music else None,
        )
        conversation = replace(conversation, listener=replace(conversation.listener, vad=vad, turn_end=turn_end))
        if turn_detection != "local":
            session = replace(conversation.session, turn_detection=turn_detection)
            listener = replace(conversation.listener, detection=turn_detection)
            conversation = replace(conversation, session=session, listener=listener)
        settings = CallSettings(
            conversation,
            max_call_s=max_call_s,
            records=records,
            recording_tone=recording_tone,
            hears_keys=hears_keys,
            privacy=privacy or PrivacySettings(),
            transfer=transfer,
            **further,
        )
        self.now = 1000.0
        self.outputs: list[Output] = []
        leg = make_leg(codecs=codecs, keys_in_rtp=keys_in_rtp)
        self.call = Call("call", leg=leg, settings=settings, random=Random(2))
        self.caller = Caller()
        self.session: dict[str, Any] = {}
        self.connection = 1
        """By which the model speaks."""
        self._serial = 0
        self.questions: list[events.JudgeSpeech] = []
        """What Silero's model was asked and did not answer yet."""

    # Time

    def feed(self, receive: Callable[..., object], *args: object) -> list[Output]:
        """Give an input; return what came of it, which is kept as well."""
        receive(*args, now=self.now)
        return self.drain()

    def drain(self) -> list[Output]:
        fresh: list[Output] = []
        while (output := self.call.poll()) is not None:
            fresh.append(output)
            if isinstance(output, events.JudgeSpeech):
                self.questions.append(output)
        self.outputs += fresh
        return fresh

    def advance(self, seconds: float) -> None:
        """Let time pass; what is due on the way happens at its moment, and no deadline stays in the past."""
        until = self.now + seconds
        while (due_at := self.call.get_timer()) is not None and due_at <= until:
            self.now = max(self.now, due_at)
            self.feed(self.call.handle_timer)
            again_at = self.call.get_timer()
            assert again_at is None or again_at > due_at
        self.now = until

    def tick(self) -> Packet | None:
        """One beat of 20 ms: the packet that goes to the caller."""
        self.advance(FRAME_S)
        data = self.call.next_packet(now=self.now)
        self.drain()
        return None if data is None else parse_packet(data)

    def play(self, ms: int) -> bytes:
        """Let the agent's audio of so many milliseconds go out; return it."""
        packets = [self.tick() for _ in range(ms // 20)]
        return b"".join(packet.payload for packet in packets if packet is not None)

    # The caller

    def hear(self, pattern: str, *, codec: str = "PCMU") -> list[Output]:
        """Let the caller speak (``s``) or be silent (``.``) for 20 ms a letter; what came of the last frame."""
        fresh: list[Output] = []
        for letter in pattern:
            self.advance(FRAME_S)
            frame = SPEECH if letter == "s" else QUIET[codec]
            fresh = self.feed(self.call.receive_rtp, self.caller.say(frame, codec), CALLER)
        return fresh

    def press(self, digit: str) -> list[Output]:
        """Let the caller press a key for 60 ms."""
        fresh: list[Output] = []
        for data in self.caller.press(digit):
            self.advance(FRAME_S)
            fresh += self.feed(self.call.receive_rtp, data, CALLER)
        return fresh

    def judge(self, chance: float) -> list[Output]:
        """Let Silero's model answer what it was asked and did not answer yet."""
        fresh: list[Output] = []
        while self.questions:
            fresh += self.feed(self.call.speech_judged, chance, self.questions.pop(0).burst)
        return fresh

    # The model

    def say(self, kind: str, **fields: Any) -> list[Output]:
        """Let the model send an event."""
        return self.feed(self.call.receive_model, json.dumps({"type": kind, **fields}), self.connection)

    def answer(self, offer: bytes | None = None) -> None:
        """From INVITE to 200, with a model that does as it is told."""
        self.feed(self.call.receive_invite, describe() if offer is None else offer)
        self.feed(self.call.model_connected)
        self.say("session.created", session={"id": "sess_1"})
        self.session = self.sent("session.update")[-1]["session"]
        self.say("session.updated", session=self.session)
        assert self.of(events.Accept)

    def connect_again(self, *, session_id: str = "sess_2", expires_at: int | None = None) -> None:
        """Let the connection that was asked for last come to be, and the model do as it is told on it."""
        self.connection = self.of(events.ConnectModel)[-1].number
        self.feed(self.call.model_connected, self.connection)
        self.say("session.created", session={"id": session_id, "expires_at": expires_at})
        update = self.sent_on(self.connection, "session.update")[-1]
        self.say("session.updated", session=update["session"])

    def respond(self, text: str = "", *, ms: int = 0, response_id: str = "resp", item_id: str = "item") -> None:
        """Let the model take up the last response.create and send so much audio in one burst."""
        create = self.sent("response.create")[-1]
        metadata = create["response"]["metadata"]
        self.say("response.created", response={"id": response_id, "status": "in_progress", "metadata": metadata})
        if text:
            self.transcribe(text, response_id=response_id, item_id=item_id)
        if ms:
            self.speak(ms, response_id=response_id, item_id=item_id)

    def transcribe(self, text: str, *, response_id: str = "resp", item_id: str = "item") -> None:
        place = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self.say("response.output_audio_transcript.done", transcript=text, **place)

    def speak(self, ms: int, *, response_id: str = "resp", item_id: str = "item") -> bytes:
        """Let the model send audio in which no two frames are alike."""
        audio = bytearray()
        for _ in range(ms // 20):
            self._serial += 1
            audio += bytes((self._serial % 100 + 1, 0x0F)) * 80
        delta = b64encode(bytes(audio)).decode()
        place = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self.say("response.output_audio.delta", delta=delta, **place)
        return bytes(audio)

    def finish(self, *, response_id: str = "resp", item_id: str = "item", status: str = "completed") -> None:
        """Let the model end its response, the closing events included."""
        place = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self.say("response.output_audio.done", **place)
        self.done(response_id=response_id, status=status)

    def done(
        self, *, response_id: str = "resp", status: str = "completed", usage: dict[str, Any] | None = None
    ) -> None:
        self.say("response.done", response={"id": response_id, "status": status, "usage": usage})

    def call_function(
        self, name: str, *, call_id: str = "fc", arguments: str = "{}", response_id: str = "resp"
    ) -> None:
        item = {
            "type": "function_call",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        self.say("response.output_item.done", response_id=response_id, item=item)

    # What came out

    def of(self, kind: type[T]) -> list[T]:
        """Every output of this kind so far."""
        return [output for output in self.outputs if isinstance(output, kind)]

    def sent(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every event of this kind that went to the model so far."""
        return messages(self.outputs, kind)

    def sent_on(self, number: int, kind: str | None = None) -> list[dict[str, Any]]:
        """Every event of this kind that went to the model on a connection, in its order."""
        found, used = [], 1
        for output in self.outputs:
            if isinstance(output, events.UseModel):
                used = output.number
            is_on = isinstance(output, events.SendModel) and used == number
            if is_on or (isinstance(output, events.SendComingModel) and output.number == number):
                found.append(json.loads(output.data))  # type: ignore[union-attr]
        return [message for message in found if kind in (None, message["type"])]

    @property
    def ended(self) -> events.Ended:
        """The last word: one, and nothing behind it."""
        (ended,) = self.of(events.Ended)
        assert self.outputs[-1] is ended
        return ended


def messages(outputs: Sequence[Output], kind: str | None = None) -> list[dict[str, Any]]:
    """The events to the model among ``outputs``."""
    sent = [json.loads(output.data) for output in outputs if isinstance(output, events.SendModel)]
    return [message for message in sent if kind in (None, message["type"])]


class Caller:
    """The caller's RTP stream."""

    def __init__(self) -> None:
        self.sequence_number = 100
        self.timestamp = 5000

    def say(self, frame: bytes, codec: str = "PCMU") -> bytes:
        """A packet of audio."""
        data = pack_packet({"PCMU": 0, "PCMA": 8}[codec], self.sequence_number, self.timestamp, SSRC, frame)
        self.sequence_number += 1
        self.timestamp += len(frame)
        return data

    def press(self, digit: str) -> list[bytes]:
        """The packets of a key held for 60 ms."""
        code = "0123456789*#ABCD".index(digit)
        packets = []
        for number, flags in ((1, 0), (2, 0), (3, 0x80), (3, 0x80), (3, 0x80)):
            payload = bytes((code, flags | 10)) + (number * 160).to_bytes(2)
            packets.append(pack_packet(EVENT, self.sequence_number, self.timestamp, SSRC, payload))
            self.sequence_number += 1
        self.timestamp += 160 * 5
        return packets
