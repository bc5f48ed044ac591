"""Builds everything from a Config, on one screen, and runs it until a signal says stop."""

import asyncio
import signal
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from random import SystemRandom
from time import time
from urllib.parse import urlsplit

from sipagent.agent.agent import Agent
from sipagent.aio.collector import Collector
from sipagent.aio.dns import look_up
from sipagent.aio.engine import Engine
from sipagent.aio.line import Line
from sipagent.aio.log import get_logger
from sipagent.aio.model_server import ModelServer, serve_model
from sipagent.aio.programs import OnCall
from sipagent.aio.service import Service
from sipagent.aio.speech_model import SpeechModel, load_model
from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import RtpPorts, local_address_toward
from sipagent.call.admission import Verdict
from sipagent.call.rehearsal import rehearse
from sipagent.config import Config
from sipagent.config.engine import LOCAL
from sipagent.config.values import SIP_PORT, Server
from sipagent.control.line_keeper import LineKeeper
from sipagent.control.metrics import Metrics
from sipagent.control.observer import CallObserver
from sipagent.control.thread import ControlThread
from sipagent.engines import make_engine
from sipagent.errors import SipagentError
from sipagent.lines import (
    make_accounts,
    make_guard,
    make_lines,
    make_targets,
    open_keys,
    parse_target,
    usable_codecs,
)
from sipagent.outages import speak_apologies
from sipagent.rtp import dtls
from sipagent.sip.core import HeaderList, UserAgentSettings
from sipagent.sip.dialog import DEFAULT_PORTS, URI_TRANSPORTS
from sipagent.sip.events import Event, SourceBanned
from sipagent.sip.uri import Parameters, Uri
from sipagent.stun import PORT as STUN_PORT
from sipagent.toolbox import Toolbox

SESSIONS_A_CALL = 2
"""The user agent keeps a dialog a little longer than we keep the call: until its BYE is answered."""

ANY = ("0.0.0.0", "::")
"""Listening everywhere is no address to dial."""

SOMEWHERE = ("192.0.2.1", 9)
"""An address of nobody (:rfc:`5737`): it only asks the kernel which way out it would take. Nothing is sent."""

DRAIN_S = 60.0
"""How long calls may go on after SIGTERM before they say goodbye."""


