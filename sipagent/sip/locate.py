"""Where requests to a URI go (:rfc:`3263#section-4`): a choice that is made from DNS answers given as data.

- A :class:`Location` says what it has to know and is told, in any order; it looks nothing up itself. Its questions
  come in steps (NAPTR, then SRV, then addresses), and those of one step may be asked at the same time.
- What a name server fails to say counts as not there: routers that choke on NAPTR and SRV are many, and an address
  is found all the same.
- A domain can name many servers and a server many addresses. Of all of them a bounded number is looked at.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import accumulate
from random import Random
from typing import Literal, TypeAlias

from sipagent.sip.events import Flow
from sipagent.sip.uri import Uri

Kind: TypeAlias = Literal["NAPTR", "SRV", "A", "AAAA"]
Family: TypeAlias = Literal["A", "AAAA"]

MAX_NAPTRS = 8
"""Of a domain; those of every transport there is are five."""

MAX_SERVERS = 8
"""Servers that are looked at, over all transports: each that is dead costs a caller half a minute of waiting."""

MAX_ADDRESSES = 4
"""Of one server in one family."""

MAX_TARGETS = 12
"""Addresses in all."""

DEFAULT_PORTS = {"UDP": 5060, "TCP": 5060, "TLS": 5061, "WS": 80, "WSS": 443}
"""Where the URI and DNS name none (:rfc:`3261#section-19.1.2`, :rfc:`7118#section-5`, :rfc:`6455#section-3`)."""

PLAIN = ("UDP", "TCP", "TLS")
"""For ``sip:`` where nobody says which, in order: UDP is the RFC's choice, the others are better than no call."""

SECURE = {"TCP": "TLS", "TLS": "TLS", "WS": "WSS", "WSS": "WSS"}
"""What carries ``sips:`` when its URI names a transport. For UDP there is none."""

SRV_LABELS = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}
"""WebSockets have none: their servers are found by NAPTR or by address."""

NAPTR_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS", "SIP+D2W": "WS", "SIPS+D2W": "WSS"}
"""IANA's table, without SCTP."""


@dataclass(frozen=True, slots=True)
class Query:
    """Something to look up."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (:rfc:`3403#section-4.1`)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (:rfc:`2782`)."""

    priority: int
    weight: int
    port: int
    target: str
    """``.`` says that the service is decidedly not to be had here."""


Record: TypeAlias = Naptr | Srv | str
"""A string is an address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a query; no records and no failure mean that there are none."""

    records: tuple[Record, ...] = ()
    failure: str = ""
    """Why nobody knows, in words."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that may take the request, its host a name or an address."""

    transport: str
    host: str
    """Empty where a domain says by SRV that it serves no such transport."""
    port: int


