"""From what the file says of lines and engines to what the machines take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import ip_network
from random import Random
from uuid import NAMESPACE_URL, getnode, uuid5

from sipagent.agent.agent import Agent
from sipagent.agent.builtin import TRANSFER
from sipagent.agent.hours import Hours
from sipagent.agent.routing import Route
from sipagent.agents import (
    make_budget,
    make_conversation,
    make_privacy,
    make_profile,
    make_silence,
    make_tools,
    read_knowledge,
)
from sipagent.aio.engine import Engine
from sipagent.aio.line import Companion, Line
from sipagent.audio.clip import Clip
from sipagent.audio.codecs import available_codecs
from sipagent.call.settings import CallSettings
from sipagent.call.transfer import TransferSettings
from sipagent.call.watchdog import DeadAirSettings
from sipagent.config import Config
from sipagent.config.agent_settings import HoursConfig, RouteConfig
from sipagent.config.settings import AgentConfig, LineConfig
from sipagent.config.values import Server
from sipagent.errors import RemoteProtocolError, SipagentError
from sipagent.outages import make_continuity, make_farewell
from sipagent.sdk import load_sdk_agents
from sipagent.sdp.negotiation import DEFAULT_CODECS
from sipagent.sip.account import Account
from sipagent.sip.digest import Credentials
from sipagent.sip.guard import GuardSettings, Rule
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.sources import network_of
from sipagent.sip.targets import DEFAULT_DENY, Targets
from sipagent.sip.uri import NO_PARAMETERS, Parameters, Uri
from sipagent.toolbox import Toolbox

LOOPBACK = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
"""This machine."""

PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"))
)
"""Networks that the Internet does not reach."""

BURST_S, TOTAL_BURST_S = 5.0, 2.0
"""What one stranger, or all of them, may send in so many seconds may come at once: an office that wakes up."""

CONTACT_BYTES = 9
"""Of the part of a Contact that nobody can guess."""


def make_accounts(config: Config, outsides: Mapping[str, str | None] | None = None) -> list[Account]:
    """Who we are toward each PBX and trunk: one for every line with a domain.

    :param outsides: the external addresses of lines that have their own, numeric, by the line's name.
    """
    known = outsides or {}
    return [make_account(line, known.get(line.name)) for line in config.lines if line.domain is not None]


def make_account(line: LineConfig, external_address: str | None = None) -> Account:
    """Who we are on a line.

    :param external_address: the line's own, numeric.
    :raises SipagentError: for a line without a domain.
    """
    if line.domain is None:
        raise SipagentError(f"line {line.name} has no domain to call through")
    user = line.user or "agent"
    servers = line.registrars or (line.domain,)
    password = line.password.reveal()
    instance = uuid5(NAMESPACE_URL, f"sipagent:{getnode():x}/{line.name}/{user}@{line.domain}")
    token = blake2b(instance.bytes, digest_size=CONTACT_BYTES, key=password.encode()[:64]).hexdigest()
    return Account(
        name=line.name,
        address=_uri(line.domain, user=user),
        contact_user=f"{user}-{token}",
        display_name=line.caller_id,
        credentials=Credentials(line.auth_user or user, password, line.realm) if password else None,
        registrars=tuple(_uri(server, transport=line.transport) for server in servers) if line.registers else (),
        transport=line.transport,
        outbound_proxy=_uri(line.outbound_proxy, transport=line.transport) if line.outbound_proxy else None,
        instance=instance.urn,
        expires_s=line.expires_s,
        external_address=external_address,
        keep_alive=line.keep_alive,
        keep_alive_s=line.keep_alive_s,
        ring_limit_s=line.ring_limit_s,
        redirects=line.redirects,
        may_call=make_targets(line, line.allow_out).allows,
        session_timer=SessionTimerSettings(line.session_timer, line.session_expires_s, line.session_min_s),
        keys=line.dtmf,
        is_anonymous=line.anonymous,
    )


def usable_codecs(line: LineConfig) -> tuple[str, ...]:
    """The codecs of a line that can be made here; those asked for by name must be among them.

    :raises SipagentError: for one whose package is missing.
    """
    available = available_codecs()
    missing = [codec for codec in line.codecs if codec not in available]
    if missing and line.codecs != DEFAULT_CODECS:
        extra = missing[0].lower()
        raise SipagentError(f"line {line.name}: {missing[0]} needs a package: pip install 'sipagent[{extra}]'")
    return tuple(codec for codec in line.codecs if codec in available)


def make_targets(line: LineConfig, allow: Sequence[str]) -> Targets:
    """Whom a line may call or transfer to.

    :param allow: the line's ``allow_out`` or ``allow_transfer``.
    """
    servers = [server for server in (line.domain, line.outbound_proxy, *line.registrars) if server is not None]
    return Targets(
        [server.host for server in servers],
        allow=allow,
        deny=line.deny if line.allow_premium else (*DEFAULT_DENY, *line.deny),
        country=line.country,
        international_prefix="011" if line.country == "1" else "00",
    )


def make_guard(config: Config, *, trusts_itself: bool = False) -> GuardSettings:
    """Who may call.

    :param trusts_itself: whether calls of this machine itself are taken whatever the lines say.
    """
    rules = [_make_rule(line) for line in config.lines]
    if trusts_itself:
        rules.append(Rule(line=config.lines[0].name, networks=LOOPBACK))
    safety = config.sip.safety
    return GuardSettings(
        rules=tuple(rules),
        realm=safety.realm,
        strangers=safety.strangers,
        scanners=safety.scanners,
        rate_per_s=safety.rate,
        rate_burst=round(BURST_S * safety.rate),
        strangers_per_s=safety.total_rate,
        strangers_burst=round(TOTAL_BURST_S * safety.total_rate),
        ban_after=safety.ban_after,
        ban_window_s=safety.ban_window_s,
        ban_s=safety.ban_s,
        pins_source=safety.pin_source,
    )


def _make_rule(line: LineConfig) -> Rule:
    """Who may call a line: its peers, by default those of our own networks, its PBX, and callers with a password.

    A caller whose password is empty is none. The Contact opens the door only where a secret went into it.
    """
    servers = [server for server in (line.domain, line.outbound_proxy, *line.registrars) if server is not None]
    pbx = [network for server in servers if (network := network_of(server.host)) is not None]
    peers = [peer.value for peer in line.peers]
    nearby = () if peers or line.callers else (*LOOPBACK, *PRIVATE)
    return Rule(
        line=line.name,
        networks=(*pbx, *peers, *nearby),
        users={name: password.reveal() for name, password in line.callers.items() if password},
        contact_user=make_account(line).contact_user if line.domain is not None and line.password else "",
    )


def parse_target(text: str, *, domain: Uri | None = None) -> Uri:
    """Read a SIP URI; ``sip:`` may be left out, and where a domain is given so may that.

    :raises SipagentError: when it is none.
    """
    uri = text if text.partition(":")[0].lower() in ("sip", "sips", "tel") else f"sip:{text}"
    try:
        if domain is not None and "@" not in uri and uri.startswith("sip:"):
            return replace(domain, user=Uri.parse(f"{uri}@host").user)
        return Uri.parse(uri)
    except RemoteProtocolError as error:
        raise SipagentError(f"{text!r} is no SIP URI, such as sip:agent@127.0.0.1: {error}") from error


@dataclass(frozen=True, slots=True)
class Supplies:
    """What lines are made of besides what the file says."""

    engines: Mapping[str, Engine]
    agents: Mapping[str, Agent]
    toolbox: Toolbox
    spoken: Mapping[str, Clip]
    companions: Mapping[str, Companion]


def make_lines(
    config: Config,
    engines: Mapping[str, Engine],
    outsides: Mapping[str, str | None] | None = None,
    *,
    agents: Mapping[str, Agent] | None = None,
    toolbox: Toolbox | None = None,
    spoken: Mapping[str, Clip] | None = None,
) -> dict[str, Line]:
    """What becomes of the calls of each line.

    :param outsides: as :func:`make_accounts` takes them.
    :param engines: where the model of each engine is.
    :param agents: those written in Python, by their names.
    :param toolbox: has the tools; not given: one whose MCP servers are never started.
    :param spoken: what agents say without a model, by its words.
    :raises SipagentError: when a tool or a file can't be loaded.
    """
    known = outsides or {}
    box = toolbox or Toolbox(config, random=Random(), report=_report_nothing)
    loaded = load_sdk_agents(config)
    python = {**(agents or {}), **{name: each.agent for name, each in loaded.items()}}
    supplies = Supplies(engines, python, box, spoken or {}, loaded)
    made = {line.name: _make_line(config, line, supplies) for line in config.lines}
    return {name: replace(line, external_address=known.get(name)) for name, line in made.items()}


def _make_line(config: Config, line: LineConfig, supplies: Supplies) -> Line:
    """The line with its own agent, and the same with each that its routes lead to, or to whom calls are handed over."""
    made: dict[str, Line] = {}
    for name in config.agents_of(line):
        own = _make_line_of(name, config, line, supplies)
        made[name] = replace(own, others=made, companion=supplies.companions.get(name))
    routes = [_make_route(each, config) for each in line.routes]
    return replace(made[line.agent], routes=tuple((route, made.get(route.agent)) for route in routes))


def _report_nothing(name: str, error: BaseException) -> None:
    raise LookupError(f"{name} is not started, so nothing can be wrong with it") from error


def _make_route(route: RouteConfig, config: Config) -> Route:
    when = route.hours
    return Route(
        agent=route.agent or "",
        called=route.called,
        caller=route.caller,
        headers=route.header,
        hours=_make_hours(config.hours[when.name], config) if when is not None else None,
        is_outside=when is not None and when.is_outside,
        reject=route.reject,
    )


def _make_hours(hours: HoursConfig, config: Config) -> Hours:
    zone = hours.timezone or config.timezone
    return Hours(hours.open, hours.holidays, zone.info if zone is not None else None)


def _make_line_of(name: str, config: Config, line: LineConfig, supplies: Supplies) -> Line:
    agent, engines, python = config.agents[name], supplies.engines, supplies.agents.get(name)
    toolbox = supplies.toolbox
    knowledge = read_knowledge(agent)
    tools = make_tools(name, config, knowledge, python, toolbox=toolbox)
    call = CallSettings(
        conversation=replace(
            make_conversation(agent, config.engines[agent.engine], tools),
            continuity=make_continuity(agent, config, tools),
        ),
        max_call_s=agent.max_call_s,
        warn_s=agent.warn_s,
        budget=make_budget(agent, config.engines[agent.engine]),
        silence=make_silence(agent),
        dead_air=DeadAirSettings(line.dead_air.warn_s, line.dead_air.probe_s, line.dead_air.hang_up_s),
        records=agent.record,
        recording_tone=agent.record_tone,
        hears_keys=line.dtmf_in_band,
        farewell=make_farewell(agent, supplies.spoken, _make_referral(agent, line)),
        privacy=make_privacy(name, config),
        transfer=_make_transfer(agent, line, is_tool=TRANSFER in map(str, agent.tools)),
    )
    return Line(
        codecs=usable_codecs(line),
        call=call,
        engine=engines[agent.engine],
        substitutes=tuple(engines[each] for each in agent.continuity.engines),
        tools=tools.own,
        agent=name,
        sources=tools.sources,
        approval=toolbox.approval,
        keys_in_rtp=line.dtmf != "info",
        account=None if line.domain is None else line.name,
        transfers=make_targets(line, line.allow_transfer),
        profile=make_profile(agent, knowledge, python),
        hand_over=agent.hand_over,
        srtp=line.srtp,
    )


def _make_referral(agent: AgentConfig, line: LineConfig) -> Uri | None:
    """Where callers of a line go for whom there is no model; a number is at the line's own domain."""
    text = agent.continuity.refer_to
    domain = None if line.domain is None else make_account(line).address
    return None if text is None else parse_target(text, domain=domain)


