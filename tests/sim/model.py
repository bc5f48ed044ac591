"""The embedded model behind a virtual WebSocket: in order, late, and broken when its script says so."""

from collections.abc import Callable
from random import Random
from typing import Any

from sim.clock import Clock, Node
from sim.invariants import ModelWatch, decode
from sim.link import Link, LinkSettings
from sim.voice import hear, speak

from sipagent.audio.vad import EnergyVad
from sipagent.call.call import Call
from sipagent.call.events import CloseModel, ConnectModel, ModelCommand, Output, SendComingModel, UseModel
from sipagent.formats import AudioFormat
from sipagent.realtime.local.buffer import Detector
from sipagent.realtime.local.events import Close, Drop, HearSpeech, RenderSpeech, Send
from sipagent.realtime.local.events import Output as ModelOutput
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.handshake import PATH, Refused, judge_handshake
from sipagent.realtime.local.server import LocalServer
from sipagent.realtime.local.settings import LocalSettings

UNIX_TIME = 1_800_000_000.0
CODECS = {"audio/pcmu": "PCMU", "audio/pcma": "PCMA"}


class Models:
    """All connections of one call's, by number.

    :param make: makes the far end of the one of this number.
    """

    def __init__(self, make: Callable[[int], "Model"]) -> None:
        self._make = make
        self.connections: dict[int, Model] = {}
        self._used = 1

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of any session."""
        return all(model.is_gone for model in self.connections.values())

    def carry(self, output: ModelCommand) -> None:
        """Do what the call says."""
        match output:
            case ConnectModel(number):
                assert number not in self.connections, f"connection {number} is opened twice"
                self.connections[number] = self._make(number)
                self.connections[number].connect()
            case SendComingModel(number, data):
                assert number != self._used or number == 1, "what is in use is not coming"
                self.connections[number].send(data)
            case UseModel(number):
                self._used = number
            case CloseModel(number):
                for each in self.connections if number is None else [number]:
                    self.connections[each].close()

    def send(self, data: bytes) -> None:
        """Carry a message on the connection in use."""
        self.connections[self._used].send(data)


class Model:
    """The far end of one WebSocket of a call's.

    :param faults: the script of the model's misfortunes.
    :param is_down: whether nobody answers the telephone there.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        faults: str,
        pace: float,
        link: LinkSettings,
        random: Random,
        call: Node[Output],
        machine: Call,
        watch: ModelWatch,
        number: int = 1,
        is_down: Callable[[], bool] = bool,
    ) -> None:
        self._settings = LocalSettings(pace=pace, faults=FaultScript.parse(faults), max_session_s=100_000.0)
        self._clock = clock
        self._call = call
        self._machine = machine
        self._watch = watch
        self._random = random
        self._server = LocalServer(self._settings, random=random, make_detector=make_detector)
        self._node: Node[ModelOutput] = Node(clock, self._server, self._carry)
        self._up, self._down = Link(link, random), Link(link, random)
        self._is_open = False
        self._number = number
        self._is_down = is_down

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of the session."""
        return self._server.is_closed

    def connect(self) -> None:
        """Open the WebSocket."""
        self._send_up(self._on_handshake)

    def send(self, data: bytes) -> None:
        """Carry a message of the call's."""
        if self._is_open:
            self._send_up(self._on_message, data)

    def close(self) -> None:
        """The call closes the WebSocket."""
        self._is_open = False
        self._send_up(self._server.connection_lost)

    def die(self) -> None:
        """The model's process is killed."""
        if not self._server.is_closed:
            self._server.connection_lost()
            self._send_down(self._on_lost, 1006, "the connection broke")

    # At the model's end

    def _on_handshake(self) -> None:
        if self._is_down():
            self._server.connection_lost()
            self._send_down(self._on_lost, 0, "connection refused")
            return
        judged = judge_handshake(self._settings, PATH, {"model": "sim"}, {}, number=self._number)
        if isinstance(judged, Refused):
            self._server.connection_lost()
            self._send_down(self._on_lost, judged.status, judged.body.decode())
            return
        self._send_down(self._on_connected)
        self._node.feed(lambda *, now: self._server.open(judged, now=now, unix_time=UNIX_TIME + now))

    def _on_message(self, data: bytes) -> None:
        self._watch.model_receives(data)
        self._node.feed(self._server.receive_text, data)

    def _carry(self, output: ModelOutput) -> None:
        match output:
            case Send(data):
                event = decode(data)
                self._watch.model_sends(event)
                self._send_down(self._on_answer, data, event)
            case Close(code, reason):
                self._send_down(self._on_lost, code, reason)
            case Drop():
                self._server.connection_lost()
                self._send_down(self._on_lost, 1006, "the connection broke")
            case RenderSpeech(request_id, text, _, _, audio_format):
                audio = speak(text, CODECS[audio_format.type])
                self._clock.after(self._random.uniform(0.01, 0.1), self._answer_speech, request_id, audio)
            case HearSpeech(request_id, audio, audio_format):
                phrase = hear(audio, CODECS[audio_format.type])
                self._clock.after(self._random.uniform(0.01, 0.1), self._answer_hearing, request_id, phrase)

    def _answer_speech(self, request_id: int, audio: bytes) -> None:
        self._node.feed(self._server.receive_speech, request_id, audio)

    def _answer_hearing(self, request_id: int, phrase: str) -> None:
        self._node.feed(self._server.receive_hearing, request_id, phrase)

    # At the call's end

    def _on_connected(self) -> None:
        self._is_open = True
        self._call.feed(self._machine.model_connected, self._number)

    def _on_answer(self, data: bytes, event: dict[str, Any]) -> None:
        self._watch.call_receives(event, self._number)
        self._call.feed_data(self._machine.receive_model, data, self._number)
        self._watch.settled()

    def _on_lost(self, code: int, reason: str) -> None:
        self._is_open = False
        self._watch.call_loses_model(self._number)
        self._call.feed(self._machine.model_lost, code, reason, self._number)

    # Between

    def _send_up(self, act: Callable[..., object], *args: object) -> None:
        for at in self._up.arrivals(self._clock.now):
            self._clock.at(at, act, *args)

    def _send_down(self, act: Callable[..., object], *args: object) -> None:
        for at in self._down.arrivals(self._clock.now):
            self._clock.at(at, act, *args)


def make_detector(audio_format: AudioFormat, _threshold: float) -> Detector:
    """Hear speech as we do; in PCM, which is what a session begins with, nothing is ever sent."""
    return EnergyVad(audio_format).is_speech if audio_format.type in CODECS else lambda _: False
