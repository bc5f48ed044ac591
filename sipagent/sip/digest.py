"""Digest authentication, both sides of it (:rfc:`7616`, :rfc:`8760`, :rfc:`3261#section-22`).

We answer the strongest challenge that we know, wherever it stands, but never for a realm that is not the account's:
who gets a digest can try passwords on it at leisure. A challenge is answered once: what is refused again without
``stale`` means that the password is wrong, unless the nonce had been good before. Others prove who they are by nonces
that we need not remember, as they carry their time and our mark; what we remember, within bounds, is how often each
was used.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from random import Random
from types import MappingProxyType

from sipagent.errors import LocalProtocolError
from sipagent.sip.authentication import Authentication, parse_authentications
from sipagent.sip.grammar import quote
from sipagent.sip.message import Request, Response
from sipagent.sip.proof import ALGORITHMS, Algorithm, Proof, find_algorithm

FIELDS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
)
"""Of each status that challenges, the field that asks and the field that answers."""

PROVEN_MAX = 16
"""Nonces that are remembered to have been good: those of a few requests that are on their way at once."""

NONCE_LIFE_S = 60.0
"""How long a nonce of ours is good: a telephone answers within seconds, and a copied answer is soon worth nothing."""

NONCES_MAX = 10_000
"""Nonces of ours that we remember the use of; with more, the oldest of all are stale before their time."""

CNONCE_BITS = 128
NONCE_RANDOM_SIZE = 6
NONCE_MARK_SIZE = 12
"""Octets of the mark that nobody else can make: 96 bits."""
NONCE_TIME_SIZE = 6
"""Octets of the milliseconds at which a nonce was made: enough for 8,900 years."""

_is_nonce_count = re.compile(r"[0-9A-Fa-f]{8}").fullmatch


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who we are."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None
    """When given, no other realm is ever answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A challenge that we can answer."""

    realm: str
    nonce: str
    algorithm: Algorithm
    algorithm_name: str | None
    """As it was written; ``None`` for a peer of :rfc:`2069`, which knows no such parameter."""
    opaque: str | None
    qop: str | None
    is_stale: bool
    is_userhash: bool

    @classmethod
    def read(cls, asked: Authentication) -> "Challenge | None":
        """Return what is asked, or ``None`` when it can't be answered."""
        realm, nonce, algorithm = asked.get("realm"), asked.get("nonce"), find_algorithm(asked.get("algorithm"))
        offered = asked.get("qop")
        qop = _choose_qop(offered) if offered else None
        if asked.scheme != "digest" or realm is None or nonce is None or algorithm is None:
            return None
        if qop is None and (offered or algorithm.is_session):
            return None
        return cls(
            realm=realm,
            nonce=nonce,
            algorithm=algorithm,
            algorithm_name=asked.get("algorithm"),
            opaque=asked.get("opaque"),
            qop=qop,
            is_stale=_is_true(asked.get("stale")),
            is_userhash=_is_true(asked.get("userhash")),
        )


def _choose_qop(offered: str) -> str | None:
    """Take ``auth`` before ``auth-int``, as a body may change on its way through a gateway."""
    known = [option.strip().lower() for option in offered.split(",")]
    return next((option for option in ("auth", "auth-int") if option in known), None)


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


