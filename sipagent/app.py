"""Builds everything from a Config, on one screen, and runs it until a signal says stop."""

import asyncio
import signal
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from random import SystemRandom
from urllib.parse import urlsplit

from sipagent.agent.agent import Agent
from sipagent.aio.collector import Collector
from sipagent.aio.figures import Figures
from sipagent.aio.front import Front
from sipagent.aio.log import get_logger
from sipagent.aio.model_server import serve_model
from sipagent.aio.programs import OnCall
from sipagent.aio.service import Service
from sipagent.aio.signalling import SipSignalling
from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import local_address_toward
from sipagent.aio.zygote import Zygote
from sipagent.call.admission import Verdict
from sipagent.compiled import is_compiled
from sipagent.config import Config
from sipagent.config.engine import LOCAL
from sipagent.config.values import SIP_PORT, Server
from sipagent.control.line_keeper import LineKeeper
from sipagent.control.metrics import Metrics
from sipagent.control.observer import CallObserver, Follower
from sipagent.control.thread import ControlThread
from sipagent.errors import SipagentError
from sipagent.lines import (
    make_accounts,
    make_guard,
    make_targets,
    open_keys,
    parse_target,
)
from sipagent.sip.core import HeaderList, UserAgentSettings
from sipagent.sip.dialog import DEFAULT_PORTS, URI_TRANSPORTS
from sipagent.sip.events import Event, SourceBanned
from sipagent.sip.uri import Parameters, Uri
from sipagent.stun import PORT as STUN_PORT
from sipagent.workplace import Workplace, make_engines, numeric, used_engines

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
    :param zygote: makes the workers that run the calls; without one they are run here.
    """

    service: Service | Front

    def __init__(
        self,
        config: Config,
        *,
        trusts_itself: bool = False,
        agents: Mapping[str, Agent] | None = None,
        on_call: OnCall | None = None,
        zygote: Zygote | None = None,
    ) -> None:
        if zygote is None and config.worker_count > 1:
            raise SipagentError("workers are made of a process without threads: of sipagent run, or sipagent.serve")
        self._config = config
        self._trusts_itself = trusts_itself
        self._log = get_logger()
        self._random = SystemRandom()
        self._tls = Tls(config.sip.tls)
        self._closing = AsyncExitStack()
        self._accounts = make_accounts(config)
        self._front: Front | None = None
        metrics = Metrics(
            active_calls=lambda: self.service.calls,
            registered_lines=lambda: self.endpoint.agent.registrations,
            sip_counters=lambda: self.endpoint.agent.counters,
            shell_counters=self._counters,
            workers=self._workers,
            others=self._gather if zygote is not None else None,
            verdict=self._judge,
            refusals=lambda: self.service.refusals,
        )
        self.observer = CallObserver(metrics)
        self._zygote = zygote
        self._workplace = Workplace(
            config, agents=agents or {}, on_call=on_call, observer=self.observer, random=self._random
        )
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
        urls = await self._serve_model()
        external = await numeric(config.sip.external_address)
        outsides = {line.name: await numeric(line.external_address) for line in config.lines}
        if self._zygote is None:
            self._closing.push_async_callback(self._workplace.close)
            self.service = await self._workplace.open(urls)
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
        if self._zygote is not None:
            self.service = self._front = self._make_front(self._zygote)
        self.service.attach(SipSignalling(self.endpoint))
        self.endpoint.agent.heed(lambda: self._judge().refusal is None)
        self.observer.on_trouble = self._note_trouble
        for close in (self._control.close, self.endpoint.close, self._end_calls):  # the last one first
            self._closing.push_async_callback(close)
        if self._front is not None:
            await self._front.start(urls)
        for listener in config.sip.listen:
            await _or_explain(self.endpoint.listen(listener.transport, (listener.host, listener.port)), str(listener))
        self.endpoint.command(self.endpoint.agent.find_peers)
        self.endpoint.watch(stun=_stun_server(config.sip.stun))
        control = config.control.listen
        await _or_explain(self._control.start(control.host, control.port), f"control port {control}")
        collector = Collector(calls=lambda: self.service.calls, begun=lambda: self.service.begun)
        collector.start()
        self._closing.callback(collector.stop)
        models = sorted({urlsplit(engine.url).netloc for engine in make_engines(config, urls).values()})
        self._line_keeper.register(self.endpoint)
        for name in open_keys(config):
            self._log.warning("srtp_keys_in_the_open", line=name, instead="transport: tls, so that nobody reads them")
        listen = [str(listener) for listener in config.sip.listen]
        self._log.info("ready", listen=listen, model=", ".join(models), compiled=is_compiled())

    def _make_front(self, zygote: Zygote) -> Front:
        """What hands the calls over to workers."""
        return Front(
            zygote,
            count=self._config.worker_count,
            max_calls=self._config.most_calls,
            random=self._random,
            audience=self.observer,
        )

    def follow(self, follower: Follower | None) -> None:
        """Let somebody follow the calls from now on, or nobody."""
        self.observer.follower = follower
        if self._front is not None:
            self._front.follow(follower is not None)

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

    def pause_recording(self, call_id: str, is_paused: bool) -> Awaitable[None] | None:
        """Have a call's recording pause, or go on; what is returned is to be awaited, where it has to be.

        :raises SipagentError: when there is none.
        """
        return self.service.pause_recording(call_id, is_paused)

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

    def _counters(self) -> dict[str, int]:
        """What the shell counted."""
        beside = {"calls_refused": self._front.refused} if self._front is not None else self._workplace.counters
        return beside | self.endpoint.counters

    def _workers(self) -> tuple[int, int]:
        return (1, 0) if self._front is None else (self._front.workers, self._front.deaths)

    async def _gather(self) -> Figures:
        return await self._front.gather() if self._front is not None else Figures({}, {})

    def reasons(self) -> list[str]:
        """Why no call would be taken."""
        verdict = self._judge()
        reasons = ["draining"] if self.endpoint.agent.draining else []
        reasons += [verdict.words] if verdict.refusal is not None else []
        reasons += [self.observer.model_trouble] if self.observer.model_trouble else []
        return list(dict.fromkeys(reasons))

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

    async def _serve_model(self) -> dict[str, str]:
        """Start the embedded model, if an engine is it; return its URLs by protocol."""
        engines = self._config.engines
        embedded = {name for name in used_engines(self._config) if engines[name].is_embedded}
        for name in embedded:
            if engines[name].url != LOCAL:
                self._log.info("no_api_key", engine=name, instead="the embedded local model, which knows set phrases")
        if not embedded:
            return {}
        model = await serve_model("127.0.0.1", 0)
        self._closing.push_async_callback(model.close)
        return {"realtime": model.url, "live": model.live_url}


def address_of_ours() -> str:
    """By which address other machines reach this one; the loopback's when there is no way out."""
    try:
        return local_address_toward(SOMEWHERE)
    except OSError:
        return "127.0.0.1"


async def _or_explain(opening: Awaitable[object], what: str) -> None:
    try:
        await opening
    except OSError as error:
        raise SipagentError(f"can't listen on {what}: {error.strerror or error}") from error


def _stun_server(server: Server | None) -> Uri | None:
    return None if server is None else Uri("sip", host=server.host, port=server.port or STUN_PORT)
