"""Look-ups: what a :class:`~sipagent.sip.locate.Location` wants to know, from /etc/hosts, name servers and a cache.

- A host that /etc/hosts knows is looked up nowhere else, nor are its NAPTR and SRV records, which would lead past it.
- A name that DNS does not know at all is asked of the system, which may know other ways (mDNS).
- Answers are kept as long as their TTL says, to five seconds. When no name server answers, an old answer serves:
  a name server that is down is no reason to lose a registrar that is up (:rfc:`8767`).
- One look-up a question is under way, however many wait for it, and each takes a bounded time. All who wait are told
  in the order in which they asked; where the answer is known, in the same stack.
"""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from time import monotonic
from typing import TypeAlias

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.rdata
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from sipagent.aio.hosts import Hosts
from sipagent.aio.time_limit import TimeLimit
from sipagent.sip.grammar import printable
from sipagent.sip.locate import Answer, Family, Location, Naptr, Query, Record, Srv
from sipagent.sip.uri import Uri

Answered: TypeAlias = Callable[[Answer], None]
Located: TypeAlias = Callable[[Location], None]

RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
DNS_PORT = 53

TRY_S = 0.8
"""For one name server to answer; then the next is asked."""

LOOK_UP_S = 2.0
"""For one look-up, all name servers and repetitions together; a URI takes three such steps at most, so six seconds."""

MIN_TTL_S = 1.0
"""So that a TTL of nothing does not make the ACK of a call wait for another look-up."""

MAX_TTL_S = 3_600.0
"""Nothing is believed for longer: to ask more often than necessary is always allowed."""

NEGATIVE_S = 5.0
"""That there is no such name, or that nobody answered: short, for somebody is perhaps setting it right just now."""

STALE_S = 3_600.0
"""How long after its end an old answer still serves when no name server answers."""

SYSTEM_TTL_S = 30.0
"""For what the system tells without a TTL."""

MAX_KNOWN = 1_024
"""Answers that are kept; strangers may name what they like in a Contact. Beyond it the oldest is forgotten."""

MAX_LOOK_UPS = 64
"""At a time; each holds a socket. What is beyond it fails."""

MAX_SYSTEM_LOOK_UPS = 4
"""At a time: they share a few threads, and slow ones are not to hold up what else runs there."""

FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Answer
    until: float
    stale_until: float = -inf


