"""The two ends of a world's call: a telephone with its user, and the service with its model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any

from sim.clock import Beat, Clock, Node
from sim.invariants import EndWatch, ModelWatch, RtpWatch, SipWatch, Wiretap
from sim.link import Link, LinkSettings
from sim.model import Model, Models
from sim.scenario import Deed, Scenario

from sipagent.call import events
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.call import Call
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.events import Address
from sipagent.call.listener import ListenerSettings
from sipagent.call.phase import Phase
from sipagent.call.phone import Phone, PhoneOutput, PickedUp
from sipagent.call.settings import CallSettings
from sipagent.call.sip_leg import SipLeg
from sipagent.call.transfer import TransferSettings
from sipagent.call.watchdog import DeadAirSettings
from sipagent.errors import LocalProtocolError
from sipagent.formats import PCMU, AudioFormat
from sipagent.realtime.settings import SessionSettings
from sipagent.sdp.negotiation import SrtpMode
from sipagent.sip import events as sip
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Flow
from sipagent.sip.framing import StreamFramer
from sipagent.sip.headers import NameAddr
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

CALLER, AGENT = "192.0.2.7", "192.0.2.1"
SIP_PORT = 5060
RTP_PORTS = {CALLER: 4000, AGENT: 10_000}
LINE = "line"
AFTERMATH_TICKS = 25
"""How long an ended call is asked for packets all the same."""
TOOLS = (
    {
        "type": "function",
        "name": "order_status",
        "description": "Say where an order is.",
        "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
    },
    {"type": "function", "name": "hang_up", "description": "End the call.", "parameters": {"type": "object"}},
)
TRANSFER = TransferSettings({"sales": Uri.parse("sip:200@192.0.2.7")}, limit_s=8.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """What both sides share: time, chance and the plan."""

    clock: Clock
    scenario: Scenario
    random: Callable[[str], Random]
    """A source of chance of one's own, by name."""


