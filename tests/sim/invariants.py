"""What must hold in every world at every step. Each watch listens on one wire, and knows of no reasons."""

from binascii import a2b_base64
from collections import deque
from random import Random
from types import ModuleType
from typing import Any

import msgspec

from sipagent.audio.fades import FADE_MS
from sipagent.audio.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW
from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.frames import FRAME_MS
from sipagent.call.phase import Phase
from sipagent.call.phone import HungUp, Line, PhoneOutput
from sipagent.rtp.packet import parse_packet
from sipagent.rtp.session import SrtpParameters
from sipagent.rtp.srtp import Protector
from sipagent.sip import events as sip
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.session_timer import read_session_expires
from sipagent.sip.ua import UserAgent

decode = msgspec.json.Decoder().decode

BYTES_PER_MS = 8
EVENT_PAYLOAD_TYPES = range(96, 128)
MAX_LENGTH = 1024
"""Of any list, queue or table inside a machine of one call; its audio comes in pieces of 200 ms."""
MAX_BYTES = 10 * 60 * 8000
"""Of any buffer: ten minutes of audio."""

FRAME_SAMPLES = 8 * FRAME_MS
FADE_SAMPLES = 8 * FADE_MS
"""What fades after a stop, and what is raised from silence in mid-word."""


LEAVES = (str, int, float, type, ModuleType, Random, Line)
"""What nothing can grow in; the lines of a phone are its script."""


class SipWatch:
    """One user agent's wire: every message is sound, a request has one final response, and every 2xx has its ACK.

    A call ends before its session timer does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._finals: dict[tuple[str, str, int, str], tuple[int, str | None]] = {}
        self._unanswered: set[tuple[str, str, int, str]] = set()
        self._unacknowledged: set[tuple[str, int]] = set()
        self._refreshes: set[tuple[str, str, int, str]] = set()
        self._expires_at: float | None = None
        self.kinds: set[str] = set()
        """The methods that were sent."""
        self.glares = 0
        """How often a request of the other side's was put off."""
        self._goodbyes: set[str] = set()
        self._ended: set[int] = set()
        self._active_at = 0.0

    def sends(self, data: bytes, now: float) -> None:
        """The user agent sends a message."""
        self._active_at = now
        message = parse_message(data)
        if isinstance(message, Response):
            self._sends_response(message, now)
            return
        self.kinds.add(message.method)
        if message.method == "BYE":
            self._goodbyes.add(message.call_id)

    def receives(self, data: bytes, now: float) -> None:
        """A message comes to the user agent."""
        self._active_at = now
        message = parse_message(data)
        if isinstance(message, Response):
            self._note_refresh(message, now)
        elif message.method == "ACK":
            self._unacknowledged.discard((message.call_id, message.cseq.number))
        else:
            if _key(message) not in self._finals:
                self._unanswered.add(_key(message))
            if message.method == "BYE":
                self._goodbyes.add(message.call_id)

    def tells(self, event: sip.Event) -> None:
        """The user agent tells its user something."""
        if isinstance(event, sip.Transmit):
            return
        assert event.handle not in self._ended, f"{self._name}: {event} after Ended"
        if isinstance(event, sip.Ended):
            self._ended.add(event.handle)
            self._expires_at = None

    def check_expiry(self, now: float) -> None:
        """At any time: no call is up that nobody has refreshed for its whole interval."""
        assert self._expires_at is None or now <= self._expires_at, f"{self._name} outlives its session timer"

    def check_end(self, agent: UserAgent) -> None:
        """64*T1 and T4 after the last message: nothing is owed and nothing is left of any call."""
        owed = {call for call in self._unacknowledged if call[0] not in self._goodbyes}
        assert not owed, f"{self._name}: a 2xx has neither ACK nor BYE: {owed}"
        assert not self._unanswered, f"{self._name}: requests have no final response: {self._unanswered}"
        core = agent._core
        left = ([*agent._sessions], agent._sessions.by_dialog, core.outputs, core.transactions._origins)
        assert not any(left), f"{self._name} remembers {left}"
        assert agent.sessions == 0
        assert agent.is_idle
        assert len(core.transactions) == 0, f"{self._name}: transactions are left"
        assert len(core.timers) == 0, f"{self._name}: timers are left"
        assert agent.get_timer() is None, f"{self._name}: a timer is left"

    @property
    def quiet_since(self) -> float:
        """When the last message came or went."""
        return self._active_at

    def _sends_response(self, response: Response, now: float) -> None:
        if response.status < 200:
            return
        self._note_refresh(response, now)
        key = _key(response)
        self._unanswered.discard(key)
        self.glares += response.status == 491
        final = (response.status, response.to.tag)
        first = self._finals.setdefault(key, final)
        assert first == final, f"{self._name} answers {key} with {first} and then with {final}"
        if response.status < 300 and response.cseq.method == "INVITE":
            self._unacknowledged.add((response.call_id, response.cseq.number))


    def _note_refresh(self, response: Response, now: float) -> None:
        """Every 2xx to an INVITE or UPDATE says how long the call may last without another; its copies don't."""
        key = _key(response)
        if 200 <= response.status < 300 and response.cseq.method in ("INVITE", "UPDATE") and key not in self._refreshes:
            self._refreshes.add(key)
            agreed = read_session_expires(response.headers)
            self._expires_at = None if agreed is None else now + agreed.seconds