class Location:
    """One search.

    :param uri: its ``maddr``, port and ``transport`` count; all else is of no concern.
    :param transports: those that we have.
    :param families: those that we have, the one to try first in front.
    :param random: draws among SRV records of one priority.
    """

    def __init__(self, uri: Uri, *, transports: Collection[str], families: Sequence[Family], random: Random) -> None:
        self._uri = uri
        self._host = _bare(uri.parameters.get("maddr") or uri.host)
        self._named_transport = (uri.parameters.get("transport") or "").upper()
        self._transports = transports
        self._families = families
        self._random = random
        self._answers: dict[Query, Answer] = {}
        self._wanted: list[Query] = []
        self._usable = self._choose_transports()
        self.targets: tuple[Flow, ...] = ()
        """What was found, in order of preference; their local ends are not known here."""
        self._step()

    @property
    def wanted(self) -> tuple[Query, ...]:
        """What has to be looked up for the next step; nothing when the search is over."""
        return tuple(self._wanted)

    @property
    def reason(self) -> str:
        """Why no target was found, in words; empty when one was, and as long as the search goes on."""
        if self.targets or self._wanted:
            return ""
        if not self._host:
            return f"a {self._uri.scheme} URI names no host"
        if not self._usable:
            return f"none of our transports carries {' over '.join(filter(None, self._what))}"
        failures = [answer.failure for answer in self._answers.values() if answer.failure]
        return f"{self._host} has no address that we can send to" + (f": {failures[-1]}" if failures else "")

    def receive_answer(self, query: Query, answer: Answer) -> None:
        """Take the answer to a query; one that is not wanted changes nothing."""
        if query not in self._wanted:
            return
        self._answers[query] = Answer(self._put_in_order(answer.records), answer.failure)
        self._wanted.remove(query)
        if not self._wanted:
            self._step()

    # The steps.

    def _step(self) -> None:
        """Go on until the end or the next questions, from the beginning: what is known is not asked again."""
        servers = [server for server in self._find_servers()[:MAX_SERVERS] if server.host]
        if not self._wanted:
            targets = [target for server in servers for target in self._reach(server)]
            if not self._wanted:
                self.targets = tuple(dict.fromkeys(targets))[:MAX_TARGETS]

    @property
    def _what(self) -> tuple[str, str]:
        return self._uri.scheme, self._named_transport

    def _choose_transports(self) -> tuple[str, ...]:
        """Those of ours that may be used, the default in front."""
        scheme, named = self._what
        if scheme == "sips":
            choice: tuple[str, ...] = (SECURE.get(named, ""),) if named else ("TLS",)
        elif scheme == "sip":
            choice = (named,) if named else PLAIN
        else:
            choice = ()
        return tuple(transport for transport in choice if transport in self._transports)

    def _find_servers(self) -> Sequence[Server]:
        if not self._usable or not self._host:
            return ()
        transport, port = self._usable[0], self._uri.port
        alone = [Server(transport, self._host, port or DEFAULT_PORTS[transport])]
        if port is not None or _family(self._host):
            return alone
        servers = self._find_by_naptr()
        if servers or self._wanted:
            return servers
        return self._find_by_srv() or alone

    def _find_by_naptr(self) -> Sequence[Server]:
        """The servers of the records that we can use (:rfc:`3263#section-4.1`); none if the URI names a transport."""
        if self._named_transport:
            return ()
        services = [
            (NAPTR_SERVICES[record.service.upper()], _bare(record.replacement))
            for record in self._ask(self._host, "NAPTR")
            if isinstance(record, Naptr) and record.flags.upper() == "S" and self._can_use(record.service.upper())
        ]
        return self._ask_services(services)

    def _can_use(self, service: str) -> bool:
        """Whether we have the transport; ``sips:`` needs a secure one, and ``sip:`` may have one."""
        if self._uri.scheme == "sips" and not service.startswith("SIPS+"):
            return False
        return NAPTR_SERVICES.get(service) in self._transports

    def _find_by_srv(self) -> Sequence[Server]:
        """The servers by the domain's SRV records alone. TLS is left to ``sips:``, and to who has nothing else."""
        usable = [transport for transport in self._usable if transport in SRV_LABELS]
        usable = [transport for transport in usable if transport != "TLS"] or usable
        return self._ask_services([(transport, f"{SRV_LABELS[transport]}.{self._host}") for transport in usable])

    def _ask_services(self, services: Sequence[tuple[str, str]]) -> Sequence[Server]:
        servers = [
            Server(transport, _bare(record.target), record.port)
            for transport, name in services
            for record in self._ask(name, "SRV")
            if isinstance(record, Srv)
        ]
        return () if self._wanted else servers

    def _reach(self, server: Server) -> list[Flow]:
        """The addresses of a server, of the families that we have."""
        if family := _family(server.host):
            addresses: list[Record] = [server.host] if family in self._families else []
        else:
            addresses = [address for family in self._families for address in self._ask(server.host, family)]
        return [
            Flow(server.transport, (address, server.port), name=self._uri.host)
            for address in addresses
            if isinstance(address, str)
        ]

    def _ask(self, name: str, kind: Kind) -> Sequence[Record]:
        query = Query(name, kind)
        if query in self._answers:
            return self._answers[query].records
        if query not in self._wanted:
            self._wanted.append(query)
        return ()

    def _put_in_order(self, records: Sequence[Record]) -> tuple[Record, ...]:
        naptrs = sorted(
            (record for record in records if isinstance(record, Naptr)), key=lambda each: (each.order, each.preference)
        )
        servers = put_in_order([record for record in records if isinstance(record, Srv)], random=self._random)
        addresses = [record for record in records if isinstance(record, str)]
        return (*naptrs[:MAX_NAPTRS], *servers, *addresses[:MAX_ADDRESSES])


def put_in_order(records: Sequence[Srv], *, random: Random) -> list[Srv]:
    """Return :data:`MAX_SERVERS` of the records in the order to try them, drawn by weight (:rfc:`2782`)."""
    left = sorted(records, key=lambda record: (record.priority, record.weight))
    order: list[Srv] = []
    while left and len(order) < MAX_SERVERS:
        group = [record for record in left if record.priority == left[0].priority]
        drawn = random.randint(0, sum(record.weight for record in group))
        chosen = next(index for index, total in enumerate(accumulate(each.weight for each in group)) if total >= drawn)
        order.append(left.pop(chosen))
    return order


def _bare(host: str) -> str:
    """A host without brackets and without the dot of a full name, in lower case."""
    return host.strip("[]").removesuffix(".").lower()


def _family(host: str) -> Family | None:
    """The family of a numeric host."""
    try:
        return "A" if ip_address(host).version == 4 else "AAAA"
    except ValueError:
        return None