def read_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges that can be answered, the strongest first."""
    found = [challenge for asked in parse_authentications(values) if (challenge := Challenge.read(asked)) is not None]
    return sorted(found, key=lambda challenge: ALGORITHMS.index(challenge.algorithm))


class _Session:
    """The use that is made of one nonce.

    The client's own nonce stays the same for all of it, so that ``-sess`` means the same by either reading of when
    its secret is calculated.
    """

    def __init__(self, challenge: Challenge, cnonce: str) -> None:
        self.challenge = challenge
        self._cnonce = cnonce
        self._count = 0

    def credentials(self, credentials: Credentials, method: str, uri: str, body: bytes) -> str:
        """Write the next answer."""
        self._count += 1
        asked = self.challenge
        proof = Proof(
            algorithm=asked.algorithm,
            username=credentials.username,
            realm=asked.realm,
            nonce=asked.nonce,
            method=method,
            uri=uri,
            qop=asked.qop,
            cnonce=self._cnonce,
            nonce_count=f"{self._count:08x}",
            body=body,
        )
        return self._write(proof, proof.calculate(credentials.password))

    def _write(self, proof: Proof, response: str) -> str:
        asked = self.challenge
        username = proof.algorithm.hash(proof.username, proof.realm) if asked.is_userhash else proof.username
        quoted = {"username": username, "realm": proof.realm, "nonce": proof.nonce, "uri": proof.uri}
        parts = [f"{name}={quote(value)}" for name, value in {**quoted, "response": response}.items()]
        if asked.algorithm_name is not None:
            parts.append(f"algorithm={asked.algorithm.name}")
        if proof.qop:
            parts += [f"cnonce={quote(proof.cnonce)}", f"qop={proof.qop}", f"nc={proof.nonce_count}"]
        if asked.opaque is not None:
            parts.append(f"opaque={quote(asked.opaque)}")
        if asked.is_userhash:
            parts.append("userhash=true")
        return "Digest " + ", ".join(parts)


class DigestClient:
    """What one account knows of those that challenge it.

    :param random: the client's own nonces come from it.
    :param domain: of the account; a realm of that name is answered whatever realm came first.
    """

    def __init__(self, credentials: Credentials, *, random: Random, domain: str = "") -> None:
        self._credentials = credentials
        self._random = random
        self._domain = domain.lower()
        self._realm = credentials.realm
        self._is_realm_sure = credentials.realm is not None
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._proven: deque[str] = deque(maxlen=PROVEN_MAX)

    def answer(self, response: Response, request: Request) -> tuple[str, str] | None:
        """Answer a challenge.

        :param request: that was challenged, with the credentials it already had.
        :return: the name and value of the field to add to the request, or ``None`` when there is nothing to answer:
            no challenge that we know, a realm that is not ours, or a password that was refused.
        """
        if response.status not in FIELDS:
            return None
        asks, answers = FIELDS[response.status]
        known = [found for found in read_challenges(response.headers.get_fields(asks)) if self._may_answer(found.realm)]
        if not known or self._is_refused(known[0], answers, request):
            return None
        challenge = known[0]
        self._realm = self._realm or challenge.realm
        session = self._session(answers, challenge)
        return answers, session.credentials(self._credentials, request.method, str(request.uri), request.body)

    def authorize(self, method: str, uri: str, body: bytes) -> list[tuple[str, str]]:
        """Return fields for a request that was not challenged yet, of the nonces that were not refused so far."""
        fields = []
        for (answers, _), session in self._sessions.items():
            if session.challenge.nonce not in self._proven:
                self._proven.append(session.challenge.nonce)
            fields.append((answers, session.credentials(self._credentials, method, uri, body)))
            self._is_realm_sure = True
        return fields

    def _may_answer(self, realm: str) -> bool:
        """Whether a realm is ours: the one that is configured, else the first we met or the account's own domain."""
        if self._credentials.realm is not None:
            return realm == self._credentials.realm
        return self._realm in (None, realm) or realm.lower() == self._domain

    def _is_refused(self, challenge: Challenge, answers: str, request: Request) -> bool:
        """Whether this challenge says no to an answer that the request already had.

        A nonce that had been good may wear out without ``stale`` being said, so its first refusal is none.
        """
        nonce = _find_nonce(request.headers.get_fields(answers), challenge.realm)
        if nonce is None or challenge.is_stale:
            return False
        if nonce in self._proven:
            if nonce == challenge.nonce:
                self._proven.remove(nonce)
            return False
        self._forget(answers, challenge.realm, nonce)
        return True

    def _forget(self, answers: str, realm: str, nonce: str) -> None:
        """Drop what was refused, and the realm too unless an answer for it was ever good."""
        session = self._sessions.get((answers, realm))
        if session is not None and session.challenge.nonce == nonce:
            del self._sessions[answers, realm]
        if not self._is_realm_sure:
            self._realm = None

    def _session(self, answers: str, challenge: Challenge) -> _Session:
        """Go on counting when the nonce is known, else begin anew."""
        session = self._sessions.get((answers, challenge.realm))
        if session is None or session.challenge.nonce != challenge.nonce:
            cnonce = f"{self._random.getrandbits(CNONCE_BITS):0{CNONCE_BITS // 4}x}"
            session = self._sessions[answers, challenge.realm] = _Session(challenge, cnonce)
        session.challenge = challenge
        return session


