"""What a refusal means, in the words of whoever has to do something about it."""

from collections.abc import Mapping
from types import MappingProxyType

from sipagent.sip.digest import FIELDS, Credentials, read_challenges
from sipagent.sip.grammar import printable
from sipagent.sip.message import Response

PHRASE_MAX = 64
"""Characters of a reason phrase or a realm that are repeated."""

WORDS: Mapping[int, str] = MappingProxyType(
    {
        403: "the user may not register, or the password is wrong",
        404: "there is no such user",
        405: "what answers is no registrar",
        407: "the proxy refuses the user name or the password",
        423: "no registration is long enough for it",
        481: "what answers is no registrar",
        501: "what answers is no registrar",
        503: "it is out of service for now",
    }
)
"""What the statuses mean that a person can do something about."""


def diagnose(response: Response, credentials: Credentials | None) -> str:
    """Say why a REGISTER was refused.

    :param credentials: that its challenges were answered with, if any.
    """
    said = f"{response.status} {printable(response.reason)[:PHRASE_MAX]}".rstrip()
    if response.status in FIELDS:
        return f"{said}: {_diagnose_challenge(response, credentials)}"
    words = WORDS.get(response.status)
    return said if words is None else f"{said}: {words}"


def _diagnose_challenge(response: Response, credentials: Credentials | None) -> str:
    """Say why a challenge was not answered, or its answer not believed."""
    realms = [asked.realm for asked in read_challenges(response.headers.get_fields(FIELDS[response.status][0]))]
    if credentials is None:
        return "a password is asked for, and the line has none"
    if not realms:
        return "a password is asked for, but not in a way that we know"
    realm = printable(realms[0])[:PHRASE_MAX]
    if credentials.realm is not None and credentials.realm not in realms:
        return f'the realm is "{realm}", and the line answers "{credentials.realm}" only'
    return f'the user name or the password is wrong (realm "{realm}")'