def _key(message: Request | Response) -> tuple[str, str, int, str]:
    return (message.call_id, message.via.branch or "", message.cseq.number, message.cseq.method)


class Wiretap:
    """Who listens to what one side sends, and has its keys; by plain means, it would see no difference to a peer."""

    def __init__(self) -> None:
        self._protector: Protector | None = None

    def read(self, data: bytes | None, keys: SrtpParameters | None) -> bytes | None:
        """The RTP packet; ``keys`` are those of the side that sends."""
        if data is None or keys is None:
            return data
        mirrored = SrtpParameters(keys.suite, keys.receive_key, keys.send_key)
        if self._protector is None:
            self._protector = Protector(mirrored)
        self._protector.configure(mirrored)
        plain = self._protector.open(data)
        assert plain is not None, "what goes out is not protected by what was agreed on"
        return plain


class RtpWatch:
    """One side's packets: sequence +1 each, timestamp +160 a tick."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sequence_number: int | None = None
        self._timestamp = 0
        self._ssrc: int | None = None
        self.payload_types: set[int] = set()
        """Those that were used."""

    def sends(self, data: bytes | None) -> None:
        """What goes out in one tick, if anything does."""
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        if data is None:
            return
        packet = parse_packet(data)
        assert packet is not None, f"{self._name}: no RTP: {data!r}"
        if self._sequence_number is None:
            self._timestamp, self._ssrc = packet.timestamp, packet.ssrc
        else:
            expected = (self._sequence_number + 1) & 0xFFFF
            assert packet.sequence_number == expected, f"{self._name}: {packet.sequence_number} follows {expected - 1}"
        self._sequence_number = packet.sequence_number
        assert packet.ssrc == self._ssrc, f"{self._name}: another SSRC"
        self.payload_types.add(packet.payload_type)
        if packet.payload_type not in EVENT_PAYLOAD_TYPES:
            assert packet.timestamp == self._timestamp, f"{self._name}: timestamp {packet.timestamp}"
            assert len(packet.payload) == FRAME_SAMPLES, f"{self._name}: {len(packet.payload)} samples"


class ModelWatch:
    """The WebSocket and the agent's packets beside it: what the model sent is what is heard, sample by sample.

    It keeps a ledger of its own, from the wires alone: what came to the call and was not yet heard, in its order.
    """

    def __init__(self, *, is_faulty: bool) -> None:
        self._is_faulty = is_faulty
        self._live: set[str] = set()
        self._sent: dict[str, int] = {}
        self._received: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._known: set[str] = set()
        self._complete: set[str] = set()
        self._response_items: dict[str, set[str]] = {}
        self._cancelled: set[str] = set()
        self._pending: deque[tuple[str, bytes]] = deque()
        self._pending_bytes = 0
        self._is_talking = False
        self._is_paused = False
        self._owed: dict[str, int] = {}
        self._untold: set[str] = set()
        self._is_lost = False
        self._used = 1
        self._former: set[str] = set()
        """Items that an earlier session said."""

    # What the model does

    def model_sends(self, event: dict[str, Any]) -> None:
        """The model sends an event."""
        match event["type"]:
            case "response.created":
                self._live.add(event["response"]["id"])
                assert len(self._live) == 1, f"live responses: {self._live}"
            case "response.done":
                self._live.discard(event["response"]["id"])
            case "response.output_audio.delta":
                item_id = event["item_id"]
                self._sent[item_id] = self._sent.get(item_id, 0) + len(a2b_base64(event["delta"]))
            case "error":
                self._on_error(event["error"])

    def model_receives(self, data: bytes) -> None:
        """A message of the call's comes to the model: it never asks for more to be cut than was sent."""
        if b"item.truncate" in data:
            event = decode(data)
            sent = self._sent.get(event["item_id"], 0)
            assert event["audio_end_ms"] * BYTES_PER_MS <= sent, f"{event} is past the end of {sent} bytes"

    def _on_error(self, error: dict[str, Any]) -> None:
        """Of the errors only a cancellation that came too late is in order; others must be in the script."""
        command = (error["event_id"] or "").partition("_")[0]
        assert command != "truncate", f"a truncate was refused: {error}"
        assert error["code"] != "conversation_already_has_active_response", f"a second response: {error}"
        assert error["code"] == "response_cancel_not_active" or self._is_faulty, f"the model complains: {error}"

    # What comes to the call

    def call_receives(self, event: dict[str, Any], number: int = 1) -> None:
        """An event of the model's comes to the call, on the connection of this number."""
        if number != self._used:
            return
        match event["type"]:
            case "response.output_audio.delta" if self._expects(event["response_id"]):
                self._expect_audio(event["response_id"], event["item_id"], a2b_base64(event["delta"]))
            case "response.output_audio.delta" if event["item_id"] not in self._known and not self._is_lost:
                self._owe(event["item_id"])
            case "response.output_audio.done" if self._expects(event["response_id"]):
                self._complete.add(event["item_id"])
            case "response.done":
                self._complete |= self._response_items.pop(event["response"]["id"], set())

    def call_loses_model(self, number: int = 1) -> None:
        """A WebSocket is gone."""
        if number == self._used:
            self._lose()

    def _lose(self) -> None:
        """What was begun comes to no end: what there is of it is all."""
        self._is_lost = True
        self._live.clear()
        self._complete |= self._received.keys()

    def _expects(self, response_id: str) -> bool:
        return response_id not in self._cancelled and not self._is_lost

    def _owe(self, item_id: str) -> None:
        """A cancelled response began an item before it knew: the model is to be told that nothing of it was heard."""
        self._known.add(item_id)
        self._received[item_id] = self._owed[item_id] = 0

    def _expect_audio(self, response_id: str, item_id: str, audio: bytes) -> None:
        self._known.add(item_id)
        self._response_items.setdefault(response_id, set()).add(item_id)
        self._received[item_id] = self._received.get(item_id, 0) + len(audio)
        self._pending.append((item_id, audio))
        self._pending_bytes += len(audio)

    # What the call does

    def call_tells(self, output: events.Output) -> None:
        """The call puts something out."""
        match output:
            case events.SendModel(data):
                self._on_message(data)
            case events.BargedIn(_, discarded_ms):
                assert discarded_ms == self._pending_bytes // BYTES_PER_MS, (
                    f"{output}: {self._pending_bytes} bytes wait"
                )
                self._owed = {item: self._heard.get(item, 0) for item in self._received if self._is_to_be_cut(item)}
                self._received = {item: self._received[item] for item in self._owed}
                self._pending.clear()
                self._pending_bytes = 0
            case events.Truncated(item_id, _, audio_end_ms, received_ms):
                assert item_id in self._owed, f"{output} of what was heard, or told before"
                heard = self._owed.pop(item_id)
                assert audio_end_ms == heard // BYTES_PER_MS, f"{output}: {heard} bytes were put on the wire"
                assert received_ms == self._received[item_id] // BYTES_PER_MS, f"{output}: {self._received[item_id]}"
                del self._received[item_id]
                self._untold.add(item_id)
            case events.ModelFailed() | events.ModelLost():
                self._lose()
            case events.UseModel(number):
                self._used, self._is_lost = number, False
                self._complete |= self._received.keys()
                self._former |= self._received.keys()
        if isinstance(output, events.AgentPaused):
            self._is_paused = True
        elif isinstance(output, events.AgentResumed | events.BargedIn | events.SpeechStarted):
            self._is_paused = False

    def settled(self) -> None:
        """After each input: of every item that was cut the model was told in the very same step."""
        assert not self._owed, f"not truncated: {self._owed}"
        assert not self._untold, f"truncated without telling the model: {self._untold}"

    def _on_message(self, data: bytes) -> None:
        if b'"response.cancel"' in data:
            self._cancelled.add(decode(data).get("response_id", ""))
        elif b"item.truncate" in data:
            event = decode(data)
            heard = self._heard.get(event["item_id"], 0)
            assert event["audio_end_ms"] == heard // BYTES_PER_MS, f"{event}: {heard} bytes were put on the wire"
            self._untold.discard(event["item_id"])

    def _is_to_be_cut(self, item_id: str) -> bool:
        """Whether the model is to be told what was heard; a session that is gone can't be."""
        return not self._is_over(item_id) and not self._is_lost and item_id not in self._former

    def _is_over(self, item_id: str) -> bool:
        return item_id in self._complete and self._heard.get(item_id, 0) == self._received[item_id]

    # What is heard of it

    def call_ticks(self, call: Call, data: bytes | None) -> None:
        """One tick of the call's: the packet holds what comes next, and silence only where nothing waits."""
        if data is None or call.phase is Phase.ENDED:
            return
        packet = parse_packet(data)
        assert packet is not None
        codec = call._leg.audio_format.codec
        payload_type = packet.payload_type
        quiet = call._leg.audio_format.silence
        expected, items = self._peek()
        frame = expected.ljust(FRAME_SAMPLES, quiet)
        if payload_type != {"PCMU": 0, "PCMA": 8}[codec]:
            table = ULAW_TO_ALAW if codec == "PCMU" else ALAW_TO_ULAW
            frame, quiet = frame.translate(table), quiet.translate(table)
        was_talking, self._is_talking = self._is_talking, False
        is_raised = not was_talking and packet.payload[FADE_SAMPLES:] == frame[FADE_SAMPLES:]
        if not self._is_paused and (packet.payload == frame or (expected and is_raised)):
            self._consume(items)
            self._is_talking = bool(expected)
        else:
            rest = packet.payload[FADE_SAMPLES if was_talking else 0 :]
            assert rest == quiet * len(rest), "what goes out is not what comes next"
            assert self._is_paused or len(expected) < FRAME_SAMPLES, f"silence, while {self._pending_bytes} bytes wait"

    def _peek(self) -> tuple[bytes, list[tuple[str, int]]]:
        """The next frame's worth of what waits, and of which items it is."""
        room, audio, items = FRAME_SAMPLES, b"", []
        for item_id, waiting in self._pending:
            taken = waiting[:room]
            audio += taken
            items.append((item_id, len(taken)))
            room -= len(taken)
            if not room:
                break
        return audio, items

    def _consume(self, items: list[tuple[str, int]]) -> None:
        for item_id, size in items:
            self._heard[item_id] = self._heard.get(item_id, 0) + size
            self._pending_bytes -= size
            name, waiting = self._pending.popleft()
            if len(waiting) > size:
                self._pending.appendleft((name, waiting[size:]))