class Side(ABC):
    """What both ends have: a user agent, a host, and the links to the other end."""

    def __init__(self, setting: Setting, host: str, sip_link: LinkSettings, rtp_link: LinkSettings) -> None:
        name = type(self).__name__
        self.clock = setting.clock
        self.scenario = setting.scenario
        self.host = host
        self.far: Side = self
        settings = UserAgentSettings(reliable_ringing=self.scenario.reliable_ringing)
        self.ua = UserAgent(settings, [self._account()], random=setting.random(f"{name} ua"))
        self.ua_node: Node[sip.Event] = Node(self.clock, self.ua, self._carry_sip)
        self.sip = SipWatch(name)
        self.rtp = RtpWatch(name)
        self._wiretap = Wiretap()
        self.end = EndWatch(name)
        self.is_dead = False
        self.is_dialog_over = False
        self._random = setting.random(name)
        self._framer = StreamFramer()
        is_stream = self.scenario.transport == "TCP"
        stream = LinkSettings(sip_link.latency_s, sip_link.jitter_s)
        self._sip_link = Link(stream if is_stream else sip_link, setting.random(f"{name} sip"))
        self._rtp_link = Link(rtp_link, setting.random(f"{name} rtp"))

    def _account(self) -> Account:
        """The line that the caller calls by."""
        seconds = self.scenario.session_timer_s
        timer = SessionTimerSettings("accept") if seconds is None else SessionTimerSettings("on", seconds)
        return Account(name=LINE, address=Uri("sip", "caller", host=AGENT), contact_user=LINE, session_timer=timer)

    # SIP

    def flow(self) -> Flow:
        """To the other side."""
        return Flow(self.scenario.transport, (self.far.host, SIP_PORT), (self.host, SIP_PORT))

    def command(self, method: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Command the user agent; what the end of the dialog made moot is passed over, as the shell does."""

        def attempt(*, now: float) -> None:
            try:
                method(*args, now=now, **kwargs)
            except LocalProtocolError:
                assert self.is_dialog_over, f"{method.__name__} is refused in the middle of a call"

        self.ua_node.feed(attempt)

    def _carry_sip(self, event: sip.Event) -> None:
        self.sip.tells(event)
        if isinstance(event, sip.Transmit):
            self._transmit(event)
            return
        if isinstance(event, sip.Ended):
            self.is_dialog_over = True
        self.on_sip(event)

    def _transmit(self, output: sip.Transmit) -> None:
        assert output.flow.remote == (self.far.host, SIP_PORT), f"a message goes to {output.flow}"
        if self.is_dead:
            return
        data = output.data if self.scenario.allows_update else output.data.replace(b", UPDATE", b"")
        self.sip.sends(data, self.clock.now)
        pieces = [data]
        if output.flow.reliable:
            cut = self._random.randint(0, len(data))
            pieces = [data[:cut], data[cut:]]
        for piece in pieces:
            for at in self._sip_link.arrivals(self.clock.now):
                self.clock.at(at, self.far.receive_sip, piece)

    def receive_sip(self, data: bytes) -> None:
        """A datagram, or a piece of the stream."""
        if self.is_dead:
            return
        if self.scenario.transport == "UDP":
            self.sip.receives(data, self.clock.now)
            self.ua_node.feed(self.ua.receive_datagram, data, self.flow())
            return
        for message in self._framer.receive_data(data):
            self.sip.receives(message, self.clock.now)
            self.ua_node.feed(self.ua.receive_message, message, self.flow())

    @abstractmethod
    def on_sip(self, event: sip.Event) -> None:
        """The user agent tells something."""

    # Media

    def overhear(self, data: bytes | None, leg: SipLeg) -> bytes | None:
        """The packet of this tick as it was before it was protected."""
        plain = self._wiretap.read(data, leg._rtp._parameters.srtp)
        self.rtp.sends(plain)
        return plain

    def send_rtp(self, data: bytes | None, remote: Address | None) -> None:
        """Send the packet of this tick, if there is one."""
        if data is not None and remote is not None and not self.is_dead:
            assert remote == (self.far.host, RTP_PORTS[self.far.host]), f"media go to {remote}"
            for at in self._rtp_link.arrivals(self.clock.now):
                self.clock.at(at, self.far.receive_rtp, data)

    def send_rtcp(self, output: events.SendRtcp) -> None:
        """Send a report."""
        assert output.destination == (self.far.host, RTP_PORTS[self.far.host] + 1), f"reports go to {output}"
        if not self.is_dead:
            for at in self._rtp_link.arrivals(self.clock.now):
                self.clock.at(at, self.far.receive_rtcp, output.data)

    @abstractmethod
    def receive_rtp(self, data: bytes) -> None:
        """A packet from the other side."""

    @abstractmethod
    def receive_rtcp(self, data: bytes) -> None:
        """A report from the other side."""

    def make_leg(
        self,
        codecs: tuple[str, ...],
        srtp: SrtpMode,
        *,
        audio_format: AudioFormat | None = None,
        translates: bool = True,
    ) -> SipLeg:
        """A leg with an address here."""
        where: dict[str, Any] = {"address": self.host, "port": RTP_PORTS[self.host], "cname": self.host}
        how: dict[str, Any] = {"audio_format": audio_format, "translates": translates, "srtp": srtp}
        return SipLeg(**where, **how, codecs=codecs, random=self._random)

    @abstractmethod
    def do(self, name: str) -> None:
        """A deed of the scenario's."""

    def check_end(self) -> None:
        """Everything is over, and forgotten."""
        if not self.is_dead:
            self.sip.check_end(self.ua)


class CallerSide(Side):
    """A telephone of our own, its user agent and its user."""

    def __init__(self, setting: Setting) -> None:
        scenario = setting.scenario
        super().__init__(setting, CALLER, scenario.sip[0], scenario.rtp[0])
        self.leg = self.make_leg(scenario.caller_codecs, scenario.srtp[0], audio_format=PCMU, translates=False)
        self.phone = Phone(
            leg=self.leg,
            lines=scenario.lines,
            linger_s=scenario.linger_s,
            max_call_s=scenario.caller_limit_s,
            listens=scenario.listens,
            random=setting.random("ear"),
            now=self.clock.now,
        )
        self.node: Node[PhoneOutput] = Node(self.clock, self.phone, self._carry)
        self.heard: list[PhoneOutput] = []
        self._handle = 0
        self._is_answered = False
        self._aftermath = AFTERMATH_TICKS

    @property
    def is_over(self) -> bool:
        """Whether the phone has hung up."""
        return self.end.is_over

    def dial(self) -> None:
        """Send the INVITE, and set the user's alarm clock."""
        self.ua_node.feed(self._invite)
        self._plan(lambda deed: not deed.after_answer)
        Beat(self.clock, self._on_beat)

    def _invite(self, *, now: float) -> None:
        user = NameAddr(None, Uri("sip", "caller", host=CALLER))
        self._handle = self.ua.invite(
            Uri("sip", "agent", host=AGENT), self.flow(), account=LINE, from_=user, body=self.phone.offer(), now=now
        )

    def on_sip(self, event: sip.Event) -> None:
        feed, phone = self.node.feed, self.phone
        match event:
            case sip.Progressed(_, response, body):
                feed(phone.receive_progress, response.status, body)
            case sip.UpdateAccepted(_, _, body):
                feed(lambda *, now: self.leg.receive_answer(body, now=now))
            case sip.Accepted(_, _, body) if self._is_answered:
                feed(lambda *, now: self.leg.receive_answer(body, now=now))
            case sip.Refreshed(_, body):
                feed(phone.receive_refresh, body)
            case sip.Accepted(_, _, body):
                self._is_answered = True
                feed(phone.receive_answer, body)
            case sip.Reinvited(_, _, body):
                feed(phone.receive_reinvite, body)
            case sip.Referred():
                self._be_referred()
            case sip.Ended(_, reason, status):
                feed(phone.leg_ended, reason, status)

    def _be_referred(self) -> None:
        """Call whom the agent sends us to, or don't, and tell what comes of it."""
        outcome, midcall = self.scenario.outcome, self.ua.midcall(self._handle)
        if outcome == "refused":
            self.command(midcall.refuse_refer)
            return
        self.command(midcall.accept_refer)
        reports = {"answered": (180, 200), "busy": (180, 486)}.get(outcome, ())
        for number, status in enumerate(reports, 1):
            self.clock.after(number * self._random.uniform(0.1, 2.0), self.command, midcall.report_refer, status)
        if outcome == "hung_up":
            self.clock.after(self._random.uniform(0.1, 2.0), self.do, "caller_hangs_up")

    def _carry(self, output: PhoneOutput) -> None:
        self.end.tells(output)
        self.heard.append(output)
        match output:
            case events.SendRtcp():
                self.send_rtcp(output)
            case events.Accept(body):
                self.command(self.ua.accept, self._handle, body)
            case events.Reject(status):
                self.command(self.ua.reject, self._handle, status)
            case events.HangUp():
                self.command(self.ua.hang_up, self._handle)
            case PickedUp():
                self._plan(lambda deed: deed.after_answer)

    def receive_rtp(self, data: bytes) -> None:
        self.node.feed_data(self.phone.receive_rtp, data, (AGENT, RTP_PORTS[AGENT]))

    def receive_rtcp(self, data: bytes) -> None:
        self.node.feed(self.phone.receive_rtcp, data, (AGENT, RTP_PORTS[AGENT] + 1))

    def _on_beat(self) -> bool:
        self.node.feed_beat(self._tick)
        if self.end.is_over:
            self._aftermath -= 1
        return self._aftermath > 0

    def _tick(self, *, now: float) -> None:
        is_running = self._is_answered and not self.end.is_over
        data = self.phone.next_packet(now=now)
        assert data is None or is_running, "the phone speaks before the answer or after the end"
        if is_running:
            self.overhear(data, self.leg)
            self.send_rtp(data, self.phone.remote)

    # The user's deeds

    def _plan(self, is_meant: Callable[[Deed], bool]) -> None:
        for deed in self.scenario.deeds:
            if is_meant(deed):
                self.clock.after(deed.at, self.do, deed.name)

    def do(self, name: str) -> None:
        """Do it, or see that the agent does it."""
        match name:
            case "agent_hangs_up" | "drain" | "agent_changes":
                self.far.do(name)
            case "caller_hangs_up":
                self.node.feed(self.phone.hang_up)
            case "caller_vanishes":
                self.is_dead = True
                self.node.feed(lambda *, now: self.phone.leg_ended("vanished", None, now=now))
            case "hold" | "resume" | "codec":
                self._reinvite(name)

    def _reinvite(self, name: str) -> None:
        """Change the session, unless something else is going on."""
        if self.is_dialog_over or not self._is_answered:
            return
        negotiation = self.leg._negotiation
        if name == "codec":
            on_wire = negotiation.parameters.codec if negotiation.parameters else ""
            negotiation._codecs = ("PCMA",) if on_wire == "PCMU" else ("PCMU",)
        else:
            negotiation.direction = "sendonly" if name == "hold" else "sendrecv"
        offer = self.leg.offer()

        def attempt(*, now: float) -> None:
            try:
                getattr(self.ua, self.scenario.changes_by)(self._handle, offer, now=now)
            except LocalProtocolError:
                self.clock.after(0.5, self._reinvite, name)

        self.ua_node.feed(attempt)


class AgentSide(Side):
    """The service with its one call, and the model behind it."""

    def __init__(self, setting: Setting, digest: blake2b) -> None:
        scenario = setting.scenario
        super().__init__(setting, AGENT, scenario.sip[1], scenario.rtp[1])
        self._setting = setting
        self._digest = digest
        self.call: Call | None = None
        self.watch = ModelWatch(is_faulty=bool(scenario.faults))
        self.facts: list[events.Output] = []
        """What the call told, audio and messages left out."""
        self._handle = 0
        self._lost_at = 0.0
        """When a model was lost, the first of all."""
        self._aftermath = AFTERMATH_TICKS

    @property
    def is_over(self) -> bool:
        """Whether there is no call, or no more."""
        return self.call is None or (self.end.is_over and self._aftermath <= 0 and self._model.is_gone)

    def do(self, name: str) -> None:
        """End the call from here, if there is one."""
        if self.call is not None and name == "agent_changes":
            self._change(self.call)
        elif self.call is not None:
            self._node.feed(self.call.drain if name == "drain" else self.call.hang_up)

    def _change(self, call: Call) -> None:
        """Say the same of the media again, which a call never does by itself; a collision is part of it."""

        def attempt(*, now: float) -> None:
            if call.phase is Phase.UP and not call._leg.is_held and not self.is_dialog_over:
                with suppress(LocalProtocolError):
                    getattr(self.ua, self.scenario.changes_by)(self._handle, call._leg.offer(), now=now)

        self.ua_node.feed(attempt)

    def on_sip(self, event: sip.Event) -> None:
        if isinstance(event, sip.IncomingInvite):
            assert self.call is None, "the call comes twice"
            self._begin(event)
            return
        if self.call is None:
            return
        match event:
            case sip.Reinvited(_, _, body):
                self._node.feed(self.call.receive_reinvite, body)
            case sip.Accepted(_, _, body) | sip.UpdateAccepted(_, _, body):
                self._node.feed(self.call.receive_answer, body)
            case sip.Refreshed(_, body):
                self._node.feed(self.call.receive_refresh, body)
            case sip.Acknowledged(_, body):
                self._node.feed(self.call.receive_ack, body)
            case sip.ReferProgressed(_, status, _):
                self._node.feed(self.call.refer_progressed, status)
            case sip.ReferFinished(_, status, _):
                self._node.feed(self.call.refer_finished, status)
            case sip.Ended(_, reason, _):
                self._node.feed(self.call.leg_ended, reason)

    def _begin(self, event: sip.IncomingInvite) -> None:
        scenario, random = self.scenario, self._setting.random
        is_local = scenario.detection == "local"
        session = SessionSettings(
            "sim",
            instructions="You answer the telephone.",
            tools=(*TOOLS, TRANSFER.tool.definition) if scenario.outcome else TOOLS,
            turn_detection="local" if is_local else "server",
            transcription_model="sim",
        )
        listener = ListenerSettings(detection="local" if is_local else "server")
        continuity = replace(scenario.continuity, fallbacks=(session,) * len(scenario.continuity.fallbacks))
        conversation = ConversationSettings(
            session,
            scenario.greeting,
            listener=listener,
            barge_in=BargeInSettings(scenario.barge_in),
            continuity=continuity,
        )
        settings = CallSettings(
            conversation,
            max_call_s=scenario.call_limit_s,
            dead_air=DeadAirSettings(hang_up_s=scenario.no_media_s),
            records=scenario.records,
            transfer=TRANSFER if scenario.outcome else None,
        )
        self._handle = event.handle
        self.leg = self.make_leg(("PCMU", "PCMA"), scenario.srtp[1])
        self.call = Call("call", leg=self.leg, settings=settings, random=random("call"))
        self._node: Node[events.Output] = Node(self.clock, self.call, self._carry)
        self._model = Models(partial(self._make_model, self.call, random("model")))
        self._node.feed(self.call.receive_invite, event.body)
        Beat(self.clock, self._on_beat)

    def _make_model(self, call: Call, random: Random, number: int) -> Model:
        return Model(
            self.clock,
            faults=self.scenario.faults,
            pace=self.scenario.pace,
            link=self.scenario.websocket,
            random=random,
            call=self._node,
            machine=call,
            watch=self.watch,
            number=number,
            is_down=partial(self._is_down, number),
        )

    def _is_down(self, number: int) -> bool:
        """Whether no model can be had now: the first one's loss took all with it."""
        return number > 1 and self.clock.now < self._lost_at + self.scenario.down_s

    def _carry(self, output: events.Output) -> None:
        self.end.tells(output)
        self.watch.call_tells(output)
        if isinstance(output, events.SendModel):
            self._digest.update(output.data)
            self._model.send(output.data)
            return
        self._digest.update(repr(output).encode())
        if isinstance(output, events.ModelLost):
            self._lost_at = self._lost_at or self.clock.now
        match output:
            case events.Ring(offer):
                self.command(self.ua.ring, self._handle, body=offer)
            case events.Accept(body):
                self.command(self.ua.accept, self._handle, body)
            case events.Reject(status, _, retry_after_s):
                headers = () if retry_after_s is None else (("Retry-After", str(retry_after_s)),)
                self.command(self.ua.reject, self._handle, status, headers=headers)
            case events.HangUp() | events.AskForLife():
                verb = self.ua.hang_up if isinstance(output, events.HangUp) else self.ua.refresh
                self.command(verb, self._handle)
            case events.Refer(target):
                self.ua_node.feed(self._refer, target)
            case events.SendRtcp():
                self.send_rtcp(output)
            case events.RecordAudio(caller, agent):
                assert len(caller) == len(agent), "the sides of the recording differ in length"
            case events.ConnectModel() | events.SendComingModel() | events.UseModel() | events.CloseModel():
                self._model.carry(output)
            case events.RunTool(function_call_id):
                self.clock.after(self._random.uniform(0.0, 2.0), self._finish_tool, function_call_id)
            case _:
                self.facts.append(output)

    def _refer(self, target: Uri, *, now: float) -> None:
        try:
            self.ua.refer(self._handle, target, now=now)
        except LocalProtocolError:
            self._node.feed(self.call.refer_finished, 491)

    def _finish_tool(self, function_call_id: str) -> None:
        if self.call is not None:
            self._node.feed(self.call.tool_finished, function_call_id, '{"status": "on its way"}')

    def receive_rtp(self, data: bytes) -> None:
        if self.call is not None:
            self._node.feed_data(self.call.receive_rtp, data, (CALLER, RTP_PORTS[CALLER]))
            self.watch.settled()

    def receive_rtcp(self, data: bytes) -> None:
        if self.call is not None:
            self._node.feed(self.call.receive_rtcp, data, (CALLER, RTP_PORTS[CALLER] + 1))

    def _on_beat(self) -> bool:
        self._node.feed_beat(self._tick)
        self.watch.settled()
        if self.end.is_over:
            self._aftermath -= 1
        return self._aftermath > 0

    def _tick(self, *, now: float) -> None:
        call = self.call
        if call is None:
            return
        is_up = call.phase in (Phase.UP, Phase.ENDING)
        data = call.next_packet(now=now)
        assert data is None or is_up, "a packet before the answer or after the end"
        if is_up:
            if data is not None:
                self._digest.update(data)
            self.watch.call_ticks(call, self.overhear(data, self.leg))
            self.send_rtp(data, call.remote)

    def check_end(self) -> None:
        super().check_end()
        if self.call is not None:
            assert self.call.get_timer() is None
            assert self.call.poll() is None
