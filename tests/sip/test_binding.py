"""What is read out of the 200 to a REGISTER; what becomes of it is with the registration."""

import pytest
from sip.peers import request, respond

from sipagent.sip.binding import ROUTES_MAX, Binding, read_number
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Request, Response, parse_message

SENT = NameAddr.parse("<sip:q1@192.0.2.1:5060>;expires=300")


def read(contact: str = "", headers: str = "", sent: NameAddr | None = SENT) -> Binding:
    register = parse_message(request("REGISTER"))
    assert isinstance(register, Request)
    response = parse_message(respond(register, 200, contact=contact, headers=headers))
    assert isinstance(response, Response)
    return Binding.read(response, sent, 300)


@pytest.mark.parametrize(
    ("contact", "headers", "expires_s"),
    [
        ("", "", 300),
        ("<sip:q1@192.0.2.1:5060>;expires=60", "Expires: 90", 60),
        ("<sip:q1@192.0.2.1:5060>", "Expires: 90", 90),
        ("<sip:q1@192.0.2.1:5060>;expires=0", "Expires: 90", 0),
        ("<sip:other@192.0.2.1:5060>;expires=60", "", 300),
        ("<sip:q1@198.51.100.1:1024>;expires=60", "", 60),
        ("<sip:q1@198.51.100.1:1024>;expires=60, <sip:q1@192.0.2.1:5060>;expires=70", "", 70),
        ("*", "", 300),
    ],
)
def test_the_time_that_is_ours(contact: str, headers: str, expires_s: int) -> None:
    assert read(contact, headers).expires_s == expires_s


def test_without_a_contact_of_ours_the_rest_counts() -> None:
    assert read("<sip:q1@192.0.2.1:5060>;expires=60", "Expires: 90", sent=None).expires_s == 90


def test_routes_have_an_end() -> None:
    route = "<sip:p.example.com;lr>"
    for name in ("Service-Route", "Path"):
        for count, kept in ((ROUTES_MAX, ROUTES_MAX), (ROUTES_MAX + 1, 0)):
            binding = read(headers=f"{name}: {', '.join([route] * count)}")
            found = binding.service_route if name == "Service-Route" else binding.path
            assert len(found) == kept


@pytest.mark.parametrize(
    ("text", "number"), [(None, None), ("", None), (" 7 ", 7), ("-1", None), ("1e3", None), ("9" * 10_000, 100)]
)
def test_numbers(text: str | None, number: int | None) -> None:
    assert read_number(text, 100) == number
