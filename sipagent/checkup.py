"""``sipagent check``: is the file right, are the ports free, does the model answer, and what will callers see of us?"""

import asyncio
import socket
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import SystemRandom
from time import time
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from sipagent.agent.knowledge import Document
from sipagent.agents import make_session, read_knowledge
from sipagent.aio.driver import Driver
from sipagent.aio.engine import Engine
from sipagent.aio.tls import Tls, expires_at
from sipagent.aio.websocket import WebSocket
from sipagent.app import address_of_ours
from sipagent.call.session_factory import make_session as open_session
from sipagent.compiled import is_compiled
from sipagent.config import Config, load
from sipagent.config.engine import LOCAL, EngineConfig
from sipagent.config.settings import AgentConfig
from sipagent.engines import make_engine
from sipagent.errors import ConfigError, SipagentError
from sipagent.line_checkup import check_lines
from sipagent.realtime import events
from sipagent.realtime.settings import SessionSettings
from sipagent.toolbox import Toolbox


class Checkup:
    """Prints one line a question; remembers whether all are well."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.is_well = True

    def good(self, text: str) -> None:
        """It is as it should be."""
        self._print("[green]ok[/green]   ", text)

    def bad(self, text: str) -> None:
        """It is not."""
        self.is_well = False
        self._print("[red]wrong[/red]", text)

    def note(self, text: str) -> None:
        """Somebody should know."""
        self._print("     ", text)

    def _print(self, mark: str, text: str) -> None:
        """A line stays a line, and what it says is text, whoever wrote it."""
        self._console.print(f"{mark} {escape(text)}", soft_wrap=True, highlight=False)


async def run_checkup(path: Path, *, console: Console) -> bool:
    """Look into everything; return whether all is well."""
    checkup = Checkup(console)
    try:
        config = load(path)
    except ConfigError as error:
        for line in str(error).splitlines():
            checkup.bad(line)
        return False
    checkup.good(f"{path}: {len(config.lines)} line, {len(config.agents)} agents, {len(config.engines)} engines")
    checkup.note(f"what runs for every packet is {'compiled' if is_compiled() else 'interpreted'}")
    tools = await _check_tools(config, checkup)
    _check_ports(config, checkup)
    _check_certificates(config, checkup)
    _check_address(config, checkup)
    await check_lines(config, checkup)
    for name, engine in config.engines.items():
        await _check_engine(name, engine, config, tools, checkup)
    return checkup.is_well


async def _check_tools(config: Config, checkup: Checkup) -> dict[str, list[dict[str, Any]]]:
    """Load the tools of each agent, and start the servers that have some; return those that there are."""
    tools: dict[str, list[dict[str, Any]]] = {name: [] for name in config.agents}
    try:
        toolbox = Toolbox(config, random=SystemRandom(), report=lambda name, error: checkup.bad(f"{name}: {error!r}"))
    except SipagentError as error:
        checkup.bad(str(error))
        return tools
    try:
        await toolbox.open()
        for name, agent in config.agents.items():
            tools[name] = _check_tools_of(name, agent, toolbox, checkup)
            for document in _check_knowledge(name, agent, checkup):
                checkup.good(f"agent {name}: {document.name}, {len(document.text)} characters")
    finally:
        await toolbox.close()
    return tools


def _check_tools_of(name: str, agent: AgentConfig, toolbox: Toolbox, checkup: Checkup) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    for reference in agent.tools:
        try:
            found = toolbox.tools_of(agent, [reference]).definitions
        except SipagentError as error:
            checkup.bad(f"agent {name}: {error}")
            continue
        tools += found
        for each in found:
            checkup.good(f"agent {name}: tool {each.get('name') or each.get('server_label')}")
    return tools


def _check_knowledge(name: str, agent: AgentConfig, checkup: Checkup) -> list[Document]:
    try:
        return read_knowledge(agent)
    except SipagentError as error:
        checkup.bad(f"agent {name}: {error}")
        return []


def _check_ports(config: Config, checkup: Checkup) -> None:
    for listener in config.sip.listen:
        kind = socket.SOCK_DGRAM if listener.transport == "UDP" else socket.SOCK_STREAM
        _check_port(str(listener), (listener.host, listener.port), kind, checkup)
    control = config.control.listen
    _check_port(f"control port {control}", (control.host, control.port), socket.SOCK_STREAM, checkup)
    pairs = config.rtp.ports.pairs
    if pairs < config.most_calls:
        checkup.bad(f"rtp.ports {config.rtp.ports} has room for {pairs} calls, sip.max_calls is {config.sip.max_calls}")
    else:
        checkup.good(f"rtp.ports {config.rtp.ports}: room for {pairs} calls; open these UDP ports in the firewall")


def _check_certificates(config: Config, checkup: Checkup) -> None:
    tls = Tls(config.sip.tls)
    try:
        if any(listener.is_secure for listener in config.sip.listen):
            tls.server()
        tls.client()
    except SipagentError as error:
        checkup.bad(str(error))
        return
    for file in filter(None, {config.sip.tls.certificate, config.sip.tls.client_certificate}):
        expires = expires_at(file.read_text(encoding="ascii", errors="replace"))
        tell = checkup.bad if expires is not None and expires.timestamp() < time() else checkup.good
        tell(f"certificate {file}: valid until {expires or 'nobody knows when'}")


def _check_port(name: str, address: tuple[str, int], kind: socket.SocketKind, checkup: Checkup) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free to us
        try:
            probe.bind(address)
        except OSError as error:
            checkup.bad(f"{name}: {error.strerror}; is sipagent, or another telephone system, running already?")
        else:
            checkup.good(f"{name} is free")


def _check_address(config: Config, checkup: Checkup) -> None:
    local = address_of_ours()
    seen = config.sip.external_address or local
    checkup.good(f"callers see {seen}: dial sip:agent@{seen}")
    if config.sip.external_address is None and _is_private(local):
        checkup.note("it is a private address; for callers from beyond this network set sip.external_address")


def _is_private(host: str) -> bool:
    return ip_address(host).is_private


async def _check_engine(
    name: str, config: EngineConfig, whole: Config, tools: dict[str, list[dict[str, Any]]], checkup: Checkup
) -> None:
    if config.is_embedded:
        why = (
            "it is the embedded model"
            if config.url == LOCAL
            else "no api_key is set, so the embedded local model answers"
        )
        checkup.good(f"engine {name}: {why}, which knows set phrases")
        return
    host = urlsplit(config.url).hostname or ""
    try:
        await asyncio.get_running_loop().getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:  # the latter for what can't be a name
        checkup.bad(f"engine {name}: no address for {host}: {error}")
        return
    agent = next((one for one in whole.agents if whole.agents[one].engine == name), None)
    settings = (
        make_session(whole.agents[agent], config, tuple(tools[agent]))
        if agent
        else SessionSettings(config.model, dialect=config.spoken)
    )
    failure = await _try_engine(make_engine(config), settings)
    if failure is None:
        checkup.good(f"engine {name}: {host} answers, and takes our session with {config.model}")
    else:
        checkup.bad(f"engine {name}: {failure}")


async def _try_engine(engine: Engine, settings: SessionSettings) -> str | None:
    """Set a session up; return what is wrong."""
    over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    session = open_session(settings, audio_format=settings.audio_format, random=SystemRandom())

    def finish(result: str | None) -> None:
        if not over.done():
            over.set_result(result)

    def carry(output: events.Output) -> None:
        match output:
            case events.Send(data):
                connection.send(data)
            case events.SessionReady():
                finish(None)
            case events.SessionFailed(_, _, message):
                finish(message)

    driver: Driver[events.Output] = Driver(session, carry=carry, crashed=lambda error: finish(repr(error)))
    connection = WebSocket(
        opened=lambda: driver.feed(session.open),
        received=lambda data: driver.feed(partial(session.receive_text, data)),
        lost=lambda code, reason: driver.feed(partial(session.connection_lost, code, reason)),
    )
    await connection.connect(engine.url, engine.headers, timeout_s=engine.connect_timeout_s, tls=engine.tls)
    failure = await over
    driver.close()
    connection.close()
    return failure
