"""By which of our addresses the kernel sends to a peer, and how the peer sees that address."""

from collections.abc import Callable
from math import inf
from time import monotonic

from sipagent.aio.udp import local_address_toward
from sipagent.sip.events import Address
from sipagent.sip.locate import Family
from sipagent.sip.nat import Outside, View

ROUTE_AGE_S = 60.0
"""A route learnt from the kernel is asked for again after that."""

MAX_ROUTES = 4_096
"""Peers whose route is remembered; a flood of spoofed sources costs no more memory than that."""

DISCARD = 9
"""A port to ask the kernel for a route with; nothing is sent there."""

SOMEWHERE: dict[Family, str] = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}
"""Addresses of nobody (:rfc:`5737`, :rfc:`3849`): they only ask the kernel for a way out."""

MAX_WATCHED = 64
"""Peers whose route is watched: registrars and proxies."""


class Routes:
    """The routes to peers, remembered for a while.

    :param external_address: what peers beyond our own networks see of us, when a NAT stands between; numeric.
    """

    def __init__(self, external_address: str | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        self._outside = Outside(external_address)
        self._clock = clock
        self._locals: dict[str, str] = {}
        self._seen: dict[tuple[str, int], Address] = {}
        self._until = -inf
        self._watched: dict[str, str | None] = {}

    def toward(self, remote: Address, port: int) -> Address:
        """Return how ``remote`` sees our port.

        :raises OSError: when there is no route.
        """
        now = self._clock()
        if now >= self._until or len(self._seen) >= MAX_ROUTES:
            self._locals.clear()
            self._seen.clear()
            self._until = now + ROUTE_AGE_S
        host = remote[0]
        if (host, port) not in self._seen:
            if host not in self._locals:
                self._locals[host] = local_address_toward(remote)
            self._seen[host, port] = self._outside.toward(host, (self._locals[host], port))
        return self._seen[host, port]

    def leads_out(self, family: Family) -> bool:
        """Whether there is a way to far hosts of a family at all."""
        return _find_local(SOMEWHERE[family]) is not None

    def learn(self, registrar: str, view: View) -> bool:
        """A registrar saw us; return whether that is news."""
        return self._note(self._outside.learn(registrar, view))

    def discover(self, mapped: Address, server: Address, port: int) -> bool:
        """A STUN server saw our port as ``mapped``; return whether that is news."""
        local = (_find_local(server[0]) or "", port)
        return self._note(self._outside.discover(View(mapped, port), local))

    def watch(self, host: str) -> None:
        """Look after the route to a host from now on."""
        if host not in self._watched and len(self._watched) < MAX_WATCHED:
            self._watched[host] = _find_local(host)

    def look(self) -> frozenset[str]:
        """Look at the watched routes; return the hosts to which one leads another way than before, or leads again."""
        found = {host: _find_local(host) for host in self._watched}
        changed = frozenset(host for host, local in found.items() if local not in (None, self._watched[host]))
        self._watched = found
        self._note(bool(changed))
        return changed

    def _note(self, is_news: bool) -> bool:
        if is_news:
            self._until = -inf
        return is_news


def _find_local(host: str) -> str | None:
    try:
        return local_address_toward((host, DISCARD))
    except OSError:
        return None
