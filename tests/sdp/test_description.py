"""Descriptions: reading, writing, forgiving and refusing."""

import zipfile
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sdp.description import (
    BEFORE_CONNECTION,
    MAX_BYTES,
    MAX_LINE_BYTES,
    MAX_LINES,
    MAX_MEDIA,
    Attribute,
    Connection,
    Line,
    Media,
    Origin,
    RtpMap,
    SessionDescription,
    parse,
    parse_number,
)

OFFER = (
    b"v=0\r\n"
    b"o=alice 2890844526 2890844526 IN IP4 host.example.com\r\n"
    b"s=a call\r\n"
    b"i=about nothing\r\n"
    b"c=IN IP4 192.0.2.7\r\n"
    b"b=AS:84\r\n"
    b"t=0 0\r\n"
    b"a=tool:telephone 1.0\r\n"
    b"m=audio 49170/2 RTP/AVP 0 101\r\n"
    b"i=the voice\r\n"
    b"c=IN IP6 2001:db8::7\r\n"
    b"b=TIAS:64000\r\n"
    b"a=rtpmap:0 PCMU/8000\r\n"
    b"a=sendrecv\r\n"
    b"m=image 0 udptl t38\r\n"
)
MINIMAL = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\n"

token = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789-+.*/", min_size=1, max_size=12)
text = st.text(
    st.one_of(
        st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]),
        st.integers(0xDC80, 0xDCFF).map(chr),
    ),
    max_size=20,
).map(lambda value: value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
number = st.from_regex(r"[0-9]{1,20}", fullmatch=True)
origins = st.builds(Origin, token, number, number, token, token, token)
connections = st.builds(Connection, token, token, token)
attributes = st.builds(Attribute, token, st.none() | text)


def read(data: bytes) -> SessionDescription | None:
    """Read a description; the only other way out is a refusal."""
    try:
        return parse(data)
    except RemoteProtocolError:
        return None


def lines(letters: str) -> st.SearchStrategy[tuple[Line, ...]]:
    return st.lists(st.builds(Line, st.sampled_from(letters), text), max_size=3).map(tuple)


others = st.builds(lambda before, after: before + after, lines(BEFORE_CONNECTION), lines("btrzkXq"))
media = st.builds(
    Media,
    token,
    st.integers(0, 65_535),
    token,
    st.lists(token, max_size=5).map(tuple),
    st.integers(1, 65_535),
    st.none() | connections,
    st.lists(attributes, max_size=4).map(tuple),
    others,
)
descriptions = st.builds(
    SessionDescription,
    origins,
    text,
    st.none() | connections,
    st.lists(attributes, max_size=4).map(tuple),
    st.lists(media, max_size=3).map(tuple),
    others,
)


@given(descriptions)
def test_what_is_written_reads_back(description: SessionDescription) -> None:
    data = bytes(description)
    assert parse(data) == description
    assert bytes(parse(data)) == data


mangled = st.lists(st.sampled_from([*OFFER.splitlines(), b"", b"m=", b"o=", b"a=", b"c=x"])).map(b"\n".join)


@given(st.binary(max_size=300) | mangled)
@example(b"")
@example(b"v=0\r\n\r\n")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    description = read(data)
    assert description is None or parse(bytes(description)) == description


def test_reads_every_part() -> None:
    description = parse(OFFER)
    assert description.origin == Origin("alice", "2890844526", "2890844526", "host.example.com")
    assert description.name == "a call"
    assert description.connection == Connection("192.0.2.7")
    assert description.others == (Line("i", "about nothing"), Line("b", "AS:84"), Line("t", "0 0"))
    assert description.get("tool") == "telephone 1.0"
    audio, image = description.media
    assert (audio.kind, audio.port, audio.port_count, audio.protocol) == ("audio", 49170, 2, "RTP/AVP")
    assert audio.payload_types() == [0, 101]
    assert audio.connection == Connection("2001:db8::7", "IP6")
    assert audio.get("sendrecv") == ""
    assert audio.get("sendonly") is None
    assert (image.kind, image.port, image.formats) == ("image", 0, ("t38",))
    assert bytes(description) == OFFER


@pytest.mark.parametrize(
    "spelling",
    [
        OFFER.replace(b"\r\n", b"\n"),
        OFFER.removesuffix(b"\r\n"),
        OFFER.removesuffix(b"\n"),
        OFFER + b"\r\n",
        OFFER.replace(b"s=a call\r\ni=about nothing\r\n", b"i=about nothing\r\ns=a call\r\n"),
        OFFER.replace(b"a=sendrecv\r\n", b"a=sendrecv \r\n"),
        OFFER.replace(b"o=alice 2890844526", b"o=alice  2890844526"),
    ],
)
def test_forgives(spelling: bytes) -> None:
    assert parse(spelling) == parse(OFFER)


def test_forgives_what_is_missing() -> None:
    description = parse(MINIMAL)
    assert (description.name, description.others, description.media) == ("-", (), ())


def test_a_name_with_spaces_is_a_username() -> None:
    assert parse(b"v=0\no=John Q. Public 1 2 IN IP4 192.0.2.7\n").origin.username == "John Q. Public"


def test_bytes_that_are_no_text_pass_through() -> None:
    data = MINIMAL + b"s=caf\xe9 \xff\r\n"
    assert bytes(parse(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"v=1\r\no=- 1 1 IN IP4 192.0.2.7\r\n",
        b"o=- 1 1 IN IP4 192.0.2.7\r\nv=0\r\n",
        b"v=0\r\ns=-\r\n",
        MINIMAL + b"o=- 1 1 IN IP4 192.0.2.7\r\n",
        MINIMAL + b"s=a\r\ns=b\r\n",
        b"v=0\r\no=- 1 IN IP4 192.0.2.7\r\n",
        MINIMAL + b"c=IN IP4\r\n",
        MINIMAL + b"m=audio\r\n",
        MINIMAL + b"m=audio 4000\r\n",
        MINIMAL + b"m=audio x RTP/AVP 0\r\n",
        MINIMAL + b"m=audio -1 RTP/AVP 0\r\n",
        MINIMAL + b"m=audio 65536 RTP/AVP 0\r\n",
        MINIMAL + b"m=audio " + b"9" * 5_000 + b" RTP/AVP 0\r\n",
        MINIMAL + b"m=audio 4000/0 RTP/AVP 0\r\n",
        MINIMAL + "m=audio ٤٠٠٠ RTP/AVP 0\r\n".encode(),
        MINIMAL + b"a\r\n",
        MINIMAL + b"a:b\r\n",
        MINIMAL + b" a=b\r\n",
        MINIMAL + b"==b\r\n",
        MINIMAL + b"a=b\rc=d\r\n",
        MINIMAL + b"a=b\0\r\n",
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(data)
    assert caught.value.status == 400


def test_limits_are_exact() -> None:
    longest = b"a=" + b"x" * (MAX_LINE_BYTES - 2) + b"\r\n"
    parse(MINIMAL + longest)
    parse(MINIMAL + b"m=audio 1 RTP/AVP 0\r\n" * MAX_MEDIA)
    parse(MINIMAL + b"a=\r\n" * (MAX_LINES - 3))
    for beyond in (
        b"a=x" + longest[2:],
        b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        b"a=\r\n" * (MAX_LINES - 2),
        longest * (MAX_BYTES // len(longest) + 1),
    ):
        with pytest.raises(RemoteProtocolError):
            parse(MINIMAL + beyond)


@pytest.mark.parametrize("flood", [b"m=audio 1 RTP/AVP 0\r\n" * 10_000, b"a=" + b"x" * 1_000_000, b"\n" * 1_000_000])
def test_a_flood_is_refused_at_once(flood: bytes) -> None:
    started = perf_counter()
    with pytest.raises(RemoteProtocolError):
        parse(MINIMAL + flood)
    assert perf_counter() - started < 0.1, "the design allows 5 ms; this only tells linear from not"


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b"])
def test_writes_no_broken_line(value: str) -> None:
    with pytest.raises(LocalProtocolError):
        bytes(SessionDescription(Origin("-", "1", "1", "192.0.2.7"), name=value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0 PCMU/8000", RtpMap(0, "PCMU", 8_000)),
        ("111 opus/48000/2", RtpMap(111, "opus", 48_000, 2)),
        (" 101  telephone-event/8000 ", RtpMap(101, "telephone-event", 8_000)),
        ("0 PCMU", None),
        ("PCMU/8000", None),
        ("128 PCMU/8000", None),
        ("4294967296 PCMU/8000", None),
        ("0 PCMU/" + "8" * 5_000, None),
        ("0 PCMU/8000/x", None),
        ("0 PCMU/0", None),
        ("0 /8000", None),
        ("-1 PCMU/8000", None),
        ("", None),
    ],
)
def test_rtpmap(value: str, expected: RtpMap | None) -> None:
    media = Media("audio", 1, "RTP/AVP", ("0",), attributes=(Attribute("rtpmap", value),))
    assert media.rtpmaps() == ({expected.payload_type: expected} if expected else {})


def test_rtpmap_writes_what_it_reads() -> None:
    assert [str(RtpMap(0, "PCMU", 8_000)), str(RtpMap(111, "opus", 48_000, 2))] == ["0 PCMU/8000", "111 opus/48000/2"]


def test_payload_types_are_numbers_of_seven_bits_each_once() -> None:
    formats = ("8", "0", "x", "128", "-1", "8", "127", "4294967296")
    assert Media("audio", 1, "RTP/AVP", formats).payload_types() == [8, 0, 127]


def test_numbers_are_ascii_digits_up_to_a_maximum() -> None:
    assert [parse_number(digits, 10) for digits in ("0", "9", "10")] == [0, 9, 10]
    assert [parse_number(other, 10) for other in ("11", "", "²", "+1", " 1", "1_0", "9" * 5_000)] == [None] * 7


def test_fuzz_seeds_are_read_or_refused(corpora: Path) -> None:
    with zipfile.ZipFile(corpora / "fuzz_seeds" / "fuzz-sdp_seed_corpus.zip") as archive:
        seeds = [archive.read(name) for name in archive.namelist() if not name.endswith("/")]
    descriptions = [description for seed in seeds if (description := read(seed))]
    assert len(descriptions) > len(seeds) / 2
    assert [parse(bytes(description)) for description in descriptions] == descriptions
