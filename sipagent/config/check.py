"""Whether settings that are fine one by one agree with each other.

Names are looked up in the tree, so that a wrong one is told along with whatever else is wrong in the file; the rest
waits until every single setting could be read.
"""

import os
from collections.abc import Iterable
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from sipagent.agent.builtin import TRANSFER
from sipagent.audio import silero
from sipagent.config.decode import suggest
from sipagent.config.document import Node, Reader
from sipagent.config.engine import EngineConfig
from sipagent.config.sdk_checks import problems_of_agents
from sipagent.config.settings import AgentConfig, Config, LineConfig, SipConfig
from sipagent.config.tool_checks import names_of_tools, problems_of
from sipagent.errors import RemoteProtocolError
from sipagent.formats import PCM_RATES
from sipagent.rtp import srtp
from sipagent.sip.uri import Uri

LIVE_RATES = (16_000, 24_000)
"""Hz, of linear samples (realtime-api.md, section 9)."""

Path = tuple[str | int, ...]


def check(root: Node, config: Config | None, reader: Reader) -> None:
    """Report every disagreement; ``config`` is ``None`` when the tree could not be decoded."""
    _check_names(root, reader)
    if config is None:
        return
    for name, engine in config.engines.items():
        _check_engine(root, name, engine, reader)
    callers: dict[str, str] = {}
    for name in config.agents:
        _check_hand_over(root, name, config, reader)
        _check_transfer(root, name, config, reader)
        _check_greeting(root, name, config.agents[name], reader)
        _check_vad(root, name, config.agents[name], reader)
        _check_continuity(root, name, config, reader)
    for number, line in enumerate(config.lines):
        _check_line(root, number, line, reader)
        _check_routes(root, number, config, reader)
        for name in line.callers:
            if callers.setdefault(name, line.name) != line.name:
                _report(root, ("lines", number, "callers", name), f"a caller of line {callers[name]}, too", reader)
    if len({listener.socket for listener in config.sip.listen}) < len(config.sip.listen):
        _report(root, ("sip", "listen"), "the same address twice", reader)
    for path, message in (*problems_of(config), *problems_of_agents(config)):
        _report(root, path, message, reader)
    _check_tls(root, config.sip, reader)
    if config.worker_count > 1 and not hasattr(os, "fork"):
        _report(root, ("workers",), "more than one needs a system whose processes can fork", reader)
    if config.rtp.ports.pairs < config.most_calls:
        message = f"room for {config.rtp.ports.pairs} calls, two ports each; sip.max_calls is {config.sip.max_calls}"
        _report(root, ("rtp", "ports"), message, reader)


def _check_engine(root: Node, name: str, engine: EngineConfig, reader: Reader) -> None:
    """Where it is and what it is called must be known, from the file or from its dialect."""
    for key in ("url", "model"):
        if not getattr(engine, key):
            _report(root, ("engines", name, key), f"missing; dialect {engine.dialect} has none of its own", reader)
    if engine.url and not _is_model_url(engine.url):
        _report(root, ("engines", name, "url"), "expected local, or an address after wss:// or ws://", reader)
    rates = LIVE_RATES if engine.dialect == "live" else PCM_RATES
    if engine.rate not in rates:
        _report(root, ("engines", name, "rate"), f"expected one of {', '.join(map(str, rates))}", reader)


def _check_tls(root: Node, sip: SipConfig, reader: Reader) -> None:
    """Files that must be there, and those that need each other."""
    tls = sip.tls
    for key in ("certificate", "key", "ca", "client_certificate", "client_key"):
        file = getattr(tls, key)
        if file is not None and not file.is_file():
            _report(root, ("sip", "tls", key), f"there is no file {file}", reader)
    secure = next((listener for listener in sip.listen if listener.is_secure), None)
    if secure is not None and tls.certificate is None:
        _report(root, ("sip", "tls", "certificate"), f"missing; {secure} needs one", reader)
    for key, certificate in (("key", "certificate"), ("client_key", "client_certificate")):
        if getattr(tls, key) is not None and getattr(tls, certificate) is None:
            _report(root, ("sip", "tls", key), f"it needs the {certificate} beside it", reader)
    if tls.require_client_certificate and tls.ca is None:
        message = "it needs the ca beside it: whoever the whole world vouches for is nobody in particular"
        _report(root, ("sip", "tls", "require_client_certificate"), message, reader)


