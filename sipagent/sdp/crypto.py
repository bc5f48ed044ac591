"""``a=crypto``: the keys of SRTP in a description (:rfc:`4568`), and what two descriptions make of them.

Each side names the key it sends with. The offerer says what it can do, the answerer echoes the tag of the first line
that it can do as well. Keys are text in a description and bytes here; neither is ever in a ``repr``.

- A key that stays the same stays in use: what counts packets for it goes on (:rfc:`4568#section-7.1.4`).
- A key that was used is never offered again: two packets of one number under one key would tell both.
- A line with what we don't do (an MKI, several keys, a key derivation rate, unencrypted streams) is no line to us
  (:rfc:`4568#section-6.3`); the next one may do.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, TypeAlias

from sipagent.errors import LocalProtocolError
from sipagent.sdp.description import Attribute, Media, parse_number

SrtpMode: TypeAlias = Literal["off", "optional", "required"]

KEY_BYTES: Final[Mapping[str, int]] = {
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
    "AEAD_AES_128_GCM": 16 + 12,
    "AEAD_AES_256_GCM": 32 + 12,
}
"""The suites we know, and the bytes of master key and salt (:rfc:`4568#section-6.2`, :rfc:`7714#section-12`). Those of
:rfc:`6188` libsrtp has, but its Python binding does not."""
OFFERED: Final = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32")
"""First what everybody has, for there are telephones that read one line only; last what some old ones have alone."""

MAX_TAG: Final = 999_999_999
"""Nine digits (:rfc:`4568#section-9.1`)."""
MIN_LIFETIME: Final = 2**20
"""Packets of a key. The least that telephones say; it lasts for three hours of the shortest packets."""
MAX_LIFETIME: Final = 2**48
"""No key is good for more (:rfc:`3711#section-9.2`)."""
WINDOW_HINT: Final = "WSH="
"""How far packets may be out of order, at least; our window is wider than any hint that was seen."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One line."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    """Master key and salt of who says it."""

    def to_attribute(self) -> Attribute:
        """Write it down."""
        return Attribute("crypto", f"{self.tag} {self.suite} inline:{b64encode(self.key).decode()}")


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What two lines agree on."""

    suite: str
    send_key: bytes = field(repr=False)
    """Master key and salt of what we send."""
    receive_key: bytes = field(repr=False)
    tag: int = 1

    @property
    def ours(self) -> Crypto:
        """Our line."""
        return Crypto(self.tag, self.suite, self.send_key)


class KeyMaker:
    """Our own keys of one leg.

    :param random: that of the system, but in tests: whoever can guess it can listen in.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._spare: dict[str, bytes] = {}

    def offer(self, current: SrtpKeys | None) -> list[Crypto]:
        """Return our lines, that in use first and unchanged; those not in use are the same in each offer."""
        lines = [current.ours] if current else []
        tags = (tag for tag in range(1, len(OFFERED) + 2) if not (current and current.tag == tag))
        for suite in OFFERED:
            if not (current and current.suite == suite):
                key = self._spare.get(suite) or self._make(suite)
                lines.append(Crypto(next(tags), suite, key))
                self._spare[suite] = key
        return lines

    def answer(self, theirs: Crypto, current: SrtpKeys | None) -> SrtpKeys:
        """Answer a line: with our key in use where the peer's is in use, too, else with a new one.

        Most peers begin to count anew in both directions when a key of theirs is new.
        """
        is_in_use = current is not None and (current.suite, current.receive_key) == (theirs.suite, theirs.key)
        key = current.send_key if current and is_in_use else self._make(theirs.suite)
        return SrtpKeys(theirs.suite, key, theirs.key, theirs.tag)

    def forget(self, keys: SrtpKeys) -> None:
        """Never offer a key again that is in use now, once it no longer is."""
        if self._spare.get(keys.suite) == keys.send_key:
            del self._spare[keys.suite]

    def _make(self, suite: str) -> bytes:
        return self._random.randbytes(KEY_BYTES[suite])


def make_keys(mode: SrtpMode, random: Random | None) -> KeyMaker | None:
    """Return what makes our keys, ``None`` where there are to be none.

    :raises LocalProtocolError: without randomness there are no keys
    """
    if mode == "off":
        return None
    if random is None:
        raise LocalProtocolError("SRTP needs randomness for its keys")
    return KeyMaker(random)


def match(offered: Iterable[Crypto], answered: Crypto) -> SrtpKeys | None:
    """Return what comes of the answer to our lines; some echo a wrong tag, and mean the suite."""
    mine = next((line for line in offered if line.suite == answered.suite), None)
    return None if mine is None else SrtpKeys(mine.suite, mine.key, answered.key, mine.tag)


def read_cryptos(media: Media) -> Iterator[Crypto]:
    """Yield the lines that we can do, in their order."""
    return (line for value in media.get_all("crypto") if (line := parse_crypto(value)) is not None)


def parse_crypto(value: str) -> Crypto | None:
    """Return the line, ``None`` when it is malformed or says what we don't do."""
    tag_text, suite, key_text, *options = [*value.split(), "", "", ""]
    tag, suite = parse_number(tag_text, MAX_TAG), suite.upper()
    key = _parse_key(key_text, KEY_BYTES.get(suite, 0))
    if tag is None or key is None or not all(map(_is_harmless, filter(None, options))):
        return None
    return Crypto(tag, suite, key)


def _parse_key(text: str, length: int) -> bytes | None:
    """Return the key of ``inline:key|lifetime``; several keys, or one with an MKI, are none."""
    method, _, value = text.partition(":")
    encoded, *rest = value.split("|")
    if not length or method.lower() != "inline" or len(rest) > 1 or not all(map(_is_lifetime, rest)):
        return None
    try:
        key = b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), validate=True)
    except (Base64Error, ValueError):  # some leave the padding out
        return None
    return key if len(key) == length else None


def _is_lifetime(text: str) -> bool:
    """Whether it is one that no call of ours outlives."""
    is_power = text.startswith("2^")
    number = parse_number(text.removeprefix("2^"), 48 if is_power else MAX_LIFETIME)
    return number is not None and (2**number if is_power else number) >= MIN_LIFETIME


def _is_harmless(option: str) -> bool:
    """Whether a session parameter may be passed over: a hint, or one that says of itself that it is optional."""
    return option.upper().startswith(WINDOW_HINT) or option.startswith("-") or option.upper() == "KDR=0"
