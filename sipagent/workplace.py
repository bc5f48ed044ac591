"""Everything that runs calls in one process, built from a Config: in ours, or in each worker."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from time import time

from sipagent.agent.agent import Agent
from sipagent.aio.dns import look_up
from sipagent.aio.engine import Engine
from sipagent.aio.log import get_logger
from sipagent.aio.programs import OnCall
from sipagent.aio.service import Service
from sipagent.aio.speech_model import SpeechModel, load_model
from sipagent.aio.udp import RtpPorts
from sipagent.call.admission import Verdict
from sipagent.call.rehearsal import rehearse
from sipagent.config import Config
from sipagent.control.observer import CallObserver
from sipagent.engines import make_engine
from sipagent.errors import SipagentError
from sipagent.lines import make_lines, usable_codecs
from sipagent.outages import speak_apologies
from sipagent.rtp import dtls
from sipagent.toolbox import Toolbox


class Workplace:
    """Engines, tools, lines, ports and the service that brings them together; :meth:`close` leaves nothing behind.

    :param agents: those written in Python, by their names.
    :param on_call: the user's program, which is given each call once it is answered.
    """

    def __init__(
        self,
        config: Config,
        *,
        agents: Mapping[str, Agent],
        on_call: OnCall | None,
        observer: CallObserver,
        random: Random,
    ) -> None:
        self._config = config
        self._agents = agents
        self._on_call = on_call
        self._observer = observer
        self._random = random
        self._closing = AsyncExitStack()
        self._speech: SpeechModel | None = None
        self.on_pressure: Callable[[Verdict], None] | None = None
        """Is told when the load closes the door to calls, and when it opens again."""

    async def open(self, urls: Mapping[str, str]) -> Service:
        """Make all of it.

        :param urls: of the embedded model, where an engine is it.
        :raises SipagentError: when a tool or a file can't be loaded; the message says which.
        """
        config = self._config
        rehearse({codec for line in config.lines for codec in usable_codecs(line)})
        engines = make_engines(config, urls)
        outsides = {line.name: await numeric(line.external_address) for line in config.lines}
        ports = (config.rtp.ports.first, config.rtp.ports.last)
        self._speech = self._load_speech_model()
        for name, engine in engines.items():
            engine.breaker.changed = partial(self._observer.observe_engine, name)
            self._closing.callback(engine.breaker.stop)
        toolbox, spoken = await self._open_toolbox(), await speak_apologies(config)
        self.service = Service(
            lines=make_lines(config, engines, outsides, agents=self._agents, toolbox=toolbox, spoken=spoken),
            ports=RtpPorts("0.0.0.0", ports, random=self._random),
            ports6=RtpPorts("::", ports, random=self._random),
            max_calls=config.most_calls,
            by_health=config.sip.max_calls == "auto",
            pressed=self._note_pressure,
            recordings=config.recording.directory,
            recording_format=config.recording.format,
            observer=self._observer,
            random=self._random,
            zone=config.timezone.info if config.timezone is not None else None,
            media_address=await numeric(config.rtp.external_address),
            on_call=self._on_call,
            speech=self._speech,
            certificate=dtls.make_certificate(wall=time()) if dtls.is_available else None,
        )
        return self.service

    async def close(self) -> None:
        """Close it, once no call is left."""
        await self._closing.aclose()

    @property
    def counters(self) -> dict[str, int]:
        """What was counted beside the calls."""
        return {
            "calls_refused": self.service.refused,
            "skipped_beats": self.service.skipped_beats,
            **(self._speech.counters if self._speech is not None else {}),
        }

    def _note_pressure(self, verdict: Verdict) -> None:
        """The load has come to close the door to calls, or to open it again."""
        fields = {"calls": verdict.calls, "cpu": round(verdict.cpu, 3), "late": round(verdict.late, 3)}
        if verdict.is_pressed:
            get_logger().warning("calls_refused", reason=verdict.words, **fields)
        else:
            get_logger().info("calls_welcome", **fields)
        if self.on_pressure is not None:
            self.on_pressure(verdict)

    def _load_speech_model(self) -> SpeechModel | None:
        """Load what tells speech from noise, if an agent is to have it."""
        if all(agent.turn.detector == "energy" for agent in self._config.agents.values()):
            return None
        log = get_logger()
        model = SpeechModel(load_model(), failed=lambda why: log.error("speech_model_failed", reason=why))
        self._closing.callback(model.close)
        return model

    async def _open_toolbox(self) -> Toolbox:
        """The tools of the agents, with the servers of theirs that we start."""
        toolbox = Toolbox(self._config, random=self._random, report=self._observer.observe_tool_error)
        self._closing.push_async_callback(toolbox.close)
        await toolbox.open()
        return toolbox


def used_engines(config: Config) -> set[str]:
    """The names of the engines of the agents that take calls."""
    agents = [config.agents[agent] for line in config.lines for agent in config.agents_of(line)]
    return {name for agent in agents for name in (agent.engine, *agent.continuity.engines)}


def make_engines(config: Config, urls: Mapping[str, str]) -> dict[str, Engine]:
    """Those engines.

    :param urls: of the embedded model by the protocol, where an engine is it.
    """
    used = used_engines(config)
    return {
        name: make_engine(engine, url=urls[engine.spoken.protocol] if engine.is_embedded else None)
        for name, engine in config.engines.items()
        if name in used
    }


async def numeric(host: str | None) -> str | None:
    """The address of a host that may be given by name.

    :raises SipagentError: when it has none.
    """
    if host is None:
        return None
    address = await look_up(host)
    if address is None:
        raise SipagentError(f"external_address {host}: there is no such host")
    return address