def _check_line(root: Node, number: int, line: LineConfig, reader: Reader) -> None:
    """What belongs together must come together."""
    if line.domain is None:
        for key in ("user", "password", "auth_user", "realm", "registrars", "outbound_proxy", "external_address"):
            if getattr(line, key):
                _report(root, ("lines", number, key), "it needs the domain beside it", reader)
    elif line.user is None and line.registrars:
        _report(root, ("lines", number, "registrars"), "to register, the line needs a user", reader)
    if line.srtp != "off" and not srtp.is_available:
        _report(root, ("lines", number, "srtp"), srtp.MISSING, reader)


def _check_greeting(root: Node, name: str, agent: AgentConfig, reader: Reader) -> None:
    """What can't be said is not told to be said."""
    is_recorded = agent.greeting_by.file is not None
    if is_recorded and agent.greeting is None:
        _report(root, ("agents", name, "greeting_by"), "it needs its words beside it, as greeting", reader)
    if is_recorded and agent.announcement is not None and agent.announcement.file is None:
        _report(root, ("agents", name, "announcement"), "beside a recorded greeting expected a WAV file, too", reader)


def _check_vad(root: Node, name: str, agent: AgentConfig, reader: Reader) -> None:
    """What needs the model must find it."""
    if agent.turn.vad in ("silero", "fused") and not silero.is_available():
        _report(root, ("agents", name, "turn", "vad"), silero.MISSING, reader)


def _check_transfer(root: Node, name: str, config: Config, reader: Reader) -> None:
    """A destination must lead somewhere from every line whose calls the agent takes."""
    agent = config.agents[name]
    if TRANSFER in map(str, agent.tools) and not (agent.transfer.destinations or agent.transfer.allow_any):
        _report(root, ("agents", name, "tools"), "transfer needs destinations, below transfer", reader)
    lines = [line for line in config.lines if name in config.agents_of(line)]
    has_domain = all(line.domain is not None for line in lines)
    for destination, target in agent.transfer.destinations.items():
        path = ("agents", name, "transfer", "destinations", destination)
        is_uri = target.partition(":")[0].lower() in ("sip", "sips", "tel")
        if not is_uri and not has_domain:
            _report(root, path, "a number is at the domain of the line, and a line of this agent has none", reader)
        try:
            Uri.parse(target if is_uri else f"sip:{target}@host")
        except RemoteProtocolError:
            _report(root, path, "expected a SIP URI or a number", reader)


def _check_continuity(root: Node, name: str, config: Config, reader: Reader) -> None:
    """Who takes over must be somebody, and not the one who failed."""
    agent = config.agents[name]
    settings, path = agent.continuity, ("agents", name, "continuity")
    choices = ("hang_up", "message", *agent.transfer.destinations)
    if settings.then not in choices:
        _report(root, (*path, "then"), f"expected {' or '.join(choices)}", reader)
    for i, engine in enumerate(settings.engines):
        if engine == agent.engine or engine in settings.engines[:i]:
            _report(root, (*path, "engines", i), "an engine that is tried before it", reader)
    if settings.lost_s <= settings.stalled_s:
        _report(root, (*path, "lost_s"), "longer than stalled_s", reader)
    target = settings.refer_to
    if target is None:
        return
    is_uri = target.partition(":")[0].lower() in ("sip", "sips", "tel")
    lines = [line for line in config.lines if name in config.agents_of(line)]
    try:
        Uri.parse(target if is_uri else f"sip:{target}@host")
    except RemoteProtocolError:
        _report(root, (*path, "refer_to"), "expected a SIP URI or a number", reader)
    if not is_uri and not all(line.domain is not None for line in lines):
        message = "a number is at the domain of the line, and a line of this agent has none"
        _report(root, (*path, "refer_to"), message, reader)


