"""Who calls, as far as it can be known, what brought the call here, and what others attached to it.

Everybody can write anything into a From. So what a network asserts (:rfc:`3325`) counts only from a peer that is
trusted, and all text is cut to a length and rid of what is not seen: controls, marks that turn the direction of
writing, characters without a form. What remains is data of strangers all the same, for a log, for rules, and, quoted,
for the model.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import Headers, NameAddr, parse_generic_params
from sipagent.sip.message import Request
from sipagent.sip.uri import Uri

T = TypeVar("T")

Fact: TypeAlias = str | bool | list[str] | dict[str, str]
"""What :meth:`Identity.facts` tells under one name."""

NAME_MAX = 64
"""Characters of a display name: more is no name, but a message to the model."""

URI_MAX = 128
"""Characters of a user part, a host or a whole URI as text."""

VALUE_MAX = 256
"""Characters of a field of the peer's own; the User-to-User of ISDN has 128 octets, twice that in hexadecimal."""

ENTRIES_MAX = 8
"""Diversions, entries of History-Info, and User-to-User fields that are looked at."""

FIELDS_MAX = 32
"""X- fields that are looked at."""

ANONYMOUS = NameAddr("Anonymous", Uri("sip", "anonymous", None, "anonymous.invalid"))
"""Who calls when nobody is to know (:rfc:`3323#section-4.1.1.3`)."""

ANONYMOUS_USERS = frozenset({"anonymous", "restricted", "unavailable", "unknown", "withheld"})
"""How peers write that they don't tell."""

PRIVATE = frozenset({"id", "user", "header"})
"""The values of Privacy that concern who calls (:rfc:`3323#section-4.2`, :rfc:`3325#section-9.3`)."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""The Unicode categories of what has no form: controls, formats such as U+202E, private and unassigned ones."""

_OCTETS = re.compile(r"[\udc80-\udcff]")
_SPACES = re.compile(r"\s+")
_UUI = re.compile(rf"({grammar.TOKEN}|{grammar.QUOTED_STRING})({grammar.GENERIC_PARAMS})")
_CAUSE = re.compile(r";\s*cause\s*=\s*([0-9]{3})")


def clean(text: str, limit: int) -> str:
    """Return what is to be seen of a text from the wire, on one line and no longer than ``limit`` characters.

    Octets that are no UTF-8 are read as Latin-1, in which old exchanges write their names.
    """
    text = text[: 4 * limit]
    if text.isascii() and text.isprintable():
        return _SPACES.sub(" ", text).strip()[:limit].rstrip()
    text = _OCTETS.sub(lambda match: chr(ord(match[0]) - 0xDC00), text)
    seen = "".join(letter if unicodedata.category(letter) not in _INVISIBLE else " " for letter in text)
    return _SPACES.sub(" ", seen).strip()[:limit].rstrip()


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody."""

    uri: Uri
    name: str = ""
    """Fit to be shown; empty when none was given."""

    @classmethod
    def of(cls, address: NameAddr) -> "Party":
        """Take a party from a header field; what the URI holds beside the address is dropped."""
        return cls(replace(address.uri, password=None, headers=()), clean(address.display_name or "", NAME_MAX))

    @property
    def user(self) -> str:
        """The number or the user part, without its parameters, fit to be shown; empty for a host as such."""
        text = self.uri.opaque if self.uri.scheme == "tel" else self.uri.user or ""
        return clean(text.partition(";")[0], URI_MAX)

    @property
    def host(self) -> str:
        """Fit to be shown; empty for a ``tel`` URI."""
        return clean(self.uri.host.lower(), URI_MAX)

    def __str__(self) -> str:
        return self.user or self.host


@dataclass(frozen=True, slots=True)
class Diversion:
    """Somebody whom the call was for before it was sent on."""

    party: Party
    reason: str = ""
    """``no-answer``, ``user-busy`` and so on (:rfc:`5806#section-4`), or the status of a History-Info's entry."""


@dataclass(frozen=True, slots=True)
class UserToUser:
    """Data from the caller's program to the called one (:rfc:`7433`)."""

    data: str
    """As it was written, without quotes."""
    encoding: str = ""
    purpose: str = ""

    @property
    def text(self) -> str:
        """The data fit to be shown, decoded where it is text in hexadecimal."""
        if self.encoding == "hex":
            try:
                decoded = bytes.fromhex(self.data).decode()
            except ValueError:
                return self.data
            return decoded if decoded.isprintable() else self.data
        return self.data


