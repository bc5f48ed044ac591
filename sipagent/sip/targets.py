"""Whom a line may call or transfer to: a list of patterns that allows, and one that denies and wins.

What decides is never the caller nor the model, who may both be talked into anything: toll fraud is a call to a number
that pays whoever asked for it. So without a list only the account's own domain is reached, and there the extensions of
up to six digits and the names. A number is read as all that a gateway might take it for: ``0900…`` is denied, and so
is ``+1 (900) …``, ``001900…`` or ``tel:900…;phone-context=+1``.

A pattern is a shell's: ``*`` is anything, ``?`` one character, ``[0-9]`` one of these. One with an ``@`` is compared
with ``user@host`` and so may open other domains; others are compared with the user part in the account's own domain.
``internal`` stands for the default. Only what is a number or a name can match, or, where a pattern has ``[*]`` or
``#``, a service code: nobody appends pauses and further digits to an allowed number.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

from sipagent.sip.uri import Uri

INTERNAL = "internal"
"""The pattern that stands for extensions and names of the account's own domain."""

DEFAULT_ALLOW = (INTERNAL,)

EXTENSION_DIGITS = 6
"""Of the longest extension; the shortest numbers that cost more than a local call have three, and are denied."""

E164_DIGITS = 15
"""Of the longest telephone number (ITU-T E.164, section 6)."""

NATIONAL_DIGITS = range(7, 11)
"""Of a number without a prefix, where none is dialled within the country; with more it may begin with a country's."""

USER_MAX = 64
"""Characters of a user part that is looked at."""

DENY_WORLD = (
    "+870*",  # Inmarsat
    "+878*",  # universal personal numbers
    "+881*",  # satellite telephones
    "+882*", "+883*",  # networks of no country, satellites among them
    "+979*",  # international premium rate
)  # fmt: skip
"""Numbers of no country (ITU-T E.164.D) that cost by the minute what others cost by the hour."""

DENY_PREMIUM = (
    "+1900*", "+1976*", "+1???976*",  # North America
    "+2786[2-9]*", "+279[0-2]*",  # South Africa
    "+30901*", "+30909*",  # Greece
    "+3190[069]*",  # Netherlands
    "+3270*", "+3290*",  # Belgium
    "+338[1235689]*",  # France
    "+3480[367]*", "+34905*", "+34907*",  # Spain
    "+35160[178]*", "+35164[68]*", "+35176[0-2]*",  # Portugal
    "+35315[1-9]*",  # Ireland
    "+358[67]00*",  # Finland
    "+390878*", "+3989*", "+39144*", "+3916[346]*",  # Italy
    "+4190[016]*",  # Switzerland
    "+42090[05689]*", "+420976*",  # Czechia
    "+4390[01]*", "+4393[019]*", "+438[69]*",  # Austria
    "+449*", "+448[47]*", "+4470*",  # Britain; the last are personal numbers, which fraud likes best
    "+4590*",  # Denmark
    "+46649*", "+46900*", "+46939*", "+46944*", "+4699*",  # Sweden
    "+4782[09]*",  # Norway
    "+4870[01346-8]*",  # Poland
    "+49900*", "+49137*", "+49118*",  # Germany, with directory enquiries
    "+52900*",  # Mexico
    "+55[59]00*",  # Brazil
    "+61190[0-26]*",  # Australia
    "+6490*",  # New Zealand
    "+651900*",  # Singapore
    "+780[39]*",  # Russia
    "+81990*", "+81570*",  # Japan
    "+852900*",  # Hong Kong
    "+90900*", "+908[89]8*",  # Turkey
    "+91186[12]*",  # India
    "+9721212*", "+97219*",  # Israel
)  # fmt: skip
"""What the plans of some countries keep for premium rate; it is not complete, so allow no more than is needed."""

DENY_NATIONAL = (
    "0900*", "0901*",  # most of Europe
    "1900*", "1976*", "900???????", "190[0-26]??????",  # North America, Australia
    "118??", "118???",  # directory enquiries, which connect to anywhere at a price of their own
)  # fmt: skip
"""The same as they are dialled within a country, where no country is meant to have other numbers of this form."""

DENY_EMERGENCY = ("112", "911", "999", "000")
"""Emergency numbers: not for a program that may have misunderstood."""

DEFAULT_DENY = (*DENY_WORLD, *DENY_PREMIUM, *DENY_NATIONAL, *DENY_EMERGENCY)

INTERNATIONAL_PREFIXES = ("00", "011", "0011", "010", "810")
"""What is dialled for ``+`` somewhere: in most countries, North America, Australia, Japan and Russia."""

_SEPARATORS = str.maketrans("", "", " -.()/")
"""What makes a number readable and means nothing (:rfc:`3966#section-5.1.1`); a gateway may drop it."""

_EXTENSION = re.compile(rf"[0-9]{{1,{EXTENSION_DIGITS}}}", re.ASCII)
_NAME = re.compile(r"[a-z](?:[a-z0-9._-]*[a-z0-9])?", re.ASCII)
_DIALLED = re.compile(r"\+?[0-9]+", re.ASCII)
_CONTEXT = re.compile(r"\+[0-9]{1,7}", re.ASCII)


