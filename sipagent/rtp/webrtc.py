"""The way to a browser: STUN, DTLS and SRTP on one port (:rfc:`7983`), in this order.

Media is sent and heard only when the peer has passed a check of ICE, from where it passed it, and under the keys of a
DTLS handshake that came the same way. A ClientHello of anybody else is not even read, or whoever can guess a port could
end a call before it begins (CVE-2023-49786).
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

from sipagent.rtp.dtls import Certificate, Dtls
from sipagent.rtp.ice import IceLite, IceParameters
from sipagent.rtp.srtp import Protector

Address: TypeAlias = tuple[str, int]

STUN_FIRST: Final = range(4)
DTLS_FIRST: Final = range(20, 64)
RTP_FIRST: Final = range(128, 192)
"""The first octet of each (:rfc:`7983#section-7`)."""

MAX_WAITING: Final = 64
"""Datagrams to be sent; a check is answered by one, a flight has three."""


@dataclass(frozen=True, slots=True)
class WebRtcParameters:
    """What an exchange agreed on."""

    certificate: Certificate
    """Ours."""
    fingerprints: tuple[tuple[str, str], ...]
    """Of the peer's."""
    is_client: bool
    """Whether the handshake is for us to begin."""
    ice: IceParameters


class Way:
    """From checks to keys.

    Its datagrams are in :attr:`waiting`, each with where it is to go.
    """

    def __init__(self, parameters: WebRtcParameters) -> None:
        self.waiting: deque[tuple[bytes, Address]] = deque(maxlen=MAX_WAITING)
        self.from_strangers = 0
        self.protector: Protector | None = None
        """Once there are keys."""
        self._ice = IceLite(parameters.ice)
        self._parameters = parameters
        self._begin(parameters)
        self._now = -inf

    def configure(self, parameters: WebRtcParameters) -> None:
        """Go on; another certificate of the peer's, or another role, is another handshake (:rfc:`8842#section-4`)."""
        previous = self._parameters
        self._ice.configure(parameters.ice)
        if (previous.fingerprints, previous.is_client) != (parameters.fingerprints, parameters.is_client):
            self._begin(parameters)
        self._parameters = parameters

    @property
    def remote(self) -> Address | None:
        """Where media goes; ``None`` before there are keys, and when the peer no longer consents."""
        return None if self.protector is None or self._dtls.is_closed else self._ice.selected(self._now)

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        return self._dtls.due_at

    @property
    def failure(self) -> str:
        """Why there will be no keys."""
        return self._dtls.failure

    def receive(self, data: bytes, source: Address, *, now: float) -> bytes | None:
        """Take a datagram; return it when it is the peer's RTP or RTCP, still encrypted."""
        self._now = now
        first = data[0] if data else -1
        if first in STUN_FIRST:
            self._check(data, source, now)
        elif not self._ice.is_valid(source):
            self.from_strangers += 1
        elif first in RTP_FIRST:
            return data
        elif first in DTLS_FIRST:
            self._send(self._dtls.receive(data, now=now), source)
            self._conclude()
        return None

    def handle_timer(self, *, now: float) -> None:
        """Repeat what seems to be lost."""
        self._now = now
        where = self._ice.selected(now)
        datagrams = self._dtls.handle_timer(now=now)
        if where is not None:
            self._send(datagrams, where)

    def advance(self, now: float) -> None:
        """Know the time: consent ends without anything happening."""
        self._now = now

    def close(self) -> None:
        """Say that we leave."""
        where = self.remote
        if where is not None:
            self._send(self._dtls.close(), where)

    def _begin(self, parameters: WebRtcParameters) -> None:
        self._dtls = Dtls(parameters.certificate, fingerprints=parameters.fingerprints, is_client=parameters.is_client)
        self._has_begun = False

    def _check(self, data: bytes, source: Address, now: float) -> None:
        answer = self._ice.receive(data, source, now=now)
        if answer is not None:
            self._send([answer], source)
        selected = self._ice.selected(now)
        if selected is not None and not self._has_begun:
            self._has_begun = True
            self._send(self._dtls.begin(now=now), selected)

    def _conclude(self) -> None:
        keys = self._dtls.keys
        if keys is None:
            return
        if self.protector is None:
            self.protector = Protector(keys)
        else:
            self.protector.configure(keys)

    def _send(self, datagrams: list[bytes], where: Address) -> None:
        self.waiting += ((data, where) for data in datagrams)