@dataclass(frozen=True, slots=True)
class Identity:
    """What an INVITE says of its caller and of its way."""

    caller: Party
    called: Uri
    """Whom they dialled."""
    is_asserted: bool = False
    """Whether a network that we trust says who calls; if not, they say so themselves."""
    is_private: bool = False
    """They don't want to be known: show the model no name and no number."""
    verification: str = ""
    """The ``verstat`` of a network that checked a signature (3GPP TS 24.229): ``TN-Validation-Passed`` and so on."""
    diversions: tuple[Diversion, ...] = ()
    """The last one first (:rfc:`5806#section-5`)."""
    history: tuple[Diversion, ...] = ()
    """All that were tried, in order, the present target last (:rfc:`7044`)."""
    user_to_user: tuple[UserToUser, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """The X- fields, in order."""

    @classmethod
    def from_request(cls, request: Request, *, is_trusted: bool, contact_user: str | None = None) -> "Identity":
        """Read an INVITE.

        :param is_trusted: whether the peer's word on others counts.
        :param contact_user: the user part of our Contact: when that was called, the To says what was dialled.
        """
        headers = request.headers
        asserted = _asserted(headers) if is_trusted else None
        caller = asserted or request.from_
        is_ours = contact_user is not None and request.uri.user == contact_user
        return cls(
            caller=Party.of(caller),
            called=request.to.uri if is_ours else request.uri,
            is_asserted=asserted is not None,
            is_private=_is_private(headers, caller),
            verification=_verification(caller) if is_trusted else "",
            diversions=tuple(_read_list(headers, "Diversion", _diversion)),
            history=tuple(_read_list(headers, "History-Info", _history_entry)),
            user_to_user=tuple(_user_to_user(headers)),
            headers=tuple(_own_fields(headers)),
        )

    def header(self, name: str) -> str:
        """Return the first X- field of this name, in any case, or what routing may ask for besides; or nothing."""
        match name.lower():
            case "diversion":
                return str(self.diversions[0].party) if self.diversions else ""
            case "history-info":
                return str(self.history[0].party) if self.history else ""
            case "user-to-user":
                return self.user_to_user[0].text if self.user_to_user else ""
            case key:
                return next((value for field, value in self.headers if field.lower() == key), "")

    def facts(self) -> dict[str, Fact]:
        """Return what a model may be told, by name, as plain values; what there is nothing to say of is left out."""
        told: dict[str, Fact] = {
            "caller": "withheld" if self.is_private else str(self.caller),
            "caller_name": "" if self.is_private else self.caller.name,
            "caller_is_vouched_for": self.is_asserted,
            "called": str(Party(self.called)),
            "diverted_from": [_describe(diversion) for diversion in self.diversions],
            "history": [_describe(entry) for entry in self.history],
            "user_to_user": [entry.text for entry in self.user_to_user],
            "headers": dict(reversed(self.headers)),
        }
        return {name: value for name, value in told.items() if value not in ("", [], {})}


def _asserted(headers: Headers) -> NameAddr | None:
    """Return who calls, in the word of a network: P-Asserted-Identity, before the Remote-Party-ID it took over from."""
    asserted = _read_list(headers, "P-Asserted-Identity", NameAddr.parse)
    remote = _read_fields(headers.get_fields("Remote-Party-ID"), NameAddr.parse)
    calling = (party for party in remote if party.parameters.get("party") in (None, "calling"))
    return next(asserted, None) or next(calling, None)


def _is_private(headers: Headers, caller: NameAddr) -> bool:
    asked = {value.strip().lower() for field in headers.get_fields("Privacy") for value in field.split(";")}
    kept = (caller.parameters.get("privacy") or "off").lower() != "off"  # of a Remote-Party-ID
    is_anonymous = (caller.uri.user or "").lower() in ANONYMOUS_USERS or caller.uri.host == ANONYMOUS.uri.host
    return kept or is_anonymous or not asked.isdisjoint(PRIVATE)


def _verification(caller: NameAddr) -> str:
    """Find ``verstat`` among the parameters of the number, or of the URI."""
    text = caller.uri.opaque if caller.uri.scheme == "tel" else caller.uri.user or ""
    found = [part.partition("=")[2] for part in text.split(";")[1:] if part.lower().startswith("verstat=")]
    return clean(found[0] if found else caller.uri.parameters.get("verstat") or "", NAME_MAX)


def _diversion(text: str) -> Diversion:
    address = NameAddr.parse(text)
    return Diversion(Party.of(address), clean(address.parameters.get("reason") or "", NAME_MAX))


def _history_entry(text: str) -> Diversion:
    """Read an entry; the reason why this target did not do stands in its URI (:rfc:`7044#section-5`)."""
    address = NameAddr.parse(text)
    reasons = [value for name, value in address.uri.headers if name.lower() == "reason"]
    cause = _CAUSE.search(reasons[0]) if reasons else None
    return Diversion(Party.of(address), cause[1] if cause else "")


def _user_to_user(headers: Headers) -> Iterator[UserToUser]:
    fields = [value for field in headers.get_fields("User-to-User") for value in grammar.split_list(field)]
    for text in fields[:ENTRIES_MAX]:
        match = _UUI.fullmatch(text)
        if match is not None:
            parameters = parse_generic_params(match[2])
            data = clean(grammar.unquote(match[1]), VALUE_MAX)
            names = (clean(parameters.get(name) or "", NAME_MAX).lower() for name in ("encoding", "purpose"))
            yield UserToUser(data, *names)


def _own_fields(headers: Headers) -> list[tuple[str, str]]:
    fields = [(name, value) for name, value in headers.items() if name[:2].lower() == "x-"]
    return [(clean(name, NAME_MAX), clean(value, VALUE_MAX)) for name, value in fields[:FIELDS_MAX]]


def _read_list(headers: Headers, name: str, read: Callable[[str], T]) -> Iterator[T]:
    return _read_fields(headers.get_all(name), read)


def _read_fields(values: list[str], read: Callable[[str], T]) -> Iterator[T]:
    """Read what can be read; an entry of somebody else's that can't be is no reason to refuse a call."""
    for value in values[:ENTRIES_MAX]:
        try:
            yield read(value)
        except RemoteProtocolError:
            continue


def _describe(diversion: Diversion) -> str:
    names: Iterable[str] = (str(diversion.party), diversion.party.name, diversion.reason)
    return ", ".join(name for name in names if name)
