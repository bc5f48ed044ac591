"""Finding a session description among the parts of a body."""

import pytest

from sipagent.sip.multipart import find_part, media_type

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
BODY = (
    b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/sdp\r\n\r\n"
    + SDP
    + b"\r\n--b--\r\n"
)
MIXED = "multipart/mixed; boundary=b"


def test_the_first_part_of_the_type() -> None:
    assert find_part(BODY, MIXED, "application/sdp") == SDP
    assert find_part(BODY, MIXED, "text/plain") == b"hello"
    assert find_part(BODY, MIXED, "text/html") is None


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/mixed;boundary="a b:c"', b"a b:c"),
        ('multipart/mixed ; x="; boundary=no" ; Boundary = yes', b"yes"),
        ("multipart/mixed;boundary=" + "b" * 70, b"b" * 70),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    assert find_part(BODY.replace(b"--b", b"--" + boundary), content_type, "application/sdp") == SDP


@pytest.mark.parametrize(
    "content_type",
    ["a/b", "a/b;boundary", 'a/b;boundary=""', "a/b;boundary=" + "b" * 71, "a/b;;boundary=b"],
    ids=["none", "flag", "empty", "long", "malformed"],
)
def test_no_boundary_no_parts(content_type: str) -> None:
    assert find_part(BODY, content_type, "application/sdp") is None


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"preamble\r\n--b \t\r\nc: Application/SDP;x=y\r\n\r\nv=0\r\n--b--", b"v=0"),
        (b"--b\r\nContent-Type:\r\n application / sdp\r\n\r\nv=0\r\n--b--", b"v=0"),
        (b"--b\r\nContent-Type: application/sdp\r\n\r\nno end", b"no end"),
        (b"--b\r\nContent-Type: application/sdp\r\n\r\n\r\n--b--", b""),
        (b"--b\r\nContent-Type: application/sdp\r\n--b--", b""),
        (b"--bb\r\nContent-Type: application/sdp\r\n\r\nlonger boundary\r\n--bb--", None),
        (b"--b\r\n\r\ntext/plain by default\r\n--b--", None),
        (b"--b--\r\n--b\r\nContent-Type: application/sdp\r\n\r\nafter the end", None),
        (b"--b\r\nX-Content-Type: application/sdp\r\n\r\nv=0\r\n--b--", None),
        (b"--b\r\n" * 20_000 + b"Content-Type: application/sdp\r\n\r\nv=0", None),
        (b"", None),
    ],
    ids=range(11),
)
def test_bodies(body: bytes, part: bytes | None) -> None:
    assert find_part(body, MIXED, "application/sdp") == part


def test_nesting_is_not_followed() -> None:
    inner = b"--c\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--c--"
    body = b"--b\r\nContent-Type: multipart/mixed;boundary=c\r\n\r\n" + inner + b"\r\n--b--"
    assert find_part(body, MIXED, "application/sdp") is None


def test_media_type() -> None:
    assert media_type(" Application / SDP ;charset=UTF-8") == "application/sdp"
    assert media_type("") == ""


@pytest.mark.parametrize(
    ("first", "second", "part"),
    [
        ("Content-Disposition: x;handling=optional", "content-disposition:x; handling=optional", b""),
        ("Content-Disposition: x;handling=optional", "X: y", None),
        ("X: y", "Content-Disposition: x;handling=optional", None),
    ],
)
def test_parts_that_need_not_be_understood(first: str, second: str, part: bytes | None) -> None:
    body = f"--b\r\n{first}\r\n\r\none\r\n--b\r\n{second}\r\n\r\ntwo\r\n--b--".encode()
    assert find_part(body, MIXED, "application/sdp") == part
