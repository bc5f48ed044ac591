"""Who may talk to us: what each source may ask for, and what becomes of those we don't know.

First by the source alone, before anything is read: is it banned, does it send too much? Then, of requests outside a
dialog: is it a scanner, a peer of one of our lines, a caller who can prove who it is? All others get the same answer,
whatever they ask, whomever they name and whether that user exists: a challenge if any line has callers with passwords,
else 403. OPTIONS is no exception: a 200 would tell strangers what we are, any answer tells an honest monitor that we
are there, and a PBX that insists on a 200 is the peer of a line.

A datagram's source may be forged, so

- peers are neither counted nor banned, as anybody could make us shut them out;
- a password is only judged where the challenge was seen, so that nobody is banned for what others send in its name;
- a stranger is answered seldom and never with more octets than it sent, so that we are no use against others.

The flows over which calls and requests of ours run are known, and have a generous limit of their own: a call goes on
while others behind the same NAT flood us, or are banned.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Final, Literal, TypeAlias

from sipagent.sip.digest import DigestServer
from sipagent.sip.events import Address, Flow, SourceBanned
from sipagent.sip.limits import Bans, Rates
from sipagent.sip.message import Request
from sipagent.sip.sources import Network, Source, Sources, network_of

SCANNERS = (
    "friendly-scanner",  # SIPVicious
    "sipvicious",
    "sundayddr",  # the worm of 2010, still about
    "sip-scan",
    "sipcli",
    "VaxSIPUserAgent",
    "pplsip",
    "iWar",
)
"""By these names programs that look for telephones to steal calls from give themselves away; to each its own words
would be too many. Not sipsak, which administrators use."""

TABLE_SIZE: Final = 10_000
"""Sources that are remembered, in each table; about 2 MB when all are full."""

KNOWN_PER_S, KNOWN_BURST = 1_000, 2_000
"""Messages by a flow that we know: more than any proxy sends, and less than keeps us from all other work."""

REPLIES_PER_S, REPLIES_BURST = 2, 5
"""Answers to a stranger over UDP: each copy of its request that it sends after T1 gets one."""

PEERS_MAX: Final = 16
"""Addresses of its PBX that are learnt, a line; of more, those that answered last."""

MARK_SIZE: Final = 6
"""Octets that tell that a challenge went to the source which answers it."""

KEY_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may call a line."""

    line: str
    networks: tuple[Network, ...] = ()
    """Where its peers are, who need no password."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Passwords by user name, of those who may call from anywhere."""
    contact_user: str = ""
    """What only its registrar was told: a request to that user is for this line. Empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What a :class:`Guard` is told."""

    rules: tuple[Rule, ...] = ()
    """The first of equals wins."""
    realm: str = "sipagent"
    strangers: Literal["refuse", "ignore"] = "refuse"
    """Whether who can't be a caller is answered at all; where there are callers with passwords, it is challenged."""
    scanners: tuple[str, ...] = SCANNERS
    """Parts of User-Agent, in any case, of those who are never answered."""
    rate_per_s: float = 10.0
    """Messages of one stranger, and of everybody else at its address."""
    rate_burst: int = 50
    strangers_per_s: float = 200.0
    """Messages of all strangers together: what a flood from forged sources may cost us."""
    strangers_burst: int = 400
    ban_after: int = 5
    """Wrong passwords that are too many."""
    ban_window_s: float = 60.0
    ban_s: float = 900.0
    pins_source: bool = False
    """Whether requests within a dialog count only from the host it was set up with. Off: networks and proxies move."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A request to be served."""

    line: str
    """Whose it is; empty for nobody's in particular."""
    is_trusted: bool
    """Whether what it says about the caller's identity is to be believed: it comes from a peer."""
    username: str | None = None
    """Who proved to be who it is."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A request to be answered, and forgotten.

    Of the fields those that may be left out to make it shorter come first.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """A request to be forgotten."""

    why: str


NOBODY = Pass("", is_trusted=False)
"""For whom it makes no difference who they are."""

Judgement: TypeAlias = Pass | Refuse | Drop


class Guard:
    """The memory and the rules of one user agent's door.

    :param random: keys and nonces come from it.
    :param counters: what happens is counted there.
    :param banned: is told each ban, once.
    """

    def __init__(
        self,
        settings: GuardSettings,
        *,
        random: Random,
        counters: Counter[str],
        banned: Callable[[SourceBanned], None],
    ) -> None:
        self.settings = settings
        self.counters = counters
        self._banned = banned
        self._rules = settings.rules
        self._sources = Sources(rule.networks for rule in settings.rules)
        self._contacts = {rule.contact_user: number for number, rule in _numbered(settings) if rule.contact_user}
        self._learnt: dict[int, OrderedDict[Network, None]] = {}
        self._passwords: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        for rule in reversed(settings.rules):
            self._passwords.update(rule.users)
            self._lines.update(dict.fromkeys(rule.users, rule.line))
        self._digest = DigestServer(settings.realm, key=random.randbytes(KEY_SIZE), random=random)
        self._mark_key = random.randbytes(KEY_SIZE)
        names = "|".join(map(re.escape, settings.scanners))
        self._scanner = re.compile(rf"\b(?:{names})" if names else r"(?!)", re.IGNORECASE)
        self._rates: Rates[str | int] = Rates(settings.rate_per_s, settings.rate_burst, size=TABLE_SIZE)
        self._strangers: Rates[None] = Rates(settings.strangers_per_s, settings.strangers_burst, size=1)
        self._known: Rates[Address] = Rates(KNOWN_PER_S, KNOWN_BURST, size=TABLE_SIZE)
        self._replies: Rates[str | int] = Rates(REPLIES_PER_S, REPLIES_BURST, size=TABLE_SIZE)
        self._bans: Bans[str | int] = Bans(settings.ban_after, settings.ban_window_s, settings.ban_s, size=TABLE_SIZE)

    # By the source alone.

    def admit(self, remote: Address, *, now: float) -> bool:
        """Whether a message from there is to be read; to be asked once for each, before any other work."""
        source = self._sources.find(remote[0])
        if source.lines:
            return True
        if remote in self._known:
            is_admitted = self._known.take(remote, now)
            why = "rate"
        elif self._bans.holds(source.key, now):
            is_admitted = False
            why = "banned"
        elif not self._rates.take(source.key, now):
            is_admitted = False
            why = "rate"
        else:
            is_admitted = self._strangers.take(None, now)
            why = "flood"
        if not is_admitted:
            self.counters["guard_dropped_" + why] += 1
        return is_admitted

    def know(self, remote: Address, *, now: float) -> None:
        """Messages from there belong to a call or to a request of ours."""
        if not self._sources.find(remote[0]).lines:
            self._known.add(remote, now)

    def is_stranger(self, remote: Address) -> bool:
        """Whether we know nothing of whoever sends from there."""
        return not self._sources.find(remote[0]).lines and remote not in self._known

    def may_reply(self, flow: Flow, *, now: float) -> bool:
        """Whether a stranger gets an answer now; to be asked once for each.

        Over a connection it does, as its address is its own.
        """
        if flow.reliable or self._replies.take(self._sources.find(flow.remote[0]).key, now):
            return True
        self.counters["guard_unanswered_rate"] += 1
        return False

    # By what it asks for.

    def judge(self, request: Request, flow: Flow, *, now: float) -> Judgement:
        """Say what becomes of a request outside a dialog that no transaction knows."""
        if self._is_scanner(request):
            return self._drop("scanner")
        source = self._sources.find(flow.remote[0])
        number = self._contacts.get(request.uri.user or "", source.lines[0] if source.lines else None)
        if number is not None:
            self.know(flow.remote, now=now)
            return Pass(self._rules[number].line, is_trusted=number in source.lines)
        if self._passwords:
            return self._authenticate(request, source, flow, now)
        if self.settings.strangers == "ignore":
            return self._drop("stranger")
        self.counters["guard_refused"] += 1
        return Refuse(403)

    def judge_within(self, flow: Flow, home: Flow | None, *, now: float) -> Judgement:
        """Say what becomes of a request that names a dialog; whoever knows its tags is in it.

        :param home: where its messages come from; ``None`` when there is no such dialog.
        """
        if home is None:
            return Refuse(481) if self.is_stranger(flow.remote) else NOBODY
        if self.settings.pins_source and home.remote[0] != flow.remote[0]:
            self.counters["guard_refused_elsewhere"] += 1
            return Refuse(403)
        self.know(flow.remote, now=now)
        return NOBODY

    def learn_peer(self, line: str, host: str) -> None:
        """The line's PBX answered from there as only it can: what comes from there is the line's."""
        number = next((number for number, rule in _numbered(self.settings) if rule.line == line), None)
        network = network_of(host)
        if number is None or network is None:
            return
        learnt = self._learnt.setdefault(number, OrderedDict())
        if network in learnt:
            learnt.move_to_end(network)
            return
        learnt[network] = None
        self._sources.add(network, number)
        if len(learnt) > PEERS_MAX:
            self._sources.remove(learnt.popitem(last=False)[0], number)

    def _is_scanner(self, request: Request) -> bool:
        names = (request.headers.get("User-Agent") or "", request.from_.display_name or "")
        return any(map(self._scanner.search, names))

    def _authenticate(self, request: Request, source: Source, flow: Flow, now: float) -> Judgement:
        """Ask who it is, or judge what it answers."""
        if not self._saw_challenge(request, source):
            return self._challenge(source, now)
        verdict = self._digest.verify(request, self._passwords.get, now=now)
        if verdict.username is not None:
            self._bans.forgive(source.key)
            self.know(flow.remote, now=now)
            return Pass(self._lines[verdict.username], is_trusted=False, username=verdict.username)
        if verdict.is_stale:
            return self._challenge(source, now, stale=True)
        self.counters["guard_bad_auth"] += 1
        if self._bans.strike(source.key, self._digest_of(request), now):
            self._known.discard(flow.remote)
            self.counters["guard_bans"] += 1
            self._banned(SourceBanned(str(source), "wrong password", self.settings.ban_after, self.settings.ban_s))
            return self._drop("banned")
        return self._challenge(source, now)

    def _challenge(self, source: Source, now: float, *, stale: bool = False) -> Refuse:
        """Ask for a password: the strongest algorithm first, and the one that all have last."""
        self.counters["guard_challenged"] += 1
        mark = self._mark(source)
        fields = self._digest.challenge(now=now, stale=stale)
        return Refuse(401, tuple((name, f'{value}, opaque="{mark}"') for name, value in fields))

    def _saw_challenge(self, request: Request, source: Source) -> bool:
        """Whether the credentials bring back what we sent to that source."""
        mark = self._mark(source)
        return any(mark in value for value in request.headers.get_fields("Authorization"))

    def _digest_of(self, request: Request) -> str:
        """What was guessed, in few octets: a request that is sent again guesses nothing new."""
        given = "\n".join(request.headers.get_fields("Authorization"))
        return blake2b(given.encode("utf-8", "surrogateescape"), digest_size=MARK_SIZE, key=self._mark_key).hexdigest()

    def _mark(self, source: Source) -> str:
        return blake2b(str(source.key).encode(), digest_size=MARK_SIZE, key=self._mark_key).hexdigest()

    def _drop(self, why: str) -> Drop:
        self.counters["guard_dropped_" + why] += 1
        return Drop(why)


def _numbered(settings: GuardSettings) -> list[tuple[int, Rule]]:
    return list(enumerate(settings.rules))
