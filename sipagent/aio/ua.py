"""The shell of the user agent: its sockets, its driver, and the address that each peer sees of us."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from time import monotonic

from sipagent.aio.dns import Resolver
from sipagent.aio.driver import Driver
from sipagent.aio.routes import Routes
from sipagent.aio.stream import STREAMS, Streams, free_port
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.tls import Tls
from sipagent.aio.udp import SIP_BUFFER, UdpSocket
from sipagent.errors import LocalProtocolError, SipagentError
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.dead_targets import DeadTargets
from sipagent.sip.dialog import is_numeric
from sipagent.sip.events import (
    Address,
    AddressSeen,
    Event,
    Flow,
    FlowDead,
    Locate,
    Ping,
    Registered,
    TargetFailed,
    Transmit,
)
from sipagent.sip.locate import Answer, Family, Location, Query
from sipagent.sip.message import MessageError
from sipagent.sip.nat import View
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

MARKS: dict[Family, str] = {"AAAA": ":", "A": "."}
"""How an address of a family is known. IPv6 comes first, as it has no NAT (:rfc:`7984`)."""

NO_WAY = "there is no way to any of its addresses"

LOOK_S = 5.0
"""Between two looks at the routes to registrars: so long may a change of our own address go unnoticed."""

RETELL_S = 30.0
"""Between two times that an account tells its registrar where it is seen: a NAT may change its mind all day."""

SETTLE_S = 2.0
"""A BYE that got no answer by then was sent three times; its peer is gone."""

SETTLE_STEP_S = 0.02


class SipEndpoint:
    """The user agent on real sockets.

    :param accounts: who we are toward which PBX or trunk.
    :param external_address: what peers beyond our own networks see of us, when a NAT stands between; numeric.
    :param resolver: looks names up, where not as the system does.
    :param tls: our certificates; needed to listen for TLS and WSS.
    :param origins: the web pages whose scripts may connect by WebSocket; none given, all.
    :param on_event: is given every event but :class:`~sipagent.sip.events.Transmit`, in the stack that caused it.
    :param on_crash: is told a bug in the machine; the endpoint goes on.
    """

    def __init__(
        self,
        settings: UserAgentSettings,
        accounts: Collection[Account] = (),
        *,
        on_event: Callable[[Event], None],
        on_crash: Callable[[Exception], None],
        random: Random,
        external_address: str | None = None,
        resolver: Resolver | None = None,
        tls: Tls | None = None,
        origins: Iterable[str] = (),
    ) -> None:
        self.agent = UserAgent(settings, accounts, random=random)
        self._driver: Driver[Event] = Driver(self.agent, carry=self._carry, crashed=on_crash)
        self._on_event = on_event
        self._udp: list[UdpSocket] = []
        self._streams = Streams(
            received=self._receive_message,
            malformed=self._receive_malformed,
            failed=self._transport_failed,
            ponged=self._receive_pong,
            admits=self._admits,
            tls=tls,
            origins=origins,
        )
        self._listeners: list[tuple[str, Address]] = []
        self._own_ports: dict[str, int] = {}
        self._hosts: list[str] = []
        self._routes = Routes(external_address)
        self._resolver = resolver or Resolver(random=random)
        self._dead = DeadTargets()
        self._homes = frozenset(home for account in accounts for home in _homes(account))
        self._retold: dict[str, float] = {}
        self._stun: Uri | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.moot_commands = 0
        """Commands that came too late, because the dialog ended in the same moment."""

    async def listen(self, transport: str, address: Address) -> Address:
        """Open a listener; return the address that it got.

        :raises OSError: when the address can't be bound.
        :raises SipagentError: when there is no certificate to listen with.
        """
        if transport != "UDP":
            got = await self._streams.listen(transport, address)
            self._listeners.append((transport, got))
            self._hosts.append(got[0])
            return got
        listener: list[UdpSocket] = []
        udp = UdpSocket(
            address, lambda data, source: self._receive_datagram(listener[0], data, source), buffer=SIP_BUFFER
        )
        listener.append(udp)
        self._udp.append(udp)
        self._hosts.append(udp.address[0])
        return udp.address

    def watch(self, *, stun: Uri | None = None) -> None:
        """From now on notice when our address changes: the one that we have, and the one that others see.

        It takes listeners to be seen from, so they come first.

        :param stun: host and port of a server that says how it sees us.
        """
        self._stun = stun
        self._discover()
        self._look()

    def command(self, method: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call a method of the user agent's with the time; one that the dialog's end made moot is counted."""
        self._driver.feed(partial(self._try, partial(method, *args, **kwargs)))

    def flow_to(self, transport: str, remote: Address) -> Flow:
        """A flow to a peer, with the address that it sees of us.

        :raises OSError: when there is no route, no such transport, or no socket for UDP.
        """
        if transport in STREAMS:
            return Flow(transport, remote, self._routes.toward(remote, self._stream_port(transport, remote)))
        if transport == "UDP" and self._udp_to(remote):
            return Flow("UDP", remote, self._routes.toward(remote, self._udp_to(remote)[0].address[1]))
        raise OSError(f"no listener for {transport}")

    async def find_flow(self, uri: Uri) -> Flow:
        """The way that a request to this URI would go first.

        :raises SipagentError: when there is none.
        """
        found: asyncio.Future[Location] = asyncio.get_running_loop().create_future()

        def located(location: Location) -> None:
            if not found.done():
                found.set_result(location)

        self._resolver.locate(uri, transports=self.transports, families=self._families(), located=located)
        location = await found
        targets = self._targets_of(location)
        if not targets:
            raise SipagentError(f"no way to {uri}: {location.reason or NO_WAY}")
        return targets[0]

    def address_toward(self, remote: Address) -> str:
        """Our address as ``remote`` sees it.

        :raises OSError: when there is no route.
        """
        return self._routes.toward(remote, 0)[0]

    @property
    def transports(self) -> frozenset[str]:
        """Those by which we can send requests: answers come over the connection, or to a socket for UDP."""
        return STREAMS | {"UDP"} if self._udp else STREAMS

    @property
    def counters(self) -> dict[str, int]:
        """What the sockets counted."""
        return {
            "moot_commands": self.moot_commands,
            "connections_refused": self._streams.refused,
            "handshakes_failed": self._streams.broken,
            "udp_unsent": sum(udp.unsent for udp in self._udp),
        }

    async def settle(self) -> None:
        """Wait until every goodbye is answered, as long as a peer that is there takes to answer."""
        with suppress(TimeoutError):
            async with TimeLimit(SETTLE_S):
                while not self.agent.is_idle:  # noqa: ASYNC110 - the machine tells nobody that it is idle; this is the end
                    await asyncio.sleep(SETTLE_STEP_S)

    async def close(self) -> None:
        """Close every socket."""
        self._driver.close()
        if self._watch is not None:
            self._watch.cancel()
        self._resolver.close()
        for udp in self._udp:
            udp.close()
        await self._streams.close()

    # In

    def _receive_datagram(self, udp: UdpSocket, data: bytes, source: Address) -> None:
        if not self.agent.admits(source, now=monotonic()):
            return
        try:
            local = self._routes.toward(source, udp.address[1])
        except OSError:
            return  # there is no way back to that source, so there is nobody to answer
        self._driver.feed(partial(self.agent.receive_datagram, data, Flow("UDP", source, local)))

    def _admits(self, flow: Flow) -> bool:
        """Whether a connection from there is to be taken in, or one more message of it to be read."""
        return self.agent.admits(flow.remote, now=monotonic())

    def _receive_message(self, data: bytes, flow: Flow) -> None:
        if self._admits(flow):
            self._driver.feed(partial(self.agent.receive_message, data, self._as_seen(flow)))

    def _receive_malformed(self, error: MessageError, flow: Flow) -> None:
        if self._admits(flow):
            self._driver.feed(partial(self.agent.receive_malformed, error, self._as_seen(flow)))

    def _as_seen(self, flow: Flow) -> Flow:
        """The flow of a connection, its end here the address at which the peer could open another."""
        ports = self._ports_for(flow.transport, flow.remote)
        port = flow.local[1] if flow.local else 0
        if ports and port not in ports:
            port = ports[0]
        try:
            return replace(flow, local=self._routes.toward(flow.remote, port))
        except OSError:
            return flow

    def _receive_pong(self, flow: Flow) -> None:
        self._driver.feed(partial(self.agent.receive_pong, flow))

    def _transport_failed(self, flow: Flow) -> None:
        self._driver.feed(partial(self.agent.transport_failed, flow))

    def _look(self) -> None:
        """See whether our way to a registrar has changed; connections of the old address lead nowhere."""
        changed = self._routes.look()
        for flow in self._streams.flows:
            if flow.remote[0] in changed:
                self._streams.drop(flow)
        if changed:
            self._discover()
            self._renew()
        self._watch = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _discover(self) -> None:
        if self._stun is not None and self._udp:
            self.command(self.agent.discover, self._stun)

    def _learn(self, registered: Registered) -> None:
        """A registrar saw us; if it was told another address than that, it is told anew."""
        flow, seen_as = registered.flow, registered.seen_as
        if flow is None or seen_as is None:
            return
        self._routes.learn(flow.remote[0], View(seen_as, None if flow.reliable else self._udp_for(flow).address[1]))
        now = monotonic()
        if self._flow_again(flow) != flow and now >= self._retold.get(registered.account, -inf) + RETELL_S:
            self._retold[registered.account] = now
            self.command(self.agent.register, registered.account)

    def _flow_again(self, flow: Flow) -> Flow:
        """The same flow as we would make it now."""
        try:
            return self.flow_to(flow.transport, flow.remote)
        except OSError:
            return flow

    def _renew(self) -> None:
        """Let the registrars know our new address."""
        self.command(self.agent.address_changed)

    def _try(self, command: Callable[..., object], *, now: float) -> None:
        try:
            command(now=now)
        except LocalProtocolError:
            self.moot_commands += 1

    # Out

    def _carry(self, event: Event) -> None:
        match event:
            case Transmit(data, flow):
                self._send(data, flow)
            case Locate(query, uri):
                located = partial(self._located, query, uri)
                self._resolver.locate(uri, transports=self.transports, families=self._families(), located=located)
            case TargetFailed(flow):
                self._dead.add(flow, now=monotonic())
            case Ping(flow):
                if not self._streams.ping(flow):
                    self._transport_failed(flow)
            case FlowDead(flow):
                self._streams.drop(flow)
            case AddressSeen(mapped, flow):
                if self._routes.discover(mapped, flow.remote, self._udp_for(flow).address[1]):
                    self._on_event(event)
                    self._renew()
            case Registered():
                self._learn(event)
                self._on_event(event)
            case _:
                self._on_event(event)

    def _located(self, query: int, uri: Uri, location: Location) -> None:
        targets = self._targets_of(location)
        if uri in self._homes and targets:
            self._routes.watch(targets[0].remote[0])
        reason = "" if targets else location.reason or NO_WAY
        self._driver.feed(partial(self.agent.located, query, targets, reason=reason))

    def _targets_of(self, location: Location) -> list[Flow]:
        return self._dead.put_last(list(self._reach(location.targets)), now=monotonic())

    def _reach(self, targets: Iterable[Flow]) -> Iterator[Flow]:
        """Those of the targets to which there is a route, with our address toward them."""
        for target in targets:
            with suppress(OSError):
                flow = self.flow_to(target.transport, target.remote)
                yield replace(flow, name=target.name)

    def _families(self) -> list[Family]:
        """Those in which we listen, and then those in which we could at least open a connection."""
        ours: list[Family] = [family for family, mark in MARKS.items() if any(mark in host for host in self._hosts)]
        return ours + [family for family in MARKS if family not in ours and self._routes.leads_out(family)]

    def _send(self, data: bytes, flow: Flow) -> None:
        if not is_numeric(flow.remote[0]):
            is_ipv6 = flow.local is not None and ":" in flow.local[0]
            query = Query(flow.remote[0].lower(), "AAAA" if is_ipv6 else "A")
            self._resolver.ask(query, partial(self._send_to, data, flow))
        elif flow.transport in STREAMS:
            self._streams.send(data, flow)
        elif flow.transport == "UDP" and self._udp_to(flow.remote):
            self._udp_for(flow).send(data, flow.remote)
        else:
            self._transport_failed(flow)  # for UDP, on which we don't listen there, or a transport that we don't know

    def _send_to(self, data: bytes, flow: Flow, answer: Answer) -> None:
        if answer.records:
            name = flow.name or flow.remote[0]
            self._send(data, replace(flow, remote=(str(answer.records[0]), flow.remote[1]), name=name))
        else:
            self._transport_failed(flow)

    def _stream_port(self, transport: str, remote: Address) -> int:
        """Where the peer could reach us: at a listener, else at the port that connections of ours will come from."""
        ports = self._ports_for(transport, remote)
        if ports:
            return ports[0]
        if transport not in self._own_ports:
            self._own_ports[transport] = free_port()
        return self._own_ports[transport]

    def _ports_for(self, transport: str, remote: Address) -> list[int]:
        """The ports at which we listen for a transport, by IPv4 or IPv6 as the peer has it."""
        return [
            address[1]
            for listening, address in self._listeners
            if listening == transport and (":" in address[0]) == (":" in remote[0])
        ]

    def _udp_to(self, remote: Address) -> list[UdpSocket]:
        """Our sockets of the family of a peer."""
        return [udp for udp in self._udp if (":" in udp.address[0]) == (":" in remote[0])]

    def _udp_for(self, flow: Flow) -> UdpSocket:
        """The listener that the peer knows, so that requests and responses use one port."""
        candidates = self._udp_to(flow.remote)
        if len(candidates) == 1 or flow.local is None:
            return candidates[0]
        known = [udp for udp in candidates if self._looks_like(udp, flow)]
        return next((udp for udp in known if udp.address == flow.local), (known or candidates)[0])

    def _looks_like(self, udp: UdpSocket, flow: Flow) -> bool:
        try:
            return self._routes.toward(flow.remote, udp.address[1]) == flow.local
        except OSError:
            return udp.address == flow.local


def _homes(account: Account) -> tuple[Uri, ...]:
    """Where the registrations of an account go."""
    return account.registrars if account.outbound_proxy is None else (account.outbound_proxy,)