def _make_transfer(agent: AgentConfig, line: LineConfig, *, is_tool: bool) -> TransferSettings:
    """Where an agent, or the program for it, may hand on the calls of a line; a number is at the line's own domain."""
    domain = None if line.domain is None else make_account(line).address
    settings = agent.transfer
    return TransferSettings(
        destinations={name: parse_target(text, domain=domain) for name, text in settings.destinations.items()},
        numbers_at=domain if settings.allow_any else None,
        targets=make_targets(line, line.allow_transfer),
        limit_s=settings.limit_s,
        is_tool=is_tool,
    )


def open_keys(config: Config) -> list[str]:
    """The lines whose SRTP keys travel where anybody on the way can read them: in signalling without TLS."""
    hides_ours = any(listener.is_secure for listener in config.sip.listen)
    hidden = {
        line.name: hides_ours if line.domain is None else line.transport in ("tls", "wss") for line in config.lines
    }
    return [line.name for line in config.lines if line.srtp != "off" and not hidden[line.name]]


def _uri(server: Server, *, user: str | None = None, transport: str | None = None) -> Uri:
    """The URI of a server; a transport of TLS is written as such, for DNS may know better when there is none."""
    parameters = NO_PARAMETERS if transport is None else Parameters([("transport", transport)])
    return Uri("sip", user, None, server.host, server.port, parameters)
