"""The shell of one call: it carries what :class:`~sipagent.call.call.Call` puts out to SIP, RTP, model, tools, disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import SystemRandom
from time import monotonic
from typing import Final, Protocol, TypeAlias

from sipagent.agent.builtin import HAND_OVER
from sipagent.aio.call_handle import CallHandle
from sipagent.aio.driver import Driver
from sipagent.aio.engine import Engine
from sipagent.aio.media import Media
from sipagent.aio.model_sockets import ModelSockets
from sipagent.aio.probe import probe
from sipagent.aio.recorder import Recorder
from sipagent.aio.replacement import Place, ReplacementRunner, Way
from sipagent.aio.signalling import Signalling
from sipagent.aio.speech_model import Ear, SpeechModel
from sipagent.aio.staff import Staff
from sipagent.aio.tools import ToolRunner
from sipagent.aio.websocket import WebSocket
from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.events import Fact, SendModel
from sipagent.call.staffing import AgentChanged
from sipagent.realtime.failures import concerns_account
from sipagent.sip.core import HeaderList
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    EarlyAnswered,
    Ended,
    Event,
    InfoReceived,
    Progressed,
    ReferFinished,
    ReferProgressed,
    Referred,
    Refreshed,
    Reinvited,
)
from sipagent.sip.uri import Uri

NOT_ACCEPTABLE: Final = 488
"""It comes with a Warning that says why (:rfc:`3261#section-13.3.1.3`)."""

REQUEST_PENDING: Final = 491

UNAUTHORIZED: Final = 401
"""What a WebSocket is refused with where the server said so only inside."""

SipCommand: TypeAlias = (
    events.Ring | events.Accept | events.Reject | events.Refer | events.PressKeys | events.AskForLife | events.HangUp
)

SAMPLE_EVERY: Final = 50
"""One packet in that many is timed on its way to the model: a figure a second and call."""


class Observer(Protocol):
    """Follows calls: the log, the metrics, the demonstration."""

    def observe(self, call_id: str, fact: Fact, *, now: float) -> None:
        """Take a fact."""

    def observe_delay(self, path: str, seconds: float) -> None:
        """Take a delay; ``path`` is ``packet_to_model`` or ``model_to_packet``."""

    def observe_crash(self, call_id: str, error: Exception) -> None:
        """Take a bug that ended a call."""

    def observe_tool_error(self, name: str, error: BaseException) -> None:
        """Take an exception that a tool raised."""

    def observe_program_error(self, call_id: str, error: Exception) -> None:
        """Take an exception that the user's program for a call raised."""

    def observe_recording_error(self, call_id: str, reason: str) -> None:
        """Take the end of a recording."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Whom a call of ours is for."""

    account: str
    target: Uri
    headers: HeaderList = ()
    """Of the INVITE, the user's own."""


