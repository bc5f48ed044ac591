"""Refusals in words."""

import pytest
from sip.peers import request

from sipagent.sip.diagnosis import diagnose
from sipagent.sip.digest import Credentials
from sipagent.sip.message import Request, Response, make_response, parse_message

ALICE = Credentials("alice", "secret", realm="pbx")
CHALLENGE = 'Digest realm="{}", nonce="n"'


def refuse(status: int, *, reason: str | None = None, challenge: str = "") -> Response:
    register = parse_message(request("REGISTER"))
    assert isinstance(register, Request)
    response = make_response(register, status, reason=reason)
    if challenge:
        response.headers.add("WWW-Authenticate" if status == 401 else "Proxy-Authenticate", challenge)
    return response


@pytest.mark.parametrize(
    ("response", "credentials", "words"),
    [
        (refuse(403), ALICE, "403 Forbidden: the user may not register, or the password is wrong"),
        (refuse(404, reason="Gone Fishing"), ALICE, "404 Gone Fishing: there is no such user"),
        (refuse(405), ALICE, "405 Method Not Allowed: what answers is no registrar"),
        (refuse(501), ALICE, "501 Not Implemented: what answers is no registrar"),
        (refuse(599, reason=""), ALICE, "599"),
        (refuse(401), None, "401 Unauthorized: a password is asked for, and the line has none"),
        (refuse(401), ALICE, "401 Unauthorized: a password is asked for, but not in a way that we know"),
        (
            refuse(401, challenge=CHALLENGE.format("pbx")),
            ALICE,
            '401 Unauthorized: the user name or the password is wrong (realm "pbx")',
        ),
        (
            refuse(407, challenge=CHALLENGE.format("rogue")),
            ALICE,
            '407 Proxy Authentication Required: the realm is "rogue", and the line answers "pbx" only',
        ),
    ],
)
def test_words(response: Response, credentials: Credentials | None, words: str) -> None:
    assert diagnose(response, credentials) == words


def test_what_strangers_write_is_short_and_harmless() -> None:
    words = diagnose(refuse(500, reason="\x1b[31m\u202e" + "x" * 10_000), None)
    assert words == "500 \ufffd[31m\ufffd" + "x" * 58
    long = diagnose(refuse(401, challenge=CHALLENGE.format("\x1b" + "r" * 5_000)), ALICE)
    assert "\x1b" not in long
    assert len(long) < 200