class Application:
    """The service with its listeners, its control port and, where it is needed, the embedded model.

    :param trusts_itself: whether calls of this machine itself are taken whatever the lines say.
    :param agents: those written in Python, by their names.
    :param on_call: the user's program, which is given each call once it is answered.
    """

    def __init__(
        self,
        config: Config,
        *,
        trusts_itself: bool = False,
        agents: Mapping[str, Agent] | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        self._on_call = on_call
        self._config = config
        self._agents = agents or {}
        self._trusts_itself = trusts_itself
        self._log = get_logger()
        self._random = SystemRandom()
        self._tls = Tls(config.sip.tls)
        self._closing = AsyncExitStack()
        self._accounts = make_accounts(config)
        metrics = Metrics(
            active_calls=lambda: self.service.calls,
            registered_lines=lambda: self.endpoint.agent.registrations,
            sip_counters=lambda: self.endpoint.agent.counters,
            shell_counters=self._counters,
            verdict=self._judge,
            refusals=lambda: self.service.refusals,
        )
        self.observer = CallObserver(metrics)
        self._line_keeper = LineKeeper(self._accounts)
        self._control = ControlThread(
            reasons=self.reasons, metrics=metrics, dial=self.dial, pause_recording=self.pause_recording
        )

    def uri(self, host: str | None = None) -> Uri:
        """What to dial from ``host``, or from wherever callers reach our first listener."""
        listener = self._config.sip.listen[0]
        address = host or self._config.sip.external_address or listener.host
        if address in ANY:
            address = address_of_ours()
        transport = listener.transport
        return Uri(
            "sips" if transport == "WSS" else "sip",
            "agent",
            host=address,
            port=None if listener.port == DEFAULT_PORTS.get(transport, SIP_PORT) else listener.port,
            parameters=Parameters([] if transport == "UDP" else [("transport", URI_TRANSPORTS[transport])]),
        )

    async def start(self) -> None:
        """Open everything.

        :raises SipagentError: when a port is taken or a tool can't be loaded; the message says which.
        """
        try:
            await self._open()
        except BaseException:
            await self._closing.aclose()
            raise

    async def _open(self) -> None:
        config = self._config
        self._tls.client()  # made now, for it takes as long as a beat; and what is wrong with its files is told now
        rehearse({codec for line in config.lines for codec in usable_codecs(line)})
        engines = await self._make_engines()
        external = await _numeric(config.sip.external_address)
        outsides = {line.name: await _numeric(line.external_address) for line in config.lines}
        ports = (config.rtp.ports.first, config.rtp.ports.last)
        self._speech = self._load_speech_model()
        self.service = Service(
            lines=await self._make_lines(engines, outsides),
            ports=RtpPorts("0.0.0.0", ports, random=self._random),
            ports6=RtpPorts("::", ports, random=self._random),
            max_calls=config.most_calls,
            by_health=config.sip.max_calls == "auto",
            pressed=self._note_pressure,
            recordings=config.recording.directory,
            recording_format=config.recording.format,
            observer=self.observer,
            random=self._random,
            zone=config.timezone.info if config.timezone is not None else None,
            media_address=await _numeric(config.rtp.external_address),
            on_call=self._on_call,
            speech=self._speech,
            certificate=dtls.make_certificate(wall=time()) if dtls.is_available else None,
        )
        self.endpoint = SipEndpoint(
            UserAgentSettings(
                user_agent=config.sip.user_agent,
                reliable_ringing=config.sip.reliable_ringing,
                max_sessions=SESSIONS_A_CALL * config.most_calls,
                guard=make_guard(config, trusts_itself=self._trusts_itself),
            ),
            make_accounts(config, outsides),
            on_event=self._receive,
            on_crash=lambda error: self._log.error("user_agent_crashed", exc_info=error),
            random=self._random,
            external_address=external,
            tls=self._tls,
            origins=config.sip.origins,
        )
        self.service.attach(self.endpoint)
        self.observer.on_trouble = self._note_trouble
        for close in (self._control.close, self.endpoint.close, self._end_calls):  # the last one first
            self._closing.push_async_callback(close)
        for listener in config.sip.listen:
            await _or_explain(self.endpoint.listen(listener.transport, (listener.host, listener.port)), str(listener))
        self.endpoint.command(self.endpoint.agent.find_peers)
        self.endpoint.watch(stun=_stun_server(config.sip.stun))
        control = config.control.listen
        await _or_explain(self._control.start(control.host, control.port), f"control port {control}")
        collector = Collector(calls=lambda: self.service.calls, begun=lambda: self.service.begun)
        collector.start()
        self._closing.callback(collector.stop)
        models = sorted({urlsplit(engine.url).netloc for engine in engines.values()})
        self._line_keeper.register(self.endpoint)
        for name in open_keys(config):
            self._log.warning("srtp_keys_in_the_open", line=name, instead="transport: tls, so that nobody reads them")
        self._log.info("ready", listen=[str(listener) for listener in config.sip.listen], model=", ".join(models))

    async def _open_toolbox(self) -> Toolbox:
        """The tools of the agents, with the servers of theirs that we start."""
        toolbox = Toolbox(self._config, random=self._random, report=self.observer.observe_tool_error)
        self._closing.push_async_callback(toolbox.close)
        await toolbox.open()
        return toolbox

    async def dial(self, line: str, to: str, headers: HeaderList = ()) -> str:
        """Have the agent of a line call somebody; return the id of the call.

        :param to: a SIP URI, or a number at the line's own domain.
        :param headers: fields of the INVITE that are the user's own.
        :raises SipagentError: when it can't be tried.
        """
        account = next((one for one in self._accounts if one.name == line), None)
        if account is None:
            raise SipagentError(f"there is no line {line} with a domain to call through")
        target = parse_target(to, domain=account.address)
        settings = next(one for one in self._config.lines if one.name == line)
        reason = make_targets(settings, settings.allow_out).refusal(target)
        if reason is not None:
            raise SipagentError(f"{target} may not be called: {reason}; allow_out of line {line} says who may")
        return await self.service.dial(line, target, headers)

    def pause_recording(self, call_id: str, is_paused: bool) -> None:
        """Have a call's recording pause, or go on.

        :raises SipagentError: when there is none.
        """
        self.service.pause_recording(call_id, is_paused)

    def _receive(self, event: Event) -> None:
        """Take an event of the user agent's."""
        if isinstance(event, SourceBanned):
            self._log.warning("source_banned", **asdict(event))
            return
        self._line_keeper.observe(event)
        self.service.receive(event)

    def _note_trouble(self, trouble: str | None) -> None:
        """Let a PBX that asks by OPTIONS know whether calls would be taken."""
        self.endpoint.agent.ready = trouble is None

    def _judge(self) -> Verdict:
        """Whether there is room for a call."""
        return self.service.judge()

    def _note_pressure(self, verdict: Verdict) -> None:
        """The load has come to close the door to calls, or to open it again."""
        fields = {"calls": verdict.calls, "cpu": round(verdict.cpu, 3), "late": round(verdict.late, 3)}
        if verdict.is_pressed:
            self._log.warning("calls_refused", reason=verdict.words, **fields)
        else:
            self._log.info("calls_welcome", **fields)

    def _counters(self) -> dict[str, int]:
        """What the shell counted."""
        return {
            "calls_refused": self.service.refused,
            "skipped_beats": self.service.skipped_beats,
            **self.endpoint.counters,
            **(self._speech.counters if self._speech is not None else {}),
        }

    def reasons(self) -> list[str]:
        """Why no call would be taken."""
        verdict = self._judge()
        reasons = ["draining"] if self.endpoint.agent.draining else []
        reasons += [verdict.words] if verdict.refusal is not None else []
        return reasons + ([self.observer.model_trouble] if self.observer.model_trouble else [])

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then drain, and on a second signal stop. SIGHUP: read certificates again."""
        signalled: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for name in ("SIGTERM", "SIGINT"):
            loop.add_signal_handler(getattr(signal, name), signalled.put_nowait, name)
        loop.add_signal_handler(signal.SIGHUP, self._tls.reload)
        name = await signalled.get()
        self.service.close_doors()
        self._line_keeper.unregister(self.endpoint)
        self._log.info("draining", signal=name, calls=self.service.calls)
        drained = loop.create_task(self.service.drain(timeout_s=DRAIN_S))
        again = loop.create_task(signalled.get())
        await asyncio.wait((drained, again), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        again.cancel()

    async def stop(self) -> None:
        """End what is left and close everything."""
        await self._closing.aclose()
        self._log.info("stopped")

    async def _end_calls(self) -> None:
        self._line_keeper.unregister(self.endpoint)
        await self.service.stop()
        await self.endpoint.settle()
        await self.service.close()

    def _load_speech_model(self) -> SpeechModel | None:
        """Load what tells speech from noise, if an agent is to have it."""
        if all(agent.turn.detector == "energy" for agent in self._config.agents.values()):
            return None
        model = SpeechModel(load_model(), failed=lambda why: self._log.error("speech_model_failed", reason=why))
        self._closing.callback(model.close)
        return model

    async def _make_lines(
        self, engines: Mapping[str, Engine], outsides: Mapping[str, str | None]
    ) -> dict[str, Line]:
        for name, engine in engines.items():
            engine.breaker.changed = partial(self.observer.observe_engine, name)
            self._closing.callback(engine.breaker.stop)
        toolbox, spoken = await self._open_toolbox(), await speak_apologies(self._config)
        return make_lines(self._config, engines, outsides, agents=self._agents, toolbox=toolbox, spoken=spoken)

    async def _make_engines(self) -> dict[str, Engine]:
        """The engines of the agents that take calls; the embedded model is started for those that need it."""
        config = self._config
        agents = [config.agents[agent] for line in config.lines for agent in config.agents_of(line)]
        names = {name for agent in agents for name in (agent.engine, *agent.continuity.engines)}
        embedded = {name for name in names if config.engines[name].is_embedded}
        model = await self._serve_model() if embedded else None
        for name in embedded:
            if config.engines[name].url != LOCAL:
                self._log.info("no_api_key", engine=name, instead="the embedded local model, which knows set phrases")
        urls = {"realtime": model.url, "live": model.live_url} if model is not None else {}
        return {
            name: make_engine(engine, url=urls[engine.spoken.protocol] if name in embedded else None)
            for name, engine in config.engines.items()
            if name in names
        }

    async def _serve_model(self) -> ModelServer:
        model = await serve_model("127.0.0.1", 0)
        self._closing.push_async_callback(model.close)
        return model


def address_of_ours() -> str:
    """By which address other machines reach this one; the loopback's when there is no way out."""
    try:
        return local_address_toward(SOMEWHERE)
    except OSError:
        return "127.0.0.1"


async def _numeric(host: str | None) -> str | None:
    """The address of a host that may be given by name.

    :raises SipagentError: when it has none.
    """
    if host is None:
        return None
    address = await look_up(host)
    if address is None:
        raise SipagentError(f"external_address {host}: there is no such host")
    return address


async def _or_explain(opening: Awaitable[object], what: str) -> None:
    try:
        await opening
    except OSError as error:
        raise SipagentError(f"can't listen on {what}: {error.strerror or error}") from error


def _stun_server(server: Server | None) -> Uri | None:
    return None if server is None else Uri("sip", host=server.host, port=server.port or STUN_PORT)
