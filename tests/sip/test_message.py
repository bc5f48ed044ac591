"""Messages: what is accepted, what is refused and how, what goes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.headers import CSeq, Headers, NameAddr, Via
from sipagent.sip.message import (
    FIELDS_MAX,
    HEAD_MAX,
    LINE_MAX,
    REASONS,
    MessageError,
    Request,
    Response,
    make_response,
    parse_message,
)
from sipagent.sip.uri import Uri

INVITE = """\
INVITE sip:agent@192.0.2.10 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK1;rport
Max-Forwards: 70
Contact: <sip:alice@192.0.2.20:5060;transport=UDP>
To: <sip:agent@192.0.2.10>
From: "Alice" <sip:alice@192.0.2.20>;tag=9f8e
Call-ID: 8a7b@192.0.2.20
CSeq: 1 INVITE
Allow: INVITE, ACK,BYE
Content-Type: application/sdp
Content-Length: 5

v=0
"""


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def request(text: str) -> Request:
    message = parse_message(wire(text))
    assert isinstance(message, Request)
    return message


def without(name: str) -> str:
    return "".join(line for line in INVITE.splitlines(keepends=True) if not line.startswith(name + ":"))


def error_of(text: str | bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        parse_message(wire(text) if isinstance(text, str) else text)
    return caught.value


def test_an_ordinary_invite() -> None:
    invite = request(INVITE)
    assert invite.method == "INVITE"
    assert invite.uri == Uri("sip", "agent", host="192.0.2.10")
    assert invite.via == Via.parse("SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK1;rport")
    assert invite.vias == [invite.via]
    assert invite.from_ == NameAddr.parse('"Alice" <sip:alice@192.0.2.20>;tag=9f8e')
    assert invite.to == NameAddr(None, invite.uri)
    assert invite.call_id == "8a7b@192.0.2.20"
    assert invite.cseq == CSeq(1, "INVITE")
    assert invite.contact == NameAddr.parse("<sip:alice@192.0.2.20:5060;transport=UDP>")
    assert invite.record_route == []
    assert invite.max_forwards == 70
    assert invite.content_type == "application/sdp"
    assert (invite.require, invite.supported, invite.allow) == ([], [], ["INVITE", "ACK", "BYE"])
    assert invite.body == b"v=0\r\n"


def test_a_message_survives() -> None:
    invite = request(INVITE)
    assert parse_message(bytes(invite)) == invite
    assert bytes(invite) == wire(INVITE)


NAME = st.from_regex(r"X-[A-Za-z0-9.!%*_+`'~-]{1,12}", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")).map(
    lambda text: text.strip(" \t")
)


@given(st.lists(st.tuples(NAME, VALUE)), st.binary())
def test_fields_and_body_survive(fields: list[tuple[str, str]], body: bytes) -> None:
    invite = request(INVITE)
    sent = Request("INVITE", invite.uri, Headers([*invite.headers.items(), *fields]), body)
    got = parse_message(bytes(sent))
    assert got.body == body
    assert got.headers.items()[len(invite.headers) - 1 : -1] == fields


@given(st.binary().filter(lambda octets: not set(octets) & set(b"\r\n\0")))
def test_octets_that_are_no_utf_8_survive(octets: bytes) -> None:
    field = b"X-Odd: " + octets.strip(b" \t") + b"\r\n"
    message = parse_message(wire(INVITE).replace(b"Allow:", field + b"Allow:"))
    assert field in bytes(message)


def test_a_response() -> None:
    response = parse_message(wire(INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", "sip/2.0 486 Ganz besetzt: ü")))
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (486, "Ganz besetzt: ü")
    assert parse_message(bytes(response)) == response


@pytest.mark.parametrize(
    ("line", "reason"), [("SIP/2.0 100 ", ""), ("SIP/2.0 100", ""), ("SIP/2.0 100  x ", " x ")], ids=ascii
)
def test_reason_phrases(line: str, reason: str) -> None:
    response = parse_message(wire(INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", line)))
    assert isinstance(response, Response)
    assert response.reason == reason


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("SIP/2.0\nVia", "SIP/3.0\nVia", 505),
        ("SIP/2.0\nVia", "SIP/2.00\nVia", 505),
        ("SIP/2.0\nVia", "HTTP/1.1\nVia", 400),
        ("SIP/2.0\nVia", "SIP/2.0 \nVia", 400),
        ("SIP/2.0\nVia", "\nVia", 400),
        ("sip:agent@192.0.2.10 SIP", "agent SIP", 400),
        ("sip:agent@192.0.2.10 SIP", " sip:agent@192.0.2.10 SIP", 400),
        ("sip:agent@192.0.2.10 SIP", "<sip:agent@192.0.2.10> SIP", 400),
        ("sip:agent@192.0.2.10 SIP", "sip:agent@192.0.2.10?a=b SIP", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 invite", 400),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 INVITE\nCSeq: 1 INVITE", 400),
        ("branch=z9hG4bK1", "branch=z9hg4bk", 400),
        ("Max-Forwards: 70", "Max-Forwards: many", 400),
        ("Max-Forwards: 70", "Max-Forwards: 70\nMax-Forwards: 70", 400),
        ("Contact: ", "Contact: nobody, ", 400),
        ("Allow:", "Record-Route: <sip:h;lr>, <h>\nAllow:", 400),
        ("Allow:", "nonsense\nAllow:", 400),
        ("Allow:", "Odd name: x\nAllow:", 400),
        ("Allow:", "Via: nonsense\nAllow:", 400),
        ("Content-Length: 5", "Content-Length: 6", 400),
        ("Content-Length: 5", "Content-Length: " + "9" * 5_000, 400),
        ("Content-Length: 5", "Content-Length: -5", 400),
        ("Content-Length: 5", "Content-Length: 5\nl: 5", 400),
        ("Content-Type:", "c: text/plain\nContent-Type:", 400),
        ("Allow:", "Allow: A\n" * FIELDS_MAX + "Allow:", 513),
        ("Allow:", "X-Long: " + "a" * LINE_MAX + "\nAllow:", 513),
    ],
)
def test_refused_with_something_to_answer(old: str, new: str, status: int) -> None:
    assert INVITE.count(old) == 1
    error = error_of(INVITE.replace(old, new))
    assert error.status == status
    assert error.partial is not None
    response = make_response(error.partial, status, to_tag="t")
    assert response.via.branch is not None
    assert response.to.tag == "t"
    assert response.call_id == "8a7b@192.0.2.20"


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_a_mandatory_field_is_missing(name: str) -> None:
    error = error_of(without(name))
    assert str(error) == f"no {name}"
    assert error.partial is not None
    response = make_response(error.partial, 400, to_tag="t")
    assert name not in response.headers
    assert len(response.headers) == 4


@pytest.mark.parametrize(
    "text",
    [
        without("Via"),
        INVITE.replace("Via: SIP/2.0/UDP", "Via:"),
        INVITE.replace("Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK1;rport", "Via:"),
        INVITE.replace("INVITE", "ACK").replace("CSeq: 1", "CSeq: x"),
        INVITE.replace("INVITE sip", "IN(ITE sip"),
        INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", "SIP/2.0 99 Low"),
        INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", "SIP/2.0 4294967496 OK"),
        INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", "SIP/3.0 200 OK"),
        INVITE.replace("INVITE sip:agent@192.0.2.10 SIP/2.0", "SIP/2.0 200 OK").replace("CSeq: 1", "CSeq: x"),
        INVITE.replace("Max", "Evil: a\rb\nMax"),
        "\n\n",
        "",
    ],
    ids=range(12),
)
def test_refused_with_nothing_to_answer(text: str) -> None:
    assert error_of(text).partial is None


def test_a_line_feed_alone_is_no_line_end() -> None:
    assert error_of(INVITE.encode()).partial is None


def test_a_head_has_an_end() -> None:
    head = wire(INVITE.partition("\n\n")[0]).replace(b"Content-Length: 5", b"Content-Length: 0")
    assert parse_message(head + b"\r\n").body == b""
    assert error_of(head).partial is not None
    assert error_of(head + b"\r\nX: " + b"a" * HEAD_MAX).status == 513


def test_what_follows_the_body_is_ignored_and_line_ends_before_the_start_are_skipped() -> None:
    message = parse_message(b"\r\n\r\n" + wire(INVITE) + b"INVITE sip:b SIP/2.0\r\n\r\n")
    assert message == request(INVITE)
    assert request(without("Content-Length") + "more").body == b"v=0\r\nmore"


def test_folded_lines() -> None:
    message = request(
        INVITE.replace("Allow: INVITE,", "Allow  :\n\tINVITE\n  ,").replace("Max-Forwards: 70", "Max-Forwards:\n 0070")
    )
    assert message.allow == ["INVITE", "ACK", "BYE"]
    assert message.max_forwards == 70


def test_numbers_of_any_length() -> None:
    assert request(INVITE.replace("Max-Forwards: 70", "Max-Forwards: " + "9" * 6_000)).max_forwards == 255
    assert request(INVITE.replace("CSeq: 1", "CSeq: " + "0" * 6_000 + "1")).cseq.number == 1
    assert request(without("Max-Forwards")).max_forwards is None


def test_a_nul_is_read_as_a_replacement_character() -> None:
    message = request(INVITE.replace('"Alice"', '"A\\\0"'))
    assert message.from_.display_name == "A\ufffd"
    assert message.headers.get("From") == '"A\\\ufffd" <sip:alice@192.0.2.20>;tag=9f8e'


def test_lists() -> None:
    text = INVITE.replace(
        "Max",
        "Via: SIP/2.0/TCP b, SIP/2.0/X c\nRecord-Route: <sip:p;lr>,<sip:q;lr>\nk: a,, b\nk:\nRequire: 100rel\nMax",
    )
    message = request(text)
    assert [via.transport for via in message.vias] == ["UDP", "TCP", "X"]
    assert [str(route.uri) for route in message.record_route] == ["sip:p;lr", "sip:q;lr"]
    assert (message.supported, message.require) == (["a", "b"], ["100rel"])


@pytest.mark.parametrize("contact", ["Contact: *", "Contact:", "X-A: b"])
def test_no_contact(contact: str) -> None:
    message = request(without("Contact").replace("Allow", f"{contact}\nAllow"))
    assert message.contact is None
    assert message.contacts == []


def test_typed_properties_follow_the_fields() -> None:
    message = request(INVITE)
    assert message.via is message.via
    message.headers.replace_first("Via", str(message.via.with_parameter("rport", "1024")))
    assert message.via.rport == "1024"
    message.headers.set("Max-Forwards", "x")
    with pytest.raises(RemoteProtocolError):
        _ = message.max_forwards


@pytest.mark.parametrize(
    ("fields", "body", "content"),
    [
        ([("Content-Type", "application/sdp")], b"v=0", b"v=0"),
        ([("Content-Type", "Application / SDP;x=y")], b"v=0", b"v=0"),
        ([("Content-Type", "text/plain")], b"", b""),
        ([("Content-Type", "text/plain")], b"v=0", None),
        ([], b"v=0", b"v=0"),
        ([("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")], b"?", None),
        ([("Content-Type", "application/sdp"), ("Content-Encoding", "Identity")], b"v=0", b"v=0"),
        ([("Content-Type", "multipart/mixed;boundary=b")], b"--b\r\nc: application/sdp\r\n\r\nv=0\r\n--b--", b"v=0"),
        ([("Content-Type", "multipart/alternative;boundary=b")], b"--b\r\n\r\nhello\r\n--b--", None),
        ([("Content-Type", "text/plain;boundary=b")], b"--b\r\nc: application/sdp\r\n\r\nv=0\r\n--b--", None),
    ],
    ids=range(10),
)
def test_content(fields: list[tuple[str, str]], body: bytes, content: bytes | None) -> None:
    assert Request("INVITE", Uri("sip", host="h"), Headers(fields), body).content("application/sdp") == content


@pytest.mark.parametrize(
    ("disposition", "content"),
    [
        ("render;handling=optional", b""),
        ("render ; Handling = OPTIONAL ;x", b""),
        ("session;handling=required", None),
        ("session", None),
    ],
)
def test_a_body_that_need_not_be_understood(disposition: str, content: bytes | None) -> None:
    fields = [("Content-Type", "text/plain"), ("Content-Disposition", disposition)]
    message = Request("INVITE", Uri("sip", host="h"), Headers(fields), b"hello")
    assert message.content("application/sdp") == content


def test_no_content_type() -> None:
    assert Request("INVITE", Uri("sip", host="h")).content_type is None


def test_make_response() -> None:
    invite = request(INVITE.replace("Max", "v: SIP/2.0/TCP b , SIP/2.0/TCP c\nTimestamp: 54\nMax"))
    response = make_response(invite, 180, to_tag="t")
    assert bytes(response) == wire(
        "SIP/2.0 180 Ringing\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK1;rport\n"
        "Via: SIP/2.0/TCP b , SIP/2.0/TCP c\n"
        'From: "Alice" <sip:alice@192.0.2.20>;tag=9f8e\nTo: <sip:agent@192.0.2.10>;tag=t\n'
        "Call-ID: 8a7b@192.0.2.20\nCSeq: 1 INVITE\nContent-Length: 0\n\n"
    )
    assert make_response(invite, 100).headers.get("Timestamp") == "54"
    assert make_response(invite, 299).reason == "Unknown"
    assert make_response(invite, 400, reason="No").reason == "No"


@pytest.mark.parametrize(
    ("to", "tagged"),
    [
        ("sip:a@h", "sip:a@h;tag=t"),
        ("<sip:a@h> ; tag = x", "<sip:a@h> ; tag = x"),
        ('"a;tag=b" <sip:a@h>', '"a;tag=b" <sip:a@h>;tag=t'),
        ('"A <sip:a@h>', '"A <sip:a@h>;tag=t'),
    ],
)
def test_a_to_tag_is_added_unless_there_is_one(to: str, tagged: str) -> None:
    headers = Headers([("Via", "SIP/2.0/UDP h"), ("To", to)])
    response = make_response(Request("INVITE", Uri("sip", host="h"), headers), 400, to_tag="t")
    assert response.headers.get("To") == tagged


def test_nothing_is_injected_by_a_start_line() -> None:
    with pytest.raises(LocalProtocolError):
        bytes(Response(200, "OK\r\nEvil: 1"))
    with pytest.raises(LocalProtocolError):
        bytes(Request("BYE", Uri("sip", host="h\r\n")))


def test_reasons_can_not_be_changed() -> None:
    assert REASONS[486] == "Busy Here"
    with pytest.raises(TypeError):
        REASONS[486] = "x"  # type: ignore[index]


@given(
    st.binary() | st.text(st.sampled_from('\r\n :;,<>"\\/@%.=SIP20Viaz\0é'), max_size=80).map(str.encode),
    st.integers(0, 10**6),
)
def test_any_damage_is_refused_with_a_status(octets: bytes, where: int) -> None:
    data = wire(INVITE)
    where %= len(data)
    damaged = data[:where] + octets + data[where + 1 :]
    try:
        message = parse_message(damaged)
    except MessageError as error:
        assert error.status in {400, 505, 513}  # noqa: PT017
        if error.partial is not None:
            bytes(make_response(error.partial, error.status, to_tag="t"))
    else:
        assert isinstance(message, Request | Response)
        _ = (message.via, message.vias, message.from_, message.to, message.call_id, message.cseq, message.contact)
        assert parse_message(bytes(message)).headers.get("Call-ID") == message.call_id
