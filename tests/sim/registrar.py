"""A registrar, and an hour of one user agent's many accounts with it.

    PYTHONPATH=.:tests python -m sim.registrar [accounts] [transport]

tells how many REGISTERs come a second when it is restarted: all of it takes ten minutes of CPU over UDP.
"""

import sys
from collections import Counter
from functools import partial
from hashlib import md5
from random import Random
from time import process_time

from sim.clock import Clock, Node

from sipagent.sip.account import Account
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Address, Event, Flow, Locate, Ping, Registered, RegistrationFailed, Transmit
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

REALM = "pbx.example.com"
REGISTRAR: Address = ("192.0.2.11", 5060)
US: Address = ("192.0.2.1", 5060)
LATENCY_S = 0.005
JITTER_S = 0.010
DOWN_S = 60.0
NONCE_LIFE_S = 300.0
"""As Kamailio has it."""


def password_of(user: str) -> str:
    """What a user proves itself with."""
    return f"secret of {user}"


def hash_of(*parts: str) -> str:
    """MD5 of the parts, joined by colons."""
    return md5(":".join(parts).encode()).hexdigest()


class Registrar:
    """Digest on; one binding a user. It reads what it needs by its own simple means, so as not to trust ours."""

    def __init__(self, *, granted_s: int) -> None:
        self.is_up = True
        self.arrivals: Counter[int] = Counter()
        """REGISTERs a second, copies and those that came while it was down included."""
        self.answers: Counter[int] = Counter()
        self._granted_s = granted_s
        self._generation = 0
        self._serial = 0
        self._bindings: dict[str, float] = {}
        self._nonces: dict[str, tuple[float, int]] = {}

    def restart(self) -> None:
        """Come back, having lost all."""
        self.is_up = True
        self._generation += 1
        self._bindings.clear()
        self._nonces.clear()

    def bound(self, now: float) -> int:
        """How many users could be called."""
        return sum(until > now for until in self._bindings.values())

    def receive(self, data: bytes, now: float) -> bytes | None:
        """Take a REGISTER; return the answer."""
        self.arrivals[int(now)] += 1
        if not self.is_up:
            return None
        start, *lines = data.decode().partition("\r\n\r\n")[0].split("\r\n")
        assert start.startswith("REGISTER "), start
        fields = dict(line.split(": ", 1) for line in lines)
        user = fields["To"].partition("sip:")[2].partition("@")[0]
        status, extra = self._judge(user, fields, now)
        self.answers[status] += 1
        via = fields["Via"].replace(";rport", f";received={US[0]};rport={US[1]}")
        kept = [f"{name}: {fields[name]}" for name in ("From", "Call-ID", "CSeq")]
        answer = [f"SIP/2.0 {status} Whatever", f"Via: {via}", f"To: {fields['To']};tag=r", *kept, extra]
        return "\r\n".join([*answer, "Content-Length: 0", "", ""]).encode()

    def _judge(self, user: str, fields: dict[str, str], now: float) -> tuple[int, str]:
        given = self._read_credentials(fields.get("Authorization", ""))
        made_at, count = self._nonces.get(given.get("nonce", ""), (0.0, 0))
        if given and self._is_right(user, given):
            if int(given["nc"], 16) > count and now < made_at + NONCE_LIFE_S:
                self._nonces[given["nonce"]] = (made_at, int(given["nc"], 16))
                return 200, self._bind(user, fields, now)
            return 401, self._challenge(now) + ", stale=true"
        return 401, self._challenge(now)

    def _bind(self, user: str, fields: dict[str, str], now: float) -> str:
        asked = int(fields["Expires"])
        granted = min(asked, self._granted_s)
        self._bindings[user] = now + granted
        return f"Contact: {fields['Contact'].replace(f';expires={asked}', f';expires={granted}')}"

    def _challenge(self, now: float) -> str:
        self._serial += 1
        nonce = f"{self._generation}-{self._serial}"
        self._nonces[nonce] = (now, 0)
        return f'WWW-Authenticate: Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=MD5'

    @staticmethod
    def _read_credentials(value: str) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in value.removeprefix("Digest ").split(", ") if pair)
        return {name: text.strip('"') for name, _, text in pairs}

    @staticmethod
    def _is_right(user: str, given: dict[str, str]) -> bool:
        secret = hash_of(user, REALM, password_of(user))
        middle = (given["nonce"], given["nc"], given["cnonce"], given["qop"])
        return given["response"] == hash_of(secret, *middle, hash_of("REGISTER", given["uri"]))