class EndWatch:
    """After its last word a machine is silent."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.is_over = False

    def tells(self, output: events.Output | PhoneOutput) -> None:
        """The machine puts something out."""
        assert not self.is_over, f"{self._name}: {output} after the end"
        self.is_over = isinstance(output, events.Ended | HungUp)


def check_bounds(machine: object) -> None:
    """Walk through all that a machine holds: no list, table, queue or buffer has grown beyond its bound."""
    seen: set[int] = set()
    waiting = [machine]
    while waiting:
        each = waiting.pop()
        if isinstance(each, LEAVES) or id(each) in seen or callable(each):
            continue
        seen.add(id(each))
        if isinstance(each, bytes | bytearray):
            assert len(each) <= MAX_BYTES, f"{len(each)} bytes in {machine}"
        elif isinstance(each, list | tuple | set | frozenset | deque | dict):
            assert len(each) <= MAX_LENGTH, f"a {type(each).__name__} of {len(each)} in {machine}: {repr(each)[:200]}"
            waiting += [*each, *each.values()] if isinstance(each, dict) else each
        elif type(each).__module__.startswith("sipagent"):
            waiting += _attributes(each)


def _attributes(each: object) -> list[object]:
    slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(each, "__dict__", {}).values(), *(getattr(each, name, None) for name in slots)]
