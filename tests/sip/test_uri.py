"""URIs and parameters: tables of the grammar's corners, and round trips of everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import RemoteProtocolError
from sipagent.sip.uri import Parameters, Uri

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
HOSTS = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True
) | st.ip_addresses().map(str)
PARAMETERS = st.lists(st.tuples(SOME_TEXT, st.none() | SOME_TEXT), max_size=4).map(Parameters)
SIP_URIS = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=SOME_TEXT,
    password=st.none() | TEXT,
    host=HOSTS,
    port=st.none() | st.integers(0, 65_535),
    parameters=PARAMETERS,
    headers=st.lists(st.tuples(SOME_TEXT, TEXT), max_size=3).map(tuple),
)


@given(SIP_URIS)
def test_parse_undoes_str(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri


@given(
    st.from_regex(r"[a-z][a-z0-9+.-]{0,8}", fullmatch=True), st.from_regex(r"[a-zA-Z0-9;/?:@&=+$,%#-]+", fullmatch=True)
)
def test_other_schemes_are_opaque(scheme: str, opaque: str) -> None:
    text = f"x{scheme}:{opaque.replace('%', '%20')}"
    assert str(Uri.parse(text)) == text


@given(st.binary(min_size=1))
def test_octets_that_are_no_utf_8_survive(octets: bytes) -> None:
    text = "sip:" + "".join(f"%{octet:02x}" for octet in octets) + "@host"
    uri = Uri.parse(text)
    assert Uri.parse(str(uri)) == uri
    assert uri.user is not None
    assert uri.user.encode("utf-8", "surrogateescape") == octets


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:example.com", Uri("sip", host="example.com")),
        ("SIPS:a@h:5061", Uri("sips", "a", host="h", port=5061)),
        ("sip:alice:secret@h", Uri("sip", "alice", "secret", "h")),
        ("sip:alice:@h", Uri("sip", "alice", "", "h")),
        ("sip:+1;isub=1@h;user=phone", Uri("sip", "+1;isub=1", None, "h", None, Parameters([("user", "phone")]))),
        ("sip:*21#@h", Uri("sip", "*21#", host="h")),
        ("sip:a@[2001:db8::1]:5060", Uri("sip", "a", host="2001:db8::1", port=5060)),
        ("sip:h;lr;maddr=1.2.3.4", Uri("sip", host="h", parameters=Parameters([("lr", None), ("maddr", "1.2.3.4")]))),
        ("sip:h?Subject=a%20b&To=", Uri("sip", host="h", headers=(("Subject", "a b"), ("To", "")))),
        ("sip:a%2541@h", Uri("sip", "a%41", host="h")),
        ("sip:a%00@h", Uri("sip", "a\0", host="h")),
        ("tel:+1-201-555-0123;phone-context=x", Uri("tel", opaque="+1-201-555-0123;phone-context=x")),
        ("soap.beep://192.0.2.1:3002", Uri("soap.beep", opaque="//192.0.2.1:3002")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_parse(text: str, uri: Uri) -> None:
    assert Uri.parse(text) == uri
    assert Uri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "", "alice@example.com", "sip:", "sip:@h", "sip:a@", "sip:a@b@c", "sip:a b@h", " sip:h", "sip:h ", "<sip:h>",
        "sip:h;", "sip:h;;lr", "sip:h;a=", "sip:h?", "sip:h?a", "sip:h?a=1&", "sip:%4@h", "sip:h:", "sip:h:65536",
        "sip:h:-1", "sip:h:5x", "sip:[::1", "sip:[:::1]", "sip:[1.2.3.4]", "sip:-h", "sip:h-", "sip:é@h", "sip:a\0@h",
        "sip:a\n@h", "1sip:h", "tel:", "tel:a b", "sip:h:" + "9" * 5_000, "sip:" + "a" * 9_000,
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Uri.parse(text)
    assert caught.value.status == 400


def test_parameters_are_found_in_any_case_and_keep_their_spelling() -> None:
    parameters = Uri.parse("sip:h;Transport=TCP;LR;%6Cx=%41").parameters
    assert parameters["transport"] == "TCP"
    assert "lr" in parameters
    assert parameters["lr"] is None
    assert parameters.get("lx") == "A"
    assert "x" not in parameters
    assert object() not in parameters
    assert list(parameters) == ["Transport", "LR", "lx"]


def test_of_parameters_that_come_twice_the_first_counts_and_both_are_written() -> None:
    uri = Uri.parse("sip:h;a=1;A=2")
    assert uri.parameters["a"] == "1"
    assert len(uri.parameters) == 1
    assert str(uri) == "sip:h;a=1;A=2"


def test_parameters_compare_by_what_they_say() -> None:
    one, other = Parameters([("a", "1"), ("b", None)]), Parameters([("B", None), ("A", "1")])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Parameters([("a", "1")])
    assert one != {"a": "1", "b": None}


def test_parameters_replace_and_without() -> None:
    parameters = Parameters([("a", "1"), ("b", None)])
    assert parameters.replace("A", "2").pairs == (("a", "2"), ("b", None))
    assert parameters.replace("c", None).pairs == (("a", "1"), ("b", None), ("c", None))
    assert parameters.without("B").pairs == (("a", "1"),)
    assert repr(parameters.without("a")) == "Parameters((('b', None),))"


def test_is_sip_and_host_port() -> None:
    assert Uri.parse("sips:[::1]:5061").is_sip
    assert Uri.parse("sips:[::1]:5061").host_port == "[::1]:5061"
    assert not Uri.parse("tel:1").is_sip