class CallRunner:
    """Runs one call from its INVITE to its end.

    :param handle: of the INVITE that came; ``None`` for a call that we make.
    :param make_recorder: makes the recorder of the call's first, second... recording.
    :param substitutes: the engines that may take the place of the call's own, by their number from 1 on.
    :param keep: is told the handle of each further dialog of the call, by the call's id, so that its events come here.
    :param speech: judges what the call asks; without it the call goes by loudness alone.
    :param ended: is called once, when nothing is left of the call.
    """

    def __init__(
        self,
        call: Call,
        *,
        handle: int | None = None,
        outgoing: Outgoing | None = None,
        media: Media,
        signalling: Signalling,
        engine: Engine,
        substitutes: Sequence[Engine] = (),
        tools: ToolRunner,
        staff: Staff,
        make_recorder: Callable[[int], Recorder],
        observer: Observer,
        ended: Callable[["CallRunner"], None],
        way: Way,
        keep: Callable[[int, str], None],
        speech: SpeechModel | None = None,
    ) -> None:
        self.call = call
        self._place = Place(handle)
        self._keep = keep
        self._outgoing = outgoing
        self._media = media
        self._signalling = signalling
        self._tools = tools
        self._staff = staff
        self._make_recorder = make_recorder
        self._recorder: Recorder | None = None
        self._recordings = 0
        self.handle: CallHandle | None = None
        """What a program holds of the call, if it wants to."""
        self.companion: CallHandle | None = None
        """What holds of it whoever runs an agent that is not ours."""
        self._observer = observer
        self._ended = ended
        self.driver: Driver[events.Output] = Driver(call, carry=self._carry, crashed=self._on_crash)
        self._speech = speech
        self._ear: Ear | None = None
        self._sent = self._sample_at = 0
        self._engines = (engine, *substitutes)
        self._models = ModelSockets(call, self.driver, opens=partial(_open, self._engines), outbox=media.outbox)
        self.replacement = ReplacementRunner(call, self.driver, self._place, signalling=signalling, way=way, keep=keep)
        media.attach(call, self.driver)

    def receive(self, event: Event) -> None:
        """Take an event of the user agent's that concerns this call."""
        if getattr(event, "handle", None) != self._place.handle:
            self.replacement.receive(event)
            return
        call, feed = self.call, self.driver.feed
        match event:
            case Reinvited(_, _, body):
                feed(partial(call.receive_reinvite, body))
            case Acknowledged(_, body):
                feed(partial(call.receive_ack, body))
            case EarlyAnswered(_, body):
                feed(partial(call.receive_early_answer, body))
            case Refreshed(_, body):
                feed(partial(call.receive_refresh, body))
            case Progressed(_, response, _):
                feed(partial(call.receive_progress, response.status))
            case Accepted(_, _, body):
                feed(partial(call.receive_answer, body))
            case Ended(_, reason, status):
                text = f"{reason}_{status}" if status is not None else reason
                if not self.replacement.first_ended(text):
                    feed(partial(call.leg_ended, text))
            case Referred():
                self.replacement.refer(event)
            case InfoReceived() | ReferProgressed() | ReferFinished():
                self._receive_midcall(event)

    def _receive_midcall(self, event: InfoReceived | ReferProgressed | ReferFinished) -> None:
        match event:
            case InfoReceived(_, digit):
                self.driver.feed(partial(self.call.receive_info, digit))
            case ReferProgressed(_, status, _):
                self.driver.feed(partial(self.call.refer_progressed, status))
            case ReferFinished(_, outcome, _):
                self.driver.feed(partial(self.call.refer_finished, outcome))

    def _carry(self, output: events.Output) -> None:
        if isinstance(output, SendModel):
            self._send(output.data)
            return
        match output:
            case events.SendRtcp():
                self._media.send_rtcp(output)
            case events.RecordAudio():
                self._record(output)
            case events.CloseRecording():
                self._close_recording()
            case events.RunTool(function_call_id, name, arguments):
                self._run_tool(function_call_id, name, arguments)
            case events.JudgeTool(request_id, name, arguments):
                self._tools.judge(name, arguments, partial(self._tool_finished, request_id))
            case events.JudgeSpeech():
                self._judge(output)
            case events.CancelTools():
                self._tools.cancel_all()
            case events.Dial(offer):
                self._dial(offer)
            case _:
                self._carry_rest(output)

    def _carry_rest(self, output: SipCommand | events.ModelCommand | events.ReplacementCommand | Fact) -> None:
        if isinstance(output, SipCommand):
            if self._place.handle is not None:
                self._carry_sip(self._place.handle, output)
        elif isinstance(output, events.ReplacementCommand):
            self.replacement.carry(output)
        elif isinstance(output, events.ModelCommand):
            self._models.carry(output)
        else:
            self._note(output)

    def _dial(self, offer: bytes) -> None:
        outgoing = self._outgoing
        if outgoing is not None:
            self._signalling.invite(
                outgoing.account,
                outgoing.target,
                offer,
                outgoing.headers,
                call_id=self.call.id,
                dialled=self._on_dialled,
                failed=self._on_not_dialled,
            )

    def _on_dialled(self, handle: int) -> None:
        if self.driver.is_closed:  # it was hung up before the INVITE went out
            self._signalling.hang_up(handle)
            return
        self._place.handle = handle
        self._keep(handle, self.call.id)

    def _on_not_dialled(self, reason: str) -> None:
        self.driver.feed(partial(self.call.leg_ended, reason))

    def _on_not_referred(self, _reason: str) -> None:
        self.driver.feed(partial(self.call.refer_finished, REQUEST_PENDING))

    def _on_not_pressed(self, reason: str) -> None:
        if not self.driver.is_closed:
            self._note(events.LegComplained(reason))

    def _carry_sip(self, handle: int, output: SipCommand) -> None:
        signalling = self._signalling
        match output:
            case events.Ring(offer):
                signalling.ring(handle, offer)
            case events.Accept(body):
                signalling.accept(handle, body)
            case events.Reject(status, reason, retry_after_s, contact):
                headers = [] if retry_after_s is None else [("Retry-After", str(retry_after_s))]
                if contact is not None:
                    headers.append(("Contact", f"<{contact}>"))
                if status == NOT_ACCEPTABLE:
                    headers.append(("Warning", f'399 sipagent "{_quotable(reason)}"'))
                signalling.reject(handle, status, headers)
            case events.Refer(target):
                signalling.refer(handle, target, failed=self._on_not_referred)
            case events.PressKeys(digits):
                signalling.press(handle, digits, failed=self._on_not_pressed)
            case events.AskForLife():
                signalling.refresh(handle)
            case events.HangUp():
                signalling.hang_up(handle)

    # The model

    def _send(self, data: bytes) -> None:
        self._models.send(data)
        self._sent += 1
        if self._sent >= self._sample_at and (received_at := self._media.received_at) is not None:
            self._sample_at = self._sent + SAMPLE_EVERY
            self._models.when_sent(partial(self._on_sample_sent, received_at))

    def _on_sample_sent(self, received_at: float) -> None:
        self._observer.observe_delay("packet_to_model", monotonic() - received_at)

    # Tools, facts and the end

    def _judge(self, question: events.JudgeSpeech) -> None:
        if self._speech is None:
            return
        if self._ear is None:
            self._ear = self._speech.open(question.audio_format)

        def answered(chance: float) -> None:
            self.driver.feed(partial(self.call.speech_judged, chance, question.burst))

        self._ear.judge(question.window, is_first=question.is_first, answered=answered)

    def _run_tool(self, function_call_id: str, name: str, arguments: str) -> None:
        if name == HAND_OVER and self._staff.may_hand_over:
            self._hand_over(function_call_id, arguments)
        else:
            self._tools.run(name, arguments, partial(self._tool_finished, function_call_id))

    def _tool_finished(self, function_call_id: str, output: events.ToolOutput) -> None:
        self.driver.feed(partial(self.call.tool_finished, function_call_id, output))

    def _hand_over(self, function_call_id: str, arguments: str) -> None:
        change = self._staff.prepare(arguments)
        if isinstance(change, str):
            self._tool_finished(function_call_id, change)
        else:
            self.driver.feed(partial(self.call.update_agent, replace(change, function_call_id=function_call_id)))

    def _record(self, piece: events.RecordAudio) -> None:
        if self._recorder is None:
            self._recordings += 1
            self._recorder = self._make_recorder(self._recordings)
        self._recorder.write(piece)

    def _close_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()

    def _note(self, fact: Fact) -> None:
        now = monotonic()
        if isinstance(fact, AgentChanged):
            self._staff.changed(fact.agent)
            self._tools.change(self._staff.tools, self._staff.info, self._staff.approval)
        if self.companion is not None:
            self.companion.note(fact, now=now)
        if isinstance(fact, events.AgentWrote):  # words as they are; what everybody is told of them is AgentSaid
            return
        if self.handle is not None:
            self.handle.note(fact, now=now)
        if isinstance(fact, events.AgentStarted) and not fact.was_queued:
            self._observer.observe_delay("model_to_packet", now - fact.received_at)
        self._observer.observe(self.call.id, fact, now=now)
        if isinstance(fact, events.ModelFailed | events.ModelLost | events.AttemptFailed):
            self._trip(fact)
        if isinstance(fact, events.Ended):
            self._finish()

    def _trip(self, fact: events.ModelFailed | events.ModelLost | events.AttemptFailed) -> None:
        """Keep other calls away from an engine whose key or account somebody has to mend."""
        if not concerns_account(fact.code):
            return
        engine = self._engines[fact.engine]
        code = int(fact.code) if fact.code and fact.code.isdigit() else UNAUTHORIZED
        settings = self.call.session_settings[fact.engine]
        engine.breaker.trip(code, fact.message, partial(probe, engine.open, settings, random=SystemRandom()))

    def _on_crash(self, error: Exception) -> None:
        """A bug ends this call: tell the caller, and leave nothing behind."""
        self._observer.observe_crash(self.call.id, error)
        if self._place.handle is not None:
            self._signalling.hang_up(self._place.handle)
        self._models.close()
        self._finish()

    def _finish(self) -> None:
        if self.driver.is_closed:
            return
        self.driver.close()
        self.replacement.close()
        self._tools.cancel_all()
        self._media.close()
        self._close_recording()
        for handle in (self.handle, self.companion):
            if handle is not None:
                handle.close()
        self._ended(self)


async def _open(engines: Sequence[Engine], socket: WebSocket, number: int) -> None:
    """Connect to one of the engines, unless it is known that this would be in vain."""
    breaker = engines[number].breaker
    if breaker.reason is None:
        await engines[number].open(socket)
    else:
        socket.refuse(breaker.code, breaker.reason)


def _quotable(text: str) -> str:
    """The text as it may stand in a quoted string."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in '"\\')
