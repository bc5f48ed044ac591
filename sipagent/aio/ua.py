"""The shell of the user agent: its UDP and TCP sockets, its driver, and the address that each peer sees of us."""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from random import Random
from time import monotonic

from sipagent.aio.driver import Driver
from sipagent.aio.names import Names
from sipagent.aio.stream import Streams
from sipagent.aio.udp import SIP_BUFFER, UdpSocket, local_address_toward
from sipagent.errors import LocalProtocolError, SipagentError
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.dialog import flow_to, is_numeric
from sipagent.sip.events import Address, Event, Flow, Locate, TargetFailed, Transmit
from sipagent.sip.message import MessageError
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

ROUTE_AGE_S = 60.0
"""A route learnt from the kernel is asked for again after that."""

SETTLE_S = 2.0
"""A BYE that got no answer by then was sent three times; its peer is gone."""

SETTLE_STEP_S = 0.02

MAX_ROUTES = 4096
"""Peers whose route is remembered; a flood of spoofed sources costs no more memory than that."""


class SipEndpoint:
    """The user agent on real sockets.

    :param accounts: who we are toward which PBX or trunk.
    :param external_address: what peers beyond our own hosts see of us, when a NAT stands between.
    :param on_event: is given every event but :class:`~sipagent.sip.events.Transmit`, in the stack that caused it.
    :param on_crash: is told a bug in the machine; the endpoint goes on.
    """

    def __init__(
        self,
        settings: UserAgentSettings,
        accounts: Iterable[Account] = (),
        *,
        on_event: Callable[[Event], None],
        on_crash: Callable[[Exception], None],
        random: Random,
        external_address: str | None = None,
    ) -> None:
        self.agent = UserAgent(settings, accounts, random=random)
        self._driver: Driver[Event] = Driver(self.agent, carry=self._carry, crashed=on_crash)
        self._on_event = on_event
        self._external_address = external_address
        self._udp: list[UdpSocket] = []
        self._streams = Streams(
            received=self._receive_message, malformed=self._receive_malformed, failed=self._transport_failed
        )
        self._stream_ports: list[int] = []
        self._routes: dict[str, str] = {}
        self._routes_until = 0.0
        self._names = Names()
        self.moot_commands = 0
        """Commands that came too late, because the dialog ended in the same moment."""

    async def listen(self, transport: str, address: Address) -> Address:
        """Open a listener; return the address that it got.

        :raises OSError: when the address can't be bound.
        """
        if transport == "TCP":
            got = await self._streams.listen(address)
            self._stream_ports.append(got[1])
            return got
        listener: list[UdpSocket] = []
        udp = UdpSocket(
            address, lambda data, source: self._receive_datagram(listener[0], data, source), buffer=SIP_BUFFER
        )
        listener.append(udp)
        self._udp.append(udp)
        return udp.address

    def command(self, method: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Call a method of the user agent's with the time; one that the dialog's end made moot is counted."""
        self._driver.feed(partial(self._try, partial(method, *args, **kwargs)))

    def flow_to(self, transport: str, remote: Address) -> Flow:
        """A flow to a peer, with the address that it sees of us.

        :raises OSError: when there is no route or no listener for the transport.
        """
        if transport == "TCP" and self._stream_ports:
            return Flow("TCP", remote, (self.address_toward(remote), self._stream_ports[0]))
        if transport == "UDP" and self._udp:
            return Flow("UDP", remote, (self.address_toward(remote), self._udp[0].address[1]))
        raise OSError(f"no listener for {transport}")

    async def find_flow(self, uri: Uri) -> Flow:
        """The way that a request to this URI would go first.

        :raises SipagentError: when there is none.
        """
        found: asyncio.Future[Flow | None] = asyncio.get_running_loop().create_future()
        self._locate(uri, lambda flow: None if found.done() else found.set_result(flow))
        flow = await found
        if flow is None:
            raise SipagentError(f"no way to {uri}: no such host, no route, or no listener for its transport")
        return flow

    def address_toward(self, remote: Address) -> str:
        """Our address as ``remote`` sees it.

        :raises OSError: when there is no route.
        """
        now = monotonic()
        if now >= self._routes_until or len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
            self._routes_until = now + ROUTE_AGE_S
        host = remote[0]
        if host not in self._routes:
            local = local_address_toward(remote)
            is_near = local == host or ipaddress.ip_address(local).is_loopback
            self._routes[host] = local if is_near or self._external_address is None else self._external_address
        return self._routes[host]

    @property
    def counters(self) -> dict[str, int]:
        """What the sockets counted."""
        return {
            "moot_commands": self.moot_commands,
            "tcp_refused": self._streams.refused,
            "udp_unsent": sum(udp.unsent for udp in self._udp),
        }

    async def settle(self) -> None:
        """Wait until every goodbye is answered, as long as a peer that is there takes to answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not self.agent.is_idle:  # noqa: ASYNC110 - the machine tells nobody that it is idle; this is the end
                    await asyncio.sleep(SETTLE_STEP_S)

    async def close(self) -> None:
        """Close every socket."""
        self._driver.close()
        self._names.close()
        for udp in self._udp:
            udp.close()
        await self._streams.close()

    # In

    def _receive_datagram(self, udp: UdpSocket, data: bytes, source: Address) -> None:
        try:
            local = (self.address_toward(source), udp.address[1])
        except OSError:
            return  # there is no way back to that source, so there is nobody to answer
        self._driver.feed(partial(self.agent.receive_datagram, data, Flow("UDP", source, local)))

    def _receive_message(self, data: bytes, flow: Flow) -> None:
        self._driver.feed(partial(self.agent.receive_message, data, self._as_seen(flow)))

    def _receive_malformed(self, error: MessageError, flow: Flow) -> None:
        self._driver.feed(partial(self.agent.receive_malformed, error, self._as_seen(flow)))

    def _as_seen(self, flow: Flow) -> Flow:
        """The flow of a connection, its end here the address at which the peer could open another."""
        if not self._stream_ports:
            return flow
        port = flow.local[1] if flow.local and flow.local[1] in self._stream_ports else self._stream_ports[0]
        try:
            return Flow(flow.transport, flow.remote, (self.address_toward(flow.remote), port))
        except OSError:
            return flow

    def _transport_failed(self, flow: Flow) -> None:
        self._driver.feed(partial(self.agent.transport_failed, flow))

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
                self._locate(uri, partial(self._located, query))
            case TargetFailed():
                pass
            case _:
                self._on_event(event)

    def _locate(self, uri: Uri, found: Callable[[Flow | None], None]) -> None:
        flow = flow_to(uri, Flow("UDP", ("", 0)))
        if is_numeric(flow.remote[0]):
            found(self._reach(flow, flow.remote[0]))
        else:
            is_ipv6 = all(":" in udp.address[0] for udp in self._udp)
            self._names.find(flow.remote[0], ipv6=is_ipv6, found=lambda host: found(self._reach(flow, host)))

    def _reach(self, flow: Flow, host: str | None) -> Flow | None:
        try:
            return None if host is None else self.flow_to(flow.transport, (host, flow.remote[1]))
        except OSError:
            return None

    def _located(self, query: int, flow: Flow | None) -> None:
        self._driver.feed(partial(self.agent.located, query, [flow] if flow is not None else []))

    def _send(self, data: bytes, flow: Flow) -> None:
        if not is_numeric(flow.remote[0]):
            is_ipv6 = flow.local is not None and ":" in flow.local[0]
            self._names.find(flow.remote[0], ipv6=is_ipv6, found=partial(self._send_to, data, flow))
        elif flow.transport == "TCP":
            self._streams.send(data, flow)
        elif self._udp:
            self._udp_for(flow).send(data, flow.remote)
        else:
            self._transport_failed(flow)  # it gave us an address for UDP, on which we don't listen

    def _send_to(self, data: bytes, flow: Flow, host: str | None) -> None:
        if host is None:
            self._transport_failed(flow)
        else:
            self._send(data, Flow(flow.transport, (host, flow.remote[1]), flow.local))

    def _udp_for(self, flow: Flow) -> UdpSocket:
        """The listener that the peer knows, so that requests and responses use one port."""
        local, remote = flow.local or ("", 0), flow.remote
        candidates = [udp for udp in self._udp if (":" in udp.address[0]) == (":" in remote[0])] or self._udp
        by_port = [udp for udp in candidates if udp.address[1] == local[1]]
        return next((udp for udp in by_port if udp.address == local), (by_port or candidates)[0])