class Resolver:
    """A cache in front of the system's name servers.

    :param random: draws among servers of equal priority.
    :param configuration: names the name servers; it is read again when it changes.
    :param port: of the name servers.
    :param clock: tells the seconds by which answers age.
    """

    def __init__(
        self,
        *,
        random: Random,
        configuration: Path = RESOLV_CONF,
        hosts: Path = HOSTS,
        port: int = DNS_PORT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._random = random
        self._clock = clock
        self._hosts = Hosts(hosts)
        self._servers = _Servers(configuration, port)
        self._known: dict[Query, _Known] = {}
        self._waiting: dict[Query, list[Answered]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def locate(self, uri: Uri, *, transports: Collection[str], families: Sequence[Family], located: Located) -> None:
        """Find where requests to a URI go; ``located`` is given the search at its end, perhaps at once."""
        location = Location(uri, transports=transports, families=families, random=self._random)
        _Search(location, ask=self.ask, located=located).go_on()

    def ask(self, query: Query, answered: Answered) -> None:
        """Look something up; ``answered`` may be called at once."""
        answer = self._hosts.find(query)
        if answer is None and query in self._known and self._clock() < self._known[query].until:
            answer = self._known[query].answer
        if answer is not None:
            answered(answer)
        elif query in self._waiting:
            self._waiting[query].append(answered)
        elif len(self._waiting) >= MAX_LOOK_UPS:
            answered(Answer(failure="too many look-ups at once"))
        else:
            self._waiting[query] = [answered]
            task = asyncio.get_running_loop().create_task(self._look_up(query))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Look nothing up any more; who waits is not told."""
        for task in list(self._tasks):
            task.cancel()

    async def _look_up(self, query: Query) -> None:
        answer, ttl = await self._servers.ask(query)
        self._keep(query, answer, ttl)
        answer = self._known[query].answer
        for answered in self._waiting.pop(query):
            answered(answer)

    def _keep(self, query: Query, answer: Answer, ttl: float | None) -> None:
        """Keep an answer; one without a TTL is a failure, for which an old answer may stand in."""
        now = self._clock()
        old = self._known.pop(query, None)
        if ttl is not None:
            known = _Known(answer, now + ttl, now + ttl + STALE_S)
        elif old is not None and now < old.stale_until:
            known = _Known(old.answer, now + NEGATIVE_S, old.stale_until)
        else:
            known = _Known(answer, now + NEGATIVE_S)
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[query] = known


class _Search:
    """Brings a location to its end."""

    def __init__(self, location: Location, *, ask: Callable[[Query, Answered], None], located: Located) -> None:
        self._location = location
        self._ask = ask
        self._located = located
        self._open = 0

    def go_on(self) -> None:
        """Ask all that the next step wants; the last answer takes it."""
        wanted = self._location.wanted
        self._open = len(wanted)
        for query in wanted:
            self._ask(query, partial(self._receive, query))
        if not wanted:
            self._located(self._location)

    def _receive(self, query: Query, answer: Answer) -> None:
        self._location.receive_answer(query, answer)
        self._open -= 1
        if not self._open:
            self.go_on()


class _Servers:
    """The system's name servers, and its other ways."""

    def __init__(self, configuration: Path, port: int) -> None:
        self._configuration = configuration
        self._port = port
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._stamp: int | None = None
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._system_look_ups = 0

    async def ask(self, query: Query) -> tuple[Answer, float | None]:
        """Return an answer and the seconds that it is good for; ``None`` when nobody knows."""
        try:
            resolver = self._configure()
            response = await resolver.resolve(
                query.name,
                query.kind,
                raise_on_no_answer=False,
                search=query.kind in ("A", "AAAA"),
                backend=self._backend,
            )
        except dns.resolver.NXDOMAIN:
            return await self._ask_system(query, "there is no such name")
        except dns.resolver.NoResolverConfiguration:
            return await self._ask_system(query, "no name server is configured")
        except dns.resolver.LifetimeTimeout:
            return Answer(failure=f"no name server answered within {LOOK_UP_S:g} s"), None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Answer(failure=printable(str(error))), None
        records = tuple(record for rdata in response.rrset or () if (record := _as_record(rdata)) is not None)
        ttl = response.chaining_result.minimum_ttl
        return Answer(records), min(max(ttl, MIN_TTL_S), MAX_TTL_S) if records else NEGATIVE_S

    def _configure(self) -> dns.asyncresolver.Resolver:
        """The name servers as they are configured now.

        :raises dns.resolver.NoResolverConfiguration: when there are none.
        """
        try:
            stamp = self._configuration.stat().st_mtime_ns
        except OSError as error:
            raise dns.resolver.NoResolverConfiguration from error
        if self._resolver is None or stamp != self._stamp:
            self._resolver = dns.asyncresolver.Resolver(str(self._configuration))
            self._resolver.port = self._port
            self._resolver.timeout, self._resolver.lifetime = TRY_S, LOOK_UP_S
            self._stamp = stamp
        return self._resolver

    async def _ask_system(self, query: Query, failure: str) -> tuple[Answer, float | None]:
        """Ask for an address that DNS does not know."""
        if query.kind not in FAMILIES or self._system_look_ups >= MAX_SYSTEM_LOOK_UPS:
            return Answer(failure=failure), NEGATIVE_S
        self._system_look_ups += 1
        try:
            async with TimeLimit(LOOK_UP_S):
                addresses = await _get_addresses(query.name, FAMILIES[query.kind])
        except TimeoutError:
            addresses = []
        finally:
            self._system_look_ups -= 1
        return (Answer(tuple(addresses)), SYSTEM_TTL_S) if addresses else (Answer(failure=failure), NEGATIVE_S)


async def look_up(host: str) -> str | None:
    """The first address of a host as the system sees it; ``None`` when it has none, or is no name."""
    return next(iter(await _get_addresses(host, socket.AF_UNSPEC)), None)


async def _get_addresses(host: str, family: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):  # the latter for what can't be a name
        return []
    return [str(address[0]) for *_, address in found]


def _as_record(rdata: dns.rdata.Rdata) -> Record | None:
    match rdata:
        case A() | AAAA():
            return str(rdata.address)
        case SRV():
            return Srv(rdata.priority, rdata.weight, rdata.port, str(rdata.target))
        case NAPTR():
            flags, service = rdata.flags.decode("ascii", "replace"), rdata.service.decode("ascii", "replace")
            return Naptr(rdata.order, rdata.preference, flags, service, str(rdata.replacement))
        case _:
            return None