class Targets:
    """Whom one line may call.

    :param domains: the account's own: its domain, and whatever addresses stand for it.
    :param allow: patterns.
    :param deny: patterns that win.
    :param country: its calling code, such as ``49``, so that ``030…`` is known to be ``+4930…``.
    :param international_prefix: what is dialled there for ``+``.
    """

    def __init__(
        self,
        domains: Iterable[str],
        *,
        allow: Sequence[str] = DEFAULT_ALLOW,
        deny: Sequence[str] = DEFAULT_DENY,
        country: str | None = None,
        international_prefix: str = "00",
    ) -> None:
        self._domains = frozenset(map(_plain_host, domains))
        self._is_internal_allowed = INTERNAL in allow
        self._allow = _Patterns(pattern for pattern in allow if pattern != INTERNAL and "@" not in pattern)
        self._allow_codes = _Patterns(pattern for pattern in allow if "[*]" in pattern or "#" in pattern)
        self._allow_anywhere = _Patterns(pattern for pattern in allow if "@" in pattern)
        self._deny = _Patterns(pattern for pattern in deny if "@" not in pattern)
        self._deny_anywhere = _Patterns(pattern for pattern in deny if "@" in pattern)
        self._country = country
        self._prefix = international_prefix

    def allows(self, uri: Uri, *, peer: str | None = None) -> bool:
        """Whether a call may go there; ``peer`` as for :meth:`refusal`."""
        return self.refusal(uri, peer=peer) is None

    def refusal(self, uri: Uri, *, peer: str | None = None) -> str | None:
        """Say why no call may go there, in words for a log; ``None`` when it may.

        :param peer: the host that we talk with, when its address is as good as the account's domain: a PBX names
            itself by its address where it should by its domain.
        """
        user, host = _split(uri)
        if not user:
            return "nobody is named, or not in a way that is understood"
        if any(map(self._deny, self._all_readings(user))) or self._deny_anywhere(f"{user}@{host}"):
            return "the number is denied"
        is_plain = bool(_DIALLED.fullmatch(user) or _NAME.fullmatch(user))
        if is_plain and self._allow_anywhere(f"{user}@{host}"):
            return None
        if host and host not in self._domains and host != _plain_host(peer or ""):
            return "another domain"
        if self._is_internal_allowed and (_EXTENSION.fullmatch(user) or _NAME.fullmatch(user)):
            return None
        is_allowed = any(map(self._allow, self._readings(user))) if is_plain else self._allow_codes(user)
        return None if is_allowed else "the number is not allowed"

    def _readings(self, user: str) -> set[str]:
        """The number as it is dialled and, when that is known, in its international form."""
        readings = {user}
        if self._prefix and user.startswith(self._prefix):
            readings.add("+" + user[len(self._prefix) :])
        elif self._country is not None and user.startswith("0"):
            readings.add(f"+{self._country}{user[1:]}")
        elif self._country is not None and len(user) in NATIONAL_DIGITS:
            readings.add(f"+{self._country}{user}")
        return readings

    def _all_readings(self, user: str) -> set[str]:
        """The number as anybody might read it."""
        readings = self._readings(user)
        readings |= {"+" + user[len(prefix) :] for prefix in INTERNATIONAL_PREFIXES if user.startswith(prefix)}
        if len(user) > max(NATIONAL_DIGITS):
            readings.add("+" + user)
        return readings


def _split(uri: Uri) -> tuple[str, str]:
    """Return the user, a number without its decoration, and the host, which is empty for a ``tel`` URI.

    The user is empty where a part of the URI could lead the call elsewhere than it seems to.
    """
    if uri.scheme == "tel":
        return _plain_user(uri.opaque), ""
    leads_elsewhere = "maddr" in uri.parameters or uri.parameters.get("method", "INVITE") != "INVITE"
    if not uri.is_sip or leads_elsewhere or uri.password is not None:
        return "", ""
    return _plain_user(uri.user or ""), _plain_host(uri.host)


def _plain_user(user: str) -> str:
    """Return a number without separators and in its global form, or a name in lower case; empty for neither.

    Of the parameters only ``phone-context`` is understood: others append digits to what is dialled.
    """
    if len(user) > USER_MAX:
        return ""
    user, *parameters = user.lower().split(";")
    plain = user.translate(_SEPARATORS)
    user = plain if _DIALLED.fullmatch(plain) else user
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        context = value.translate(_SEPARATORS)
        if name != "phone-context" or not _CONTEXT.fullmatch(context) or user.startswith("+"):
            return ""
        user = context + user
    return "" if user.startswith("+") and len(user) > 1 + E164_DIGITS else user


def _plain_host(host: str) -> str:
    return host.lower().rstrip(".")


class _Patterns:
    """Several patterns as one."""

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [translate(pattern.lower()) for pattern in patterns]
        self._match = re.compile("|".join(texts)).match if texts else None

    def __call__(self, text: str) -> bool:
        return self._match is not None and self._match(text) is not None
