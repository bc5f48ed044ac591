"""STUN messages: RFC 5769's vectors, what may be sent to hurt, and what we write."""

from ipaddress import ip_address
from pathlib import Path
from zipfile import ZipFile
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.stun import MAX_ATTRIBUTES, MAX_BYTES, Kind, StunMessage, build_request, is_stun, parse_message

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
COOKIE = bytes.fromhex("2112a442")

# RFC 5769, sections 2.1 to 2.3.
SAMPLE_REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74"
    "00240004 6e0001ff 80290008 932ff9b151263b36 00060009 6576746a3a68367659202020"
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf"
)
SAMPLE_IPV4 = bytes.fromhex(
    "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220"
    "00200008 0001a147e112a643 00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96"
)
SAMPLE_IPV6 = bytes.fromhex(
    "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220"
    "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9 00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004 c8fb0b4c"
)


def attribute(number: int, value: bytes) -> bytes:
    return number.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def plain(host: str = "192.0.2.1", port: int = 32_853) -> bytes:
    packed = ip_address(host).packed
    return attribute(0x0001, bytes([0, 1 if len(packed) == 4 else 2]) + port.to_bytes(2, "big") + packed)


def xored(host: str = "192.0.2.1", port: int = 32_853, number: int = 0x0020) -> bytes:
    packed, mask = ip_address(host).packed, COOKIE + TRANSACTION
    masked = bytes(a ^ b for a, b in zip(packed, mask, strict=False))
    family = bytes([0, 1 if len(packed) == 4 else 2])
    return attribute(number, family + (port ^ 0x2112).to_bytes(2, "big") + masked)


def message(*attributes: bytes, kind: int = 0x0101, length: int | None = None) -> bytes:
    body = b"".join(attributes)
    size = len(body) if length is None else length
    return kind.to_bytes(2, "big") + size.to_bytes(2, "big") + COOKIE + TRANSACTION + body


def signed(*attributes: bytes, kind: int = 0x0101) -> bytes:
    head = message(*attributes, kind=kind, length=len(b"".join(attributes)) + 8)
    return head + attribute(0x8028, (crc32(head) ^ 0x5354554E).to_bytes(4, "big"))


FOUND = StunMessage(Kind.SUCCESS, TRANSACTION, ("192.0.2.1", 32_853))


@pytest.mark.parametrize(
    ("data", "read"),
    [
        pytest.param(SAMPLE_IPV4, FOUND, id="RFC 5769, 2.2"),
        pytest.param(
            SAMPLE_IPV6,
            StunMessage(Kind.SUCCESS, TRANSACTION, ("2001:db8:1234:5678:11:2233:4455:6677", 32_853)),
            id="RFC 5769, 2.3",
        ),
        pytest.param(message(xored()), FOUND, id="bare"),
        pytest.param(message(xored(number=0x8020)), FOUND, id="the number of before"),
        pytest.param(message(plain()), FOUND, id="RFC 3489"),
        pytest.param(message(plain("10.0.0.1"), xored()), FOUND, id="a router rewrote the plain one"),
        pytest.param(message(xored(), xored("192.0.2.66")), FOUND, id="the first counts"),
        pytest.param(message(attribute(0x8022, b"server"), xored()), FOUND, id="one that may be passed over"),
        pytest.param(signed(xored()), FOUND, id="with a fingerprint"),
        pytest.param(message(kind=0x0001), StunMessage(Kind.REQUEST, TRANSACTION), id="a request"),
        pytest.param(message(kind=0x0011), StunMessage(Kind.INDICATION, TRANSACTION), id="an indication"),
        pytest.param(
            message(attribute(0x0009, b"\0\0\4\1Unauthorized"), attribute(0x0015, b"nonce"), kind=0x0111),
            StunMessage(Kind.ERROR, TRANSACTION, error=401),
            id="an error",
        ),
    ],
)
def test_parse(data: bytes, read: StunMessage) -> None:
    assert parse_message(data) == read


