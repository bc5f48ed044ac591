"""The words of the grammar, and that no input makes them slow."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import CSeq, Headers, NameAddr, Via
from sipagent.sip.message import parse_message
from sipagent.sip.multipart import find_part
from sipagent.sip.uri import Uri

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (grammar.TOKEN, ["INVITE", "a-b.c!d%e*f_g+h`i'j~", "9"], ["", "a b", "a/b", "ä", "a;b"]),
        (grammar.QUOTED_STRING, ['""', '"a"', r'"a\"b"', r'"\\"', '"a, <b>; c"'], ['"', r'"a\"', '"a"b"', "a"]),
        (grammar.HOST, ["a", "a.b.", "1.2.3.4", "[::1]", "a_b.c-d"], ["", "-a", "a-", "a..b", ".", "[]", "[g::]"]),
        (grammar.USER, ["alice", "+1(201)555", "a;b=c", "%41", "*21#"], ["", "%4", "a b", "a@b", "ä", "<a>"]),
        (grammar.CALL_ID, ["a@b", '{"<>"}', "1"], ["", "a b", "ä"]),
        (grammar.GENERIC_PARAMS, ["", ";a", " ; a = b ; c", ';a="x;y"', ";a=2001:db8::1"], [";", ";a=", ";a,b", "a"]),
    ],
)  # fmt: skip
def test_words(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not re.fullmatch(pattern, text)] == []
    assert [text for text in no if re.fullmatch(pattern, text)] == []


@given(TEXT)
def test_quote_and_unquote_are_inverses(text: str) -> None:
    assert re.fullmatch(grammar.QUOTED_STRING, grammar.quote(text))
    assert grammar.unquote(grammar.quote(text)) == text


def test_unquote_leaves_what_has_no_quotes() -> None:
    assert grammar.unquote(r"a\b") == r"a\b"


@given(st.binary())
def test_escape_and_unescape_are_inverses(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    escaped = grammar.escape(text, grammar.UNSAFE_IN_PASSWORD)
    assert re.fullmatch(grammar.PASSWORD, escaped)
    assert grammar.unescape(escaped) == text


def test_unescape_undoes_once() -> None:
    assert grammar.unescape("v%61lue%25%34%31") == "value%41"
    assert grammar.unescape("%Z%4") == "%Z%4"


def test_a_surrogate_that_stands_for_no_octet_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        grammar.escape("\ud800", grammar.UNSAFE_IN_USER)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("a", ["a"]),
        ("a, b ,c", ["a", "b", "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a, b" <sip:c,d>, e', ['"a, b" <sip:c,d>', "e"]),
        (r'"a\", b", c', [r'"a\", b"', "c"]),
        ('a, "b, c', ["a", '"b, c']),
        ("a, <b, c", ["a", "<b, c"]),
        ("a>b, c", ["a>b", "c"]),
    ],
)
def test_split_list(text: str, items: list[str]) -> None:
    assert grammar.split_list(text) == items


@given(st.lists(TEXT.map(grammar.quote), min_size=2))
def test_quoted_items_survive_a_list(items: list[str]) -> None:
    assert grammar.split_list(", ".join(items)) == items


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("0009", 9), ("255", 255), ("256", 255), ("1" * 5_000, 255), ("0" * 5_000 + "7", 7)],
)
def test_numbers_saturate(text: str, number: int) -> None:
    assert grammar.parse_number(text, 255) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1.0", "1_0", "٣", "²", "0x1"])
def test_a_number_has_digits_only(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        grammar.parse_number(text, 255)


def test_printable_has_no_controls_and_can_be_encoded() -> None:
    dirty = "a\x1b[31m\r\n\x00\u202e\u2028\udcff é \U0001f600"
    assert grammar.printable(dirty) == "a\ufffd[31m\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd é \U0001f600"


def _message(field: str) -> Callable[[str], object]:
    def parse(value: str) -> object:
        return parse_message(f"OPTIONS sip:a SIP/2.0\r\n{field}{value}\r\n\r\n".encode())

    return parse


def _part(value: str) -> bytes | None:
    return find_part(value.encode(), "multipart/mixed;boundary=b", "application/sdp")


PARSERS: dict[str, Callable[[str], object]] = {
    "uri": Uri.parse,
    "address": NameAddr.parse,
    "via": Via.parse,
    "cseq": CSeq.parse,
    "list": grammar.split_list,
    "unknown field": _message("X-A: "),
    "message with via": _message("Via: "),
    "multipart": _part,
}


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize(
    ("before", "again", "after"),
    [
        ("", " ", "!"),
        ("", "\t;", "="),
        ("", "a", "<"),
        ("sip:", "a", " "),
        ("sip:", "%41", "%"),
        ("sip:a", ";a", ";"),
        ("sip:a", ";a=a", "="),
        ("sip:a?", "a=a&", "&"),
        ("sip:", "a.", "-"),
        ("sip:", "a-", "."),
        ("sip:a:", "1", "@"),
        ("tel:", "%41", "%"),
        ("", '"', "x"),
        ('"', "\\", ""),
        ('"', '\\"', ""),
        ('"', "a ", ""),
        ('"a" ', "<", ""),
        ("a <", "sip:", ""),
        ("a ", "<a,", ""),
        ("<sip:a>", " ; a = b ", ";"),
        ("<sip:a>", ' ; a = "b" ', '"'),
        ("SIP/2.0/UDP a", ";a=b ", "="),
        ("SIP / 2.0 / UDP", " ", "/"),
        ("", "1", " "),
        ("", "\r\n ", "\r"),
        ("", "\r\n--b", "-"),
        ("", "\r\n--b\r\n", "\r\nContent-Type:\r\n "),
        ("", ",", ""),
    ],
)
def test_time_is_linear(parse: Callable[[str], object], before: str, again: str, after: str) -> None:
    """Four times the input takes about four times the time; what backtracks takes sixteen times, or for ever."""

    def seconds(length: int) -> float:
        text = before + again * (length // len(again)) + after
        best = 1.0
        for _ in range(3):
            started = perf_counter()
            with suppress(RemoteProtocolError):
                parse(text)
            best = min(best, perf_counter() - started)
        return best

    assert seconds(8_000) < 10 * max(seconds(2_000), 5e-5)
    assert seconds(60_000) < 0.1


@given(st.text())
def test_any_text_reads_as_header_lines(text: str) -> None:
    headers, _ = Headers.read(text.split("\n"))
    assert len(headers) <= text.count("\n") + 1


def test_no_group_is_possessive() -> None:
    """Python before 3.11.5 takes half of one that fails halfway; which one can is not for a reader to find out."""
    sources = sorted(Path(grammar.__file__).parents[1].rglob("*.py"))
    assert len(sources) > 100
    assert [source.name for source in sources if re.search(r"\)[*+?]\+", source.read_text())] == []