def make_account(number: int, transport: str, expires_s: int) -> Account:
    """One of many."""
    uri = "sip:pbx.example.com" + ("" if transport == "UDP" else f";transport={transport.lower()}")
    return Account(
        name=f"line{number}",
        address=Uri.parse(f"sip:{number}@pbx.example.com"),
        contact_user=f"{number}-q1w2e3",
        credentials=Credentials(str(number), password_of(str(number))),
        registrars=(Uri.parse(uri),),
        instance=f"urn:uuid:00000000-0000-4000-8000-{number:012}",
        expires_s=expires_s,
    )


class Town:
    """One user agent with many accounts, and the registrar of them all, which dies and is back a minute later."""

    def __init__(
        self, accounts: int, *, transport: str = "UDP", expires_s: int = 300, restart_at: float, seed: int = 1
    ) -> None:
        self.registrar = Registrar(granted_s=expires_s)
        self.failures: Counter[str] = Counter()
        """What accounts were told, by reason; none for a registration."""
        self.clock = Clock()
        self.restart_at = restart_at
        self._random = Random(seed)
        self._flow = Flow(transport, REGISTRAR, US)
        all_of_them = [make_account(number, transport, expires_s) for number in range(accounts)]
        self.agent = UserAgent(accounts=all_of_them, random=Random(seed))
        self._node: Node[Event] = Node(self.clock, self.agent, self._carry)
        for account in all_of_them:
            self._node.feed(partial(self.agent.register, account.name))
        self.clock.at(restart_at - DOWN_S, self._stop_registrar)
        self.clock.at(restart_at, self.registrar.restart)

    @property
    def bound(self) -> int:
        """How many accounts can be called."""
        return self.registrar.bound(self.clock.now)

    def run(self, until: float) -> None:
        """Let time pass."""
        self.clock.run(until)

    def peak(self, start: float, end: float) -> int:
        """The most REGISTERs that came in one second of these."""
        return max(self.registrar.arrivals[second] for second in range(int(start), int(end)))

    def _stop_registrar(self) -> None:
        """It dies; who has a connection to it sees that."""
        self.registrar.is_up = False
        if self._flow.reliable:
            self.clock.after(self._delay(), self._node.feed, self.agent.transport_failed, self._flow)

    def _carry(self, event: Event) -> None:
        match event:
            case Transmit(data, flow):
                self.clock.after(self._delay(), self._arrive, data, flow)
            case Locate(query):
                self._node.feed(self.agent.located, query, [self._flow])
            case Ping(flow):
                self.clock.after(self._delay(), self._node.feed, self.agent.receive_pong, flow)
            case RegistrationFailed(_, _, reason):
                self.failures[reason] += 1
            case Registered():
                self.failures["none"] += 1

    def _arrive(self, data: bytes, flow: Flow) -> None:
        answer = self.registrar.receive(data, self.clock.now)
        if answer is not None:
            self.clock.after(self._delay(), self._node.feed, self.agent.receive_message, answer, flow)
        elif flow.reliable:
            self.clock.after(self._delay(), self._node.feed, self.agent.transport_failed, flow)

    def _delay(self) -> float:
        return LATENCY_S + JITTER_S * self._random.random()


def main(accounts: int = 10_000, transport: str = "UDP") -> None:
    """An hour with the settings as they come; the restart is in the middle."""
    began_at = process_time()
    town = Town(accounts, transport=transport, restart_at=1_800.0)
    town.run(1_740.0)
    print(f"{accounts} accounts over {transport}; REGISTERs a second, at the most:")
    print(f"  while they begin {town.peak(0, 25)}, in calm {town.peak(30, 1_740)}; {town.bound} bound")
    town.run(1_800.0)
    print(f"  while it is down {town.peak(1_740, 1_800)}, copies included")
    for seconds in (5, 10, 15, 20, 25, 30):
        town.run(1_800.0 + seconds)
        print(f"  {seconds} s after it is back {town.bound} bound")
    print(f"  in that time {town.peak(1_800, 1_830)}")
    town.run(3_600.0)
    print(f"  later {town.peak(1_830, 3_600)}; {town.bound} bound in the end")
    counts = f"answered {dict(town.registrar.answers)}, told {dict(town.failures)}"
    print(f"{town.registrar.arrivals.total()} REGISTERs, {counts}")
    print(f"{process_time() - began_at:.0f} s of CPU")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
