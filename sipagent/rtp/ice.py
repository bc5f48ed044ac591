"""The lite side of ICE (:rfc:`8445#section-2.5`): it answers connectivity checks, and so learns where the peer is.

- Who is at a public address, or before whom the way is open, need not check anything: the peer checks, and nominates.
- A check counts when it knows both our names and our password; whatever else comes is dropped without a word, for what
  answers strangers can be used against a third party (:rfc:`8445#section-19.2` warns of it).
- Only who has passed a check is believed to send DTLS or media.
- A peer that asks no more has left (:rfc:`7675#section-5.1`): to whom does not consent nothing is sent.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeAlias

from sipagent.stun import (
    ATTRIBUTE,
    FAMILY_IPV4,
    FAMILY_IPV6,
    FINGERPRINT,
    HEADER,
    MAGIC_COOKIE,
    MAX_BYTES,
    MESSAGE_INTEGRITY,
    XOR_MAPPED_ADDRESS,
    Kind,
    fingerprint,
    is_stun,
    split_attributes,
)

Address: TypeAlias = tuple[str, int]

USERNAME: Final = 0x0006
ERROR_CODE: Final = 0x0009
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
ICE_CONTROLLED: Final = 0x8029

ROLE_CONFLICT: Final = 487
CONSENT_S: Final = 30.0
"""How long a check holds (:rfc:`7675#section-5.1`)."""
MAX_SOURCES: Final = 16
"""Addresses of the peer that have passed; a browser with many networks has half of that. The oldest gives way."""

INTEGRITY_BYTES: Final = ATTRIBUTE.size + 20
FINGERPRINT_BYTES: Final = ATTRIBUTE.size + 4


@dataclass(frozen=True, slots=True)
class IceParameters:
    """The names and the password of one exchange (:rfc:`8839#section-5.4`)."""

    ufrag: str
    password: str = field(repr=False)
    """Ours; the peer's is not needed, as we check nothing."""
    peer_ufrag: str


@dataclass(slots=True)
class Source:
    """An address of the peer that has passed."""

    checked_at: float
    priority: int = -1
    """As it was nominated with; below zero it was not."""


class IceLite:
    """Takes checks, and returns their answers."""

    def __init__(self, parameters: IceParameters) -> None:
        self._parameters = parameters
        self._sources: dict[Address, Source] = {}
        self._selected: Address | None = None
        self.refused = 0
        """Checks without the password, and what is none."""

    def configure(self, parameters: IceParameters) -> None:
        """Go on under other names (:rfc:`8445#section-9`); who was found is believed until another is."""
        self._parameters = parameters

    def selected(self, now: float) -> Address | None:
        """Where to send, while its consent lasts; ``None`` for nowhere."""
        source = self._selected
        return source if source is not None and now < self._sources[source].checked_at + CONSENT_S else None

    def is_valid(self, source: Address) -> bool:
        """Whether somebody who knows the password sends from there."""
        return source in self._sources

    def receive(self, data: bytes, source: Address, *, now: float) -> bytes | None:
        """Take a STUN message; return what is to be sent back to ``source``, if anything is."""
        attributes = self._read_check(data)
        if attributes is None:
            self.refused += 1
            return None
        transaction = data[8 : HEADER.size]
        if ICE_CONTROLLED in attributes:  # two lite agents: nobody would ever check
            body = _attribute(ERROR_CODE, bytes((0, 0, *divmod(ROLE_CONFLICT, 100))))
            return self._seal(Kind.ERROR, transaction, body)
        self._admit(source, attributes, now)
        return self._seal(
            Kind.SUCCESS, transaction, _attribute(XOR_MAPPED_ADDRESS, _xor(source, data[4 : HEADER.size]))
        )

    def _read_check(self, data: bytes) -> Mapping[int, bytes] | None:
        """Return the attributes of a check that is for us, and from who knows the password.

        The integrity comes last but for the fingerprint (:rfc:`8489#section-14.5`), which ICE demands.
        """
        shortest = HEADER.size + INTEGRITY_BYTES + FINGERPRINT_BYTES
        if not is_stun(data) or not shortest <= len(data) <= MAX_BYTES or len(data) % 4:
            return None
        kind, length, _, _ = HEADER.unpack_from(data)
        end = len(data) - FINGERPRINT_BYTES
        start = end - INTEGRITY_BYTES
        has_tail = ATTRIBUTE.unpack_from(data, start) == (MESSAGE_INTEGRITY, 20) and ATTRIBUTE.unpack_from(
            data, end
        ) == (FINGERPRINT, 4)
        if kind != Kind.REQUEST.value or length != len(data) - HEADER.size or not has_tail:
            return None
        attributes = split_attributes(data)
        name = f"{self._parameters.ufrag}:{self._parameters.peer_ufrag}".encode()
        if attributes is None or attributes.get(USERNAME) != name:
            return None
        is_true = hmac.compare_digest(data[start + ATTRIBUTE.size : end], self._integrity(data[:start]))
        return attributes if is_true else None

    def _admit(self, source: Address, attributes: Mapping[int, bytes], now: float) -> None:
        found = self._sources.pop(source, None) or Source(now)
        found.checked_at = now
        self._sources[source] = found  # the latest last
        if USE_CANDIDATE in attributes:
            found.priority = int.from_bytes(attributes.get(PRIORITY, b"")[:4], "big")
            best = self.selected(now)
            if best is None or found.priority >= self._sources[best].priority:
                self._selected = source
        if len(self._sources) > MAX_SOURCES:
            del self._sources[next(each for each in self._sources if each != self._selected)]

    def _integrity(self, head: bytes) -> bytes:
        """Of a message up to its integrity, whose length field counts that in, and nothing behind it."""
        length = len(head) + INTEGRITY_BYTES - HEADER.size
        counted = head[:2] + length.to_bytes(2, "big") + head[4:]
        return hmac.digest(self._parameters.password.encode(), counted, "sha1")

    def _seal(self, kind: Kind, transaction: bytes, body: bytes) -> bytes:
        length = len(body) + INTEGRITY_BYTES + FINGERPRINT_BYTES
        head = HEADER.pack(kind.value, length, MAGIC_COOKIE, transaction) + body
        sealed = head + _attribute(MESSAGE_INTEGRITY, self._integrity(head))
        return sealed + _attribute(FINGERPRINT, fingerprint(sealed).to_bytes(4, "big"))


def _attribute(number: int, value: bytes) -> bytes:
    return ATTRIBUTE.pack(number, len(value)) + value + bytes(-len(value) % 4)


def _xor(address: Address, mask: bytes) -> bytes:
    """Write an address as it is mapped (:rfc:`8489#section-14.2`)."""
    host = ip_address(address[0])
    packed = bytes(octet ^ each for octet, each in zip(host.packed, mask, strict=False))
    port = address[1] ^ int.from_bytes(mask[:2], "big")
    return bytes((0, FAMILY_IPV4 if host.version == 4 else FAMILY_IPV6)) + port.to_bytes(2, "big") + packed