MAPPED_LATE = message(attribute(0x0008, bytes(20)), xored())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(message(xored())[:19], id="less than a header"),
        pytest.param(message(xored()).replace(COOKIE, b"\x21\x12\xa4\x43", 1), id="another cookie"),
        pytest.param(b"\x41" + message(xored())[1:], id="the first bits"),
        pytest.param(message(xored(), kind=0x0102), id="another method"),
        pytest.param(message(xored(), length=8), id="longer than it says"),
        pytest.param(message(xored(), length=16), id="shorter than it says"),
        pytest.param(message(b"\0\x20\0\x02\0\x01", length=6), id="a length that is not whole words"),
        pytest.param(message(b"\0\x20\xff\xff" + bytes(8)), id="an attribute that reaches beyond the end"),
        pytest.param(message(b"\0\x20\0\x09" + bytes(8)), id="an attribute that reaches beyond the end by one"),
        pytest.param(message(), id="no address"),
        pytest.param(message(attribute(0x0020, b"\0\1")), id="an address cut short"),
        pytest.param(message(attribute(0x0020, b"\0\1" + bytes(18))), id="a family of another size"),
        pytest.param(message(attribute(0x0020, b"\0\3" + bytes(6))), id="a family that is none"),
        pytest.param(message(attribute(0x0020, b"")), id="an empty address"),
        pytest.param(message(xored(port=0)), id="port 0"),
        pytest.param(message(xored("0.0.0.0")), id="no host"),
        pytest.param(message(xored("224.0.0.1")), id="many hosts"),
        pytest.param(message(attribute(0x0003, b"\0\0\0\6"), xored()), id="one that must be understood"),
        pytest.param(MAPPED_LATE, id="an address after the integrity"),
        pytest.param(signed(xored())[:-1] + b"\xff", id="a false fingerprint"),
        pytest.param(message(attribute(0x8028, b"\0\0"), xored()), id="a short fingerprint"),
        pytest.param(message(signed(xored())[20:], attribute(0x8022, b"more")), id="more after the fingerprint"),
        pytest.param(message(kind=0x0111), id="an error without a code"),
        pytest.param(message(attribute(0x0009, b"\0\0\4"), kind=0x0111), id="an error code cut short"),
        pytest.param(message(attribute(0x0009, b"\0\0\7\0"), kind=0x0111), id="an error code of no class"),
        pytest.param(message(attribute(0x0009, b"\0\0\4\x64"), kind=0x0111), id="an error code of 500 in class 4"),
        pytest.param(message(*[attribute(0x8022, b"")] * MAX_ATTRIBUTES, xored()), id="a crowd of empty attributes"),
        pytest.param(message(attribute(0x8022, bytes(MAX_BYTES)), xored()), id="longer than any may be"),
    ],
)
def test_what_is_none(data: bytes) -> None:
    assert parse_message(data) is None


def test_a_sample_request_of_others_has_a_true_fingerprint_but_what_it_wants_is_not_known_here() -> None:
    assert is_stun(SAMPLE_REQUEST)
    assert parse_message(SAMPLE_REQUEST) is None


def test_a_request_of_ours() -> None:
    data = build_request(TRANSACTION)
    assert data == signed(kind=0x0001)
    assert parse_message(data) == StunMessage(Kind.REQUEST, TRANSACTION)


@pytest.mark.parametrize(
    "data",
    [b"INVITE sip:a SIP/2.0\r\n\r\n", b"\r\n\r\n", b"\0", bytes(20), b"\x80" + bytes(40), b"\x16\xfe\xfd" + bytes(40)],
)
def test_what_else_comes_to_the_port_is_not_taken_for_it(data: bytes) -> None:
    assert not is_stun(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    parse_message(data)
    parse_message(message(data))
    parse_message(message(data, length=len(data) + 4))


@pytest.mark.parametrize("bit", range((len(SAMPLE_IPV4) - 8) * 8))
def test_a_fingerprint_shows_any_bit_that_changed(bit: int) -> None:
    damaged = bytearray(SAMPLE_IPV4)
    damaged[bit // 8] ^= 1 << bit % 8
    assert parse_message(bytes(damaged)) is None


@given(st.ip_addresses().filter(lambda ip: not ip.is_unspecified and not ip.is_multicast), st.integers(1, 65_535))
def test_any_address_is_read(ip: object, port: int) -> None:
    for data in (message(xored(str(ip), port)), signed(plain(str(ip), port))):
        read = parse_message(data)
        assert read is not None
        assert read.mapped == (str(ip), port)


def test_the_seeds_of_others_do_no_harm(corpora: Path) -> None:
    """Messages that broke PJSIP's parser, each also cut short and longer than it says."""
    with ZipFile(corpora / "fuzz_seeds" / "fuzz-stun_seed_corpus.zip") as seeds:
        found = [seeds.read(name) for name in seeds.namelist()]
    assert len(found) > 20
    for data in found:
        for damaged in (data, data + bytes(4), *(data[:end] for end in range(len(data)))):
            parse_message(damaged)
