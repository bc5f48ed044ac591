"""Who sends: an address as what it may stand for, and whether it is one of our peers.

Whoever has one address of an IPv6 subnet has all 2**64 of them, so the subnet counts as one source.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

SOURCES_MAX = 10_000
"""Addresses that are remembered to have been looked up; with more, all are looked up again."""

SUBNET_BITS = 64


@dataclass(frozen=True, slots=True)
class Source:
    """What an address stands for."""

    key: str | int
    """The IPv4 address, or the first half of the IPv6 address."""
    lines: tuple[int, ...]
    """Whose peer it is, by the numbers of :class:`Sources`, the closest network first."""

    def __str__(self) -> str:
        if isinstance(self.key, str):
            return self.key
        return f"{IPv6Address(self.key << SUBNET_BITS)}/{SUBNET_BITS}"


class Sources:
    """What is known of addresses.

    :param networks: each line's, by number.
    """

    def __init__(self, networks: Iterable[Iterable[Network]]) -> None:
        self._networks = [(network, line) for line, several in enumerate(networks) for network in several]
        self._networks.sort(key=lambda entry: -entry[0].prefixlen)
        self._found: dict[str, Source] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, network: Network, line: int) -> None:
        """Know one more network, the closest of all."""
        self._networks.insert(0, (network, line))
        self._found.clear()

    def remove(self, network: Network, line: int) -> None:
        """Undo :meth:`add`."""
        self._networks.remove((network, line))
        self._found.clear()

    def find(self, host: str) -> Source:
        """Look an address up."""
        source = self._found.get(host)
        if source is None:
            if len(self._found) >= SOURCES_MAX:
                self._found.clear()
            source = self._found[host] = self._look(host)
        return source

    def _look(self, host: str) -> Source:
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return Source(host, ())
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        lines = dict.fromkeys(line for network, line in self._networks if address in network)
        return Source(_key(address), tuple(lines))


def network_of(host: str) -> Network | None:
    """The network of one address; ``None`` for a name."""
    try:
        return ip_network(host.partition("%")[0])
    except ValueError:
        return None


def _key(address: IPv4Address | IPv6Address) -> str | int:
    return str(address) if isinstance(address, IPv4Address) else int(address) >> SUBNET_BITS
