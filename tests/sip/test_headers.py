"""Header fields as a multi-map, and the values that have a structure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.headers import CSEQ_MAX, SECONDS_MAX, CSeq, Headers, NameAddr, Via, read_seconds
from sipagent.sip.uri import Parameters, Uri

VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))
TOKEN = st.from_regex(r"[A-Za-z0-9.!%*_+`'~-]+", fullmatch=True)
HOST = st.sampled_from(["example.com", "192.0.2.1", "2001:db8::1", "a_b"])
PORT = st.none() | st.integers(0, 65_535)
PARAMETERS = st.dictionaries(TOKEN.map(str.lower), st.none() | VALUE, max_size=4).map(
    lambda pairs: Parameters(pairs.items())
)
URIS = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
    host=HOST,
    port=PORT,
)


@given(st.builds(NameAddr, st.none() | VALUE, URIS, PARAMETERS))
def test_an_address_survives(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address


@given(st.builds(Via, TOKEN.map(str.upper), HOST, PORT, PARAMETERS))
def test_a_via_survives(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(st.builds(CSeq, st.integers(0, CSEQ_MAX), TOKEN))
def test_a_cseq_survives(cseq: CSeq) -> None:
    assert CSeq.parse(str(cseq)) == cseq


@pytest.mark.parametrize(
    ("text", "name", "uri", "parameters"),
    [
        ("sip:a@h", None, "sip:a@h", []),
        ("sip:a@h;tag=1", None, "sip:a@h", [("tag", "1")]),
        ("<sip:a@h;lr>;tag=1", None, "sip:a@h;lr", [("tag", "1")]),
        ('"A, B" <sip:a@h>', "A, B", "sip:a@h", []),
        ('"" <sip:a@h>', "", "sip:a@h", []),
        (r'"a\"b\\" <sip:a@h>', 'a"b\\', "sip:a@h", []),
        ("Anna Blume<sip:a@h>", "Anna Blume", "sip:a@h", []),
        ("Jürgen (Büro) <sip:a@h>", "Jürgen (Büro)", "sip:a@h", []),
        ("<sip:a@h> ; q = 0.5\t;expires=60", None, "sip:a@h", [("q", "0.5"), ("expires", "60")]),
        ('<sip:a@h>;x="a;tag=2, \\"";tag=a/b=@1', None, "sip:a@h", [("x", 'a;tag=2, "'), ("tag", "a/b=@1")]),
        ("<tel:+1-201;phone-context=x>;tag=1", None, "tel:+1-201;phone-context=x", [("tag", "1")]),
        ("isbn:2983792873", None, "isbn:2983792873", []),
    ],
)
def test_address(text: str, name: str | None, uri: str, parameters: list[tuple[str, str | None]]) -> None:
    address = NameAddr.parse(text)
    assert address == NameAddr(name, Uri.parse(uri), Parameters(parameters))
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "alice", "alice@h", '"A <sip:a@h>', "<sip:a@h", "sip:a@h>", "< sip:a@h >", "A, B <sip:a@h>",
        "<sip:a@h>;;", "<sip:a@h>;a=", "<sip:a@h> a", "sip:a@h?Route=x", "sip:a,b@h", "<sip:a@h>;tag=1;TAG=2",
        '<sip:a@h>;a="', '<sip:a@h>;tag="1"x', "<>", "<<sip:a@h>>",
    ],
)  # fmt: skip
def test_malformed_addresses(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        NameAddr.parse(text)


def test_tags() -> None:
    address = NameAddr.parse("<sip:a@h>;x=1")
    assert address.tag is None
    assert str(address.with_tag("t")) == "<sip:a@h>;x=1;tag=t"
    assert address.with_tag("t").with_tag("u").tag == "u"


def test_via() -> None:
    via = Via.parse("SIP / 2.0 / udp  [2001:db8::9] : 5070 ;branch=z9hG4bKa ; rport;received=2001:db8::1")
    assert (via.transport, via.host, via.port, via.sent_by) == ("UDP", "2001:db8::9", 5070, "[2001:db8::9]:5070")
    assert (via.branch, via.received, via.rport) == ("z9hG4bKa", "2001:db8::1", None)
    assert "rport" in via.parameters
    answered = via.with_parameter("rport", "1024")
    assert answered.rport == "1024"
    assert str(answered) == "SIP/2.0/UDP [2001:db8::9]:5070;branch=z9hG4bKa;rport=1024;received=2001:db8::1"


@pytest.mark.parametrize(
    "text",
    [
        "", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/2.0/UDPh", "SIP/2.0/UDP h;;", "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h:70000", "SIP/2.0/UDP h, ", "SIP/2.0/UDP h;branch=a;branch=b", "SIP/2.0/UDP a b",
        "SIP/2.0/UDP [::1", "SIP/2.0/UDP [:::]",
    ],
)  # fmt: skip
def test_malformed_vias(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Via.parse(text)


def test_cseq() -> None:
    assert CSeq.parse("0009 \tINVITE") == CSeq(9, "INVITE")
    assert CSeq.parse("0" * 5_000 + "1 RE%47").number == 1


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "-1 A", "4294967296 A", "9" * 5_000 + " A", "1 A B", "1 ä"]
)
def test_malformed_cseqs(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        CSeq.parse(text)


def test_names_match_in_any_case_and_by_compact_form() -> None:
    headers = Headers([("v", "1"), ("VIA", "2"), ("X-Odd", "3"), ("call-id", "4")])
    assert headers.items() == [("Via", "1"), ("Via", "2"), ("X-Odd", "3"), ("Call-ID", "4")]
    assert headers.get("via") == "1"
    assert headers.get_fields("V") == ["1", "2"]
    assert headers.get("x-oDD") == "3"
    assert "I" in headers
    assert "Absent" not in headers
    assert 4 not in headers
    assert headers.get("Absent") is None
    assert headers.get("Absent", "5") == "5"
    assert headers.get_all("Absent") == []
    assert len(headers) == 4


def test_lists_are_split_where_the_rfc_allows_lists() -> None:
    headers = Headers(
        [("Supported", "a, b"), ("Subject", "a, b"), ("k", "c"), ("Contact", '"x, y" <sip:a@h>, <sip:b@h>')]
    )
    assert headers.get_all("Supported") == ["a", "b", "c"]
    assert headers.get_all("Subject") == ["a, b"]
    assert headers.get_all("m") == ['"x, y" <sip:a@h>', "<sip:b@h>"]


def test_changes() -> None:
    headers = Headers([("Via", "a, b"), ("Via", "c"), ("To", "t")])
    headers.replace_first("via", "z")
    assert headers.get_all("Via") == ["z", "b", "c"]
    headers.set("via", "y")
    headers.set("From", "f")
    headers.insert_first("Via", "x")
    assert headers.items() == [("Via", "x"), ("Via", "y"), ("To", "t"), ("From", "f")]
    headers.replace_first("Subject", "a, b")
    headers.replace_first("Subject", "c")
    assert headers.get("Subject") == "c"
    headers.remove("v")
    headers.remove("v")
    assert headers == Headers([("To", "t"), ("From", "f"), ("Subject", "c")])
    assert headers != Headers()
    assert repr(Headers([("v", "1")])) == "Headers([('Via', '1')])"


def test_a_copy_changes_on_its_own() -> None:
    headers = Headers([("To", "t")])
    copy = headers.copy()
    copy.add("To", "u")
    assert headers.get_fields("To") == ["t"]
    assert copy.get_fields("To") == ["t", "u"]


def test_what_is_derived_is_remembered_until_its_field_changes() -> None:
    headers = Headers([("To", "t")])
    calls = []

    def count(of: Headers) -> int:
        calls.append(len(of.get_fields("To")))
        return calls[-1]

    assert headers.derive("To", count) == headers.derive("To", count) == 1
    headers.add("From", "f")
    headers.replace_first("Via", "v")
    assert headers.derive("To", count) == 1
    assert calls == [1]
    headers.add("t", "u")
    assert headers.derive("To", count) == 2
    headers.remove("To")
    assert headers.derive("To", count) == 0
    headers.insert_first("To", "v")
    headers.set("To", "w")
    assert headers.derive("To", count) == 1
    assert calls == [1, 2, 0, 1]


def test_fields_are_taken_as_they_are() -> None:
    headers = Headers([("To", "t"), ("v", "a"), ("Via", "b")])
    taken = Headers()
    taken.take(headers, "Via")
    taken.take(headers, "to", most=1)
    taken.take(headers, "From")
    assert taken.items() == [("Via", "a"), ("Via", "b"), ("To", "t")]
    taken.take(headers, "Via", most=1)
    assert taken.get_fields("Via") == ["a", "b", "a"]


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\n", "\r", "\0", "\ud800"], ids=ascii)
def test_no_line_ends_go_out(value: str) -> None:
    headers = Headers([("To", "t")])
    for change in (headers.add, headers.set, headers.insert_first, headers.replace_first):
        with pytest.raises(LocalProtocolError):
            change("To", value)
    assert headers == Headers([("To", "t")])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä"], ids=ascii)
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Headers().add(name, "v")


def test_reading_goes_on_after_a_line_that_can_not_be_read() -> None:
    headers, problem = Headers.read(
        ["To\t: a ", "nonsense", "Via", "\u212aey: v", "X-\x7f: v", ":", "From:", "X-Y: y : z"]
    )
    assert problem == "malformed header field"
    assert headers.items() == [("To", "a"), ("From", ""), ("X-Y", "y : z")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("120", 120), ("5 (busy);duration=60", 5), ("9" * 5000, SECONDS_MAX), ("-1", None), ("soon", None)],
)
def test_seconds(text: str, seconds: int | None) -> None:
    assert read_seconds(Headers([("Retry-After", text)]), "retry-after") == seconds
    assert read_seconds(Headers(), "Expires") is None