def _check_routes(root: Node, number: int, config: Config, reader: Reader) -> None:
    """Each leads to one end, by hours that there are."""
    for i, route in enumerate(config.lines[number].routes):
        path = ("lines", number, "routes", i)
        if (route.agent is None) is (route.reject is None):
            _report(root, path, "expected either an agent or reject, the status of a refusal such as 486", reader)
        if route.hours is not None and route.hours.name not in config.hours:
            hint = suggest(route.hours.name, config.hours) if config.hours else "; there are none, see hours"
            _report(root, (*path, "hours"), f"there are no hours of this name{hint}", reader)


def _check_hand_over(root: Node, name: str, config: Config, reader: Reader) -> None:
    """Who takes over speaks in the same session with the model."""
    for i, other in enumerate(config.agents[name].hand_over):
        path = ("agents", name, "hand_over", i)
        if other == name:
            _report(root, path, "an agent can't hand over to itself", reader)
        elif other in config.agents and config.agents[other].engine != config.agents[name].engine:
            _report(root, path, "it has another engine, and the call stays with the same model", reader)
        elif getattr(config.engines.get(config.agents[name].engine), "dialect", "") == "live":
            _report(root, path, "GPT-Live can't become another agent in the middle of a call", reader)


def _check_names(root: Node, reader: Reader) -> None:
    lines, agents, engines = (_children(root, (key,)) for key in ("lines", "agents", "engines"))
    names: list[object] = []
    for i in lines:
        _check_reference(root, ("lines", i, "agent"), agents, reader)
        for j in _children(root, ("lines", i, "routes")):
            _check_reference(root, ("lines", i, "routes", j, "agent"), agents, reader)
        name = _find(root, ("lines", i, "name"))[0]
        if name is not None and name in names:
            _report(root, ("lines", i, "name"), "the name of an earlier line", reader)
        names.append(name)
    for agent in agents:
        _check_reference(root, ("agents", agent, "engine"), engines, reader)
        for i in _children(root, ("agents", agent, "continuity", "engines")):
            _check_reference(root, ("agents", agent, "continuity", "engines", i), engines, reader, kind="engine")
        for i in _children(root, ("agents", agent, "hand_over")):
            _check_reference(root, ("agents", agent, "hand_over", i), agents, reader, kind="agent")
        _check_tools(root, ("agents", agent, "tools"), reader)


def _check_tools(root: Node, path: Path, reader: Reader) -> None:
    """A tool without a place to import it from is built in, or the file has it."""
    known = names_of_tools(partial(_children, root))
    for i in _children(root, path):
        name, _ = _find(root, (*path, i))
        if isinstance(name, str) and ":" not in name and name not in known:
            _report(root, (*path, i), f"there is no tool of this name{suggest(name, known)}", reader)


def _check_reference(
    root: Node, path: Path, known: Iterable[str | int], reader: Reader, *, kind: str | None = None
) -> None:
    name, _ = _find(root, path)
    names = [str(each) for each in known]
    if isinstance(name, str) and names and name not in names:
        _report(root, path, f"there is no {kind or path[-1]} of this name{suggest(name, names)}", reader)


def _is_model_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return url == "local" or (parts.scheme in {"ws", "wss"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False


def _report(root: Node, path: Path, message: str, reader: Reader) -> None:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    reader.report(text.lstrip("."), _find(root, path)[1], message)


def _children(root: Node, path: Path) -> list[str | int]:
    value, _ = _find(root, path)
    match value:
        case dict():
            return list(value)
        case list():
            return list(range(len(value)))
        case _:
            return []


def _find(node: Node, path: Path) -> tuple[object, int]:
    """Return what stands at ``path`` and its line; if it is absent, ``None`` and the line of the nearest above it."""
    for step in path:
        if step not in _children(node, ()):
            return None, node.line
        child: Node = cast(Any, node.value)[step]
        node = child
    return node.value, node.line
