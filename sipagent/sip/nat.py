"""The address of ours that each peer sees: in our Contact, our Via and our session descriptions.

Toward a peer that is *near* it is the one by which the kernel sends there: on this host, and in private networks, as
they are reached without a NAT or through one that knows them. Toward the others it is, of what is known, the first of

1. the external address that was configured. One that is private itself is for near peers too, but for this host: it
   is the address of a machine in the LAN that passes our ports on, as a container's host does;
2. as whom the peer itself saw us, when it is a registrar (``received`` and ``rport`` in its response);
3. what a STUN server saw;
4. as whom another registrar saw us: its NAT is most likely the same.

What a registrar saw counts toward itself though it is near. A port is taken from what was seen over UDP only, and for
the same socket: over a stream others see the port of one connection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from sipagent.sip.events import Address

IpAddress: TypeAlias = IPv4Address | IPv6Address

PRIVATE = tuple(
    ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "100.64.0.0/10",  # RFC 6598: behind the provider's NAT, as we are then
        "fc00::/7",  # RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # RFC 3927, RFC 4291: of one link
    )
)
"""Where no NAT is expected between a peer and us."""

MAX_REGISTRARS = 64
"""Whose views of our sockets are remembered; beyond it the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class View:
    """How a socket of ours looks from somewhere."""

    address: Address
    port: int | None
    """Of ours, whose traffic was seen there; ``None`` for a connection, whose port says nothing of where we listen."""

    def of(self, port: int) -> Address:
        """Return how that port of ours looks."""
        return self.address if port == self.port else (self.address[0], port)


class Outside:
    """What is known of how others see us.

    :param configured: the external address, numeric.
    """

    def __init__(self, configured: str | None = None) -> None:
        self._configured = None if configured is None else ip_address(configured)
        self._by_registrar: dict[tuple[str, int | None], View] = {}
        self._by_stun: dict[int, View] = {}

    def toward(self, remote: str, local: Address) -> Address:
        """Return how the host ``remote`` sees us at ``local``, where host is the one by which the kernel sends there.

        Both are numeric.
        """
        far, own = _read(remote), _read(local[0])
        if own.is_loopback or far == own:
            return local
        is_far = not _is_private(far)
        configured = self._configured
        if configured is not None and configured.version == far.version and (is_far or _is_private(configured)):
            return str(configured), local[1]
        view = self._by_registrar.get((remote, local[1])) or self._latest(lambda registrar: registrar == remote)
        if view is None and is_far:
            view = self._by_stun.get(far.version) or self._latest(lambda registrar: _is_far(registrar, far.version))
        return local if view is None else view.of(local[1])

    def learn(self, registrar: str, view: View) -> bool:
        """Take note of how a registrar sees us.

        :return: whether that is news.
        """
        version = _version(view.address[0])
        if version is None or version != _version(registrar):
            return False
        is_news = self._by_registrar.pop((registrar, view.port), None) != view
        if len(self._by_registrar) >= MAX_REGISTRARS:
            del self._by_registrar[next(iter(self._by_registrar))]
        self._by_registrar[registrar, view.port] = view
        return is_news

    def discover(self, view: View, local: Address) -> bool:
        """Take note of what a STUN server saw.

        :param local: the socket that it saw: if that is just what it saw, there is no NAT.
        :return: whether that is news.
        """
        version = _version(view.address[0])
        if version is None:
            return False
        before = self._by_stun.get(version, View(local, view.port))
        self._by_stun[version] = view
        return before != view

    def _latest(self, is_right: Callable[[str], bool]) -> View | None:
        """The address that was seen last by a registrar that is right, whichever socket of ours it saw."""
        for (registrar, _), view in reversed(self._by_registrar.items()):
            if is_right(registrar):
                return View(view.address, None)
        return None


@lru_cache(MAX_REGISTRARS)
def _read(host: str) -> IpAddress:
    """An address, remembered: it is asked for with each message, and peers are few."""
    return ip_address(host)


def _is_far(host: str, version: int) -> bool:
    return _version(host) == version and not _is_private(ip_address(host))


def _is_private(address: IpAddress) -> bool:
    return any(address in network for network in PRIVATE)


def _version(host: str) -> int | None:
    """4 or 6; ``None`` for what can't be a host's address beyond that host: a registrar may write what it likes."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if address.is_unspecified or address.is_loopback or address.is_multicast else address.version
