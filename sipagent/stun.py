"""STUN (:rfc:`8489`): what a server sees of our address, asked by a Binding request; ICE shares its attributes.

- We are a client only, but for ICE, which has its own rules: a request that comes to us is not answered, whoever sends
  it, nor is anything malformed. What answers strangers can be used against a third party.
- A response counts when its transaction is ours and it came from the server we asked.
- The only attributes read are the mapped addresses, ERROR-CODE and FINGERPRINT; lengths are checked before anything
  is read.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from struct import Struct
from typing import TypeAlias
from zlib import crc32

Address: TypeAlias = tuple[str, int]

MAGIC_COOKIE = 0x2112A442
HEADER = Struct("!HHI12s")
ATTRIBUTE = Struct("!HH")

MAX_BYTES = 1_280
"""Of a message over UDP (:rfc:`8489#section-6.1`): no response to a Binding request needs a tenth of it."""

MAX_ATTRIBUTES = 32
"""Of a message; an attribute may be empty, and then a datagram has room for hundreds."""

MAPPED_ADDRESS = 0x0001
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
XOR_MAPPED_ADDRESS_OLD = 0x8020
"""What servers wrote before :rfc:`5389` had its number."""
XORED = {XOR_MAPPED_ADDRESS: True, XOR_MAPPED_ADDRESS_OLD: True, MAPPED_ADDRESS: False}
"""Where the mapped address stands, best first: routers tend to rewrite one that is written plainly."""
MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256 = 0x0008, 0x001C
INTEGRITY = {MESSAGE_INTEGRITY: (20,), MESSAGE_INTEGRITY_SHA256: (16, 20, 24, 28, 32)}
"""How many bytes each may have (:rfc:`8489#section-14.5`): a wrong length would hide the fingerprint behind it."""
FINGERPRINT = 0x8028
FINGERPRINT_XOR = 0x5354554E

OPTIONAL = 0x8000
"""From here on, an attribute that is not known may be passed over (:rfc:`8489#section-14`)."""
KNOWN = frozenset({MAPPED_ADDRESS, ERROR_CODE, XOR_MAPPED_ADDRESS, 0x000A, 0x0014, 0x0015, *INTEGRITY})
"""Those below that are read, or that mean nothing to who has no credentials: UNKNOWN-ATTRIBUTES, REALM, NONCE."""

FAMILY_IPV4, FAMILY_IPV6 = 1, 2

PORT = 3_478
"""Of a STUN server that names none (:rfc:`8489#section-18.4`)."""


class Kind(Enum):
    """What a message is."""

    REQUEST = 0x0001
    INDICATION = 0x0011
    SUCCESS = 0x0101
    ERROR = 0x0111


KINDS = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A Binding message as far as it concerns us."""

    kind: Kind
    transaction: bytes
    """Twelve octets."""
    mapped: Address | None = None
    """Where our request came from, as the server saw it."""
    error: int | None = None
    """Between 300 and 699."""


def is_stun(data: bytes) -> bool:
    """Whether a datagram on the SIP port is STUN: no SIP message begins with so small an octet."""
    return len(data) >= HEADER.size and data[0] < 4 and data[4:8] == MAGIC_COOKIE.to_bytes(4, "big")


def build_request(transaction: bytes) -> bytes:
    """Write a Binding request, with a FINGERPRINT as it shares its port with SIP (:rfc:`8489#section-7`)."""
    head = HEADER.pack(Kind.REQUEST.value, ATTRIBUTE.size + 4, MAGIC_COOKIE, transaction)
    return head + ATTRIBUTE.pack(FINGERPRINT, 4) + fingerprint(head).to_bytes(4, "big")


def parse_message(data: bytes) -> StunMessage | None:
    """Read a Binding message; ``None`` for whatever is none, or breaks a rule."""
    if not is_stun(data) or len(data) > MAX_BYTES:
        return None
    kind, length, _, transaction = HEADER.unpack_from(data)
    if kind not in KINDS or length != len(data) - HEADER.size or length % 4:
        return None
    attributes = split_attributes(data)
    if attributes is None or any(number < OPTIONAL and number not in KNOWN for number in attributes):
        return None
    match KINDS[kind]:
        case Kind.SUCCESS:
            mapped = _find_address(attributes, data[4 : HEADER.size])
            return None if mapped is None else StunMessage(Kind.SUCCESS, transaction, mapped=mapped)
        case Kind.ERROR:
            error = _parse_error(attributes.get(ERROR_CODE, b""))
            return None if error is None else StunMessage(Kind.ERROR, transaction, error=error)
        case other:
            return StunMessage(other, transaction)


def split_attributes(data: bytes) -> dict[int, bytes] | None:
    """Cut out the attributes; ``None`` when one reaches beyond the end, or the fingerprint is false.

    Of an attribute that comes twice the first counts, and nothing counts that comes after an integrity attribute or
    the fingerprint (:rfc:`8489#section-14`).
    """
    found: dict[int, bytes] = {}
    at, number, is_over = HEADER.size, 0, False
    for _ in range(MAX_ATTRIBUTES):
        if at == len(data):
            return found
        number, size = ATTRIBUTE.unpack_from(data, at)
        start, end = at + ATTRIBUTE.size, at + ATTRIBUTE.size + size
        at = end + -size % 4
        if at > len(data) or size not in INTEGRITY.get(number, (size,)):
            return None
        if number == FINGERPRINT:
            is_true = size == 4 and int.from_bytes(data[start:end], "big") == fingerprint(data[: start - 4])
            return found if is_true and at == len(data) else None
        if not is_over:
            found.setdefault(number, data[start:end])
        is_over = is_over or number in INTEGRITY
    return None


def fingerprint(head: bytes) -> int:
    """Of a message without its fingerprint, whose length field counts it in (:rfc:`8489#section-14.7`)."""
    return crc32(head) ^ FINGERPRINT_XOR


def _find_address(attributes: dict[int, bytes], mask: bytes) -> Address | None:
    for number, is_xored in XORED.items():
        if number in attributes:
            return _parse_address(attributes[number], mask if is_xored else bytes(len(mask)))
    return None


def _parse_address(value: bytes, mask: bytes) -> Address | None:
    """Read a mapped address, which is no host's when it is unspecified, of many, or has no port."""
    size = {FAMILY_IPV4: 4, FAMILY_IPV6: 16}.get(value[1] if len(value) > 1 else 0)
    if size is None or len(value) != 4 + size:
        return None
    port = int.from_bytes(value[2:4], "big") ^ int.from_bytes(mask[:2], "big")
    address = ip_address(bytes(octet ^ each for octet, each in zip(value[4:], mask, strict=False)))
    if port == 0 or address.is_unspecified or address.is_multicast:
        return None
    return str(address), port


def _parse_error(value: bytes) -> int | None:
    """Read an error code (:rfc:`8489#section-14.8`)."""
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        return None
    return (value[2] & 7) * 100 + value[3]