def _find_nonce(values: Iterable[str], realm: str) -> str | None:
    """Return the nonce of the credentials for that realm."""
    found = [given for given in parse_authentications(values) if given.get("realm") == realm]
    return found[0].get("nonce") if found else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What credentials are worth: :func:`ok`, :data:`NO` or :data:`STALE`."""

    username: str | None = None
    """Who it is, when that is proven."""
    is_stale: bool = False
    """The password is right, but the nonce is worn out: a challenge with ``stale`` lets the peer try again."""


def ok(username: str) -> Verdict:
    """It is who it says."""
    return Verdict(username)


NO = Verdict()
"""Nothing was proven: no credentials, or wrong ones."""
STALE = Verdict(is_stale=True)


class DigestServer:
    """Asks others who they are, and judges what they answer.

    :param key: secret, at most 64 octets; whoever knows it can make our nonces.
    :param random: nonces come from it.
    :param algorithms: that may be answered with.
    :raises LocalProtocolError: for an algorithm that this machine doesn't have.
    """

    def __init__(
        self, realm: str, *, key: bytes, random: Random, algorithms: Sequence[str] = ("SHA-256", "MD5")
    ) -> None:
        self.realm = realm
        self._key = key
        self._random = random
        self._algorithms = {_require_algorithm(name) for name in algorithms}
        self._nobody = f"{random.getrandbits(CNONCE_BITS):x}"
        """The password of users that don't exist."""
        self._counts: dict[str, tuple[int, int]] = {}
        """Nonce → when it was made in milliseconds, and the highest count it was used with."""
        self._oldest = -1
        """Nonces that were made until then, in milliseconds, are stale: their use may have been forgotten."""

    def challenge(
        self, *, now: float, stale: bool = False, algorithms: Sequence[str] = ("SHA-256", "MD5")
    ) -> list[tuple[str, str]]:
        """Return the fields of a 401, one an algorithm, in the order given (:rfc:`8760#section-2.4`).

        :raises LocalProtocolError: for an algorithm that this machine doesn't have.
        """
        nonce = self._make_nonce(round(now * 1000))
        start = f'Digest realm={quote(self.realm)}, nonce="{nonce}", qop="auth", algorithm='
        end = ", stale=true" if stale else ""
        return [(FIELDS[401][0], start + _require_algorithm(name).name + end) for name in algorithms]

    def verify(self, request: Request, password_of: Callable[[str], str | None], *, now: float) -> Verdict:
        """Judge the credentials of a request.

        A user that doesn't exist costs the same work as one that does. The digest-uri is not compared with the
        Request-URI, which proxies rewrite (:rfc:`3261#section-22.4`); as no count is taken twice, credentials that
        were overheard are no good for another request.

        :param password_of: returns the password of a user, ``None`` if there is no such user.
        """
        values = request.headers.get_fields(FIELDS[401][1])
        given = next((found for found in parse_authentications(values) if found.get("realm") == self.realm), None)
        proof = self._read(given, request) if given is not None else None
        if given is None or proof is None:
            return NO
        password = password_of(proof.username)
        expected = proof.calculate(self._nobody if password is None else password)
        response = (given.get("response") or "").lower()
        is_right = compare_digest(expected.encode(), response.encode("utf-8", "surrogateescape"))
        if not is_right or password is None:
            return NO
        return ok(proof.username) if self._use(proof, round(now * 1000)) else STALE

    def _read(self, given: Authentication, request: Request) -> Proof | None:
        """Return what the credentials claim, or ``None`` when they are incomplete or not what was asked for."""
        username, nonce, uri = given.get("username"), given.get("nonce"), given.get("uri")
        algorithm, qop = find_algorithm(given.get("algorithm")), given.get("qop")
        if given.scheme != "digest" or username is None or nonce is None or uri is None:
            return None
        cnonce, count = given.get("cnonce") or "", given.get("nc") or ""
        if algorithm is None or algorithm not in self._algorithms:
            return None
        if qop is not None and (qop.lower() != "auth" or not cnonce or not _is_nonce_count(count)):
            return None
        return Proof(
            algorithm=algorithm,
            username=username,
            realm=self.realm,
            nonce=nonce,
            method=request.method,
            uri=uri,
            qop=qop,
            cnonce=cnonce,
            nonce_count=count,
        )

    def _use(self, proof: Proof, now_ms: int) -> bool:
        """Count the use of a nonce; ``False`` when it is not ours, too old, or was used so before.

        Without qop there is no count, so such a nonce is good for once (:rfc:`2069`).
        """
        made = self._read_nonce(proof.nonce)
        if made is None or not max(now_ms - NONCE_LIFE_S * 1000, self._oldest) < made <= now_ms:
            return False
        count = int(proof.nonce_count, 16) if proof.qop else 1
        if count <= self._counts.get(proof.nonce, (made, 0))[1]:
            return False
        self._counts.pop(proof.nonce, None)
        self._counts[proof.nonce] = (made, count)
        self._sweep(now_ms)
        return True

    def _sweep(self, now_ms: int) -> None:
        """Forget, the longest unused first, what is too old; and one that isn't, with all its age, when too many."""
        while self._counts:
            nonce, (made, _) = next(iter(self._counts.items()))
            if len(self._counts) > NONCES_MAX:
                self._oldest = max(self._oldest, made)
            elif made > now_ms - NONCE_LIFE_S * 1000:
                return
            del self._counts[nonce]

    def _make_nonce(self, now_ms: int) -> str:
        octets = now_ms.to_bytes(NONCE_TIME_SIZE, "big") + self._random.randbytes(NONCE_RANDOM_SIZE)
        return b64encode(octets + self._mark(octets)).decode()

    def _read_nonce(self, nonce: str) -> int | None:
        """Return when a nonce was made, in milliseconds, or ``None`` when it is not ours."""
        try:
            octets = b64decode(nonce.encode("ascii"), validate=True)
        except (Base64Error, UnicodeEncodeError):
            return None
        body, mark = octets[:-NONCE_MARK_SIZE], octets[-NONCE_MARK_SIZE:]
        if not compare_digest(mark, self._mark(body)):
            return None
        return int.from_bytes(body[:NONCE_TIME_SIZE], "big")

    def _mark(self, octets: bytes) -> bytes:
        return hashlib.blake2b(octets, digest_size=NONCE_MARK_SIZE, key=self._key).digest()


def _require_algorithm(name: str) -> Algorithm:
    algorithm = find_algorithm(name)
    if algorithm is None:
        raise LocalProtocolError(f"this machine has no digest algorithm {name}")
    return algorithm
