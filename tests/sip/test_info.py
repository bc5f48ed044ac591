"""Keys in INFO."""

import pytest

from sipagent.errors import RemoteProtocolError
from sipagent.sip.headers import Headers
from sipagent.sip.info import PLAIN, RELAY, read_digit, write_digit
from sipagent.sip.message import Request
from sipagent.sip.uri import Uri


def info(body: bytes, content_type: str | None = RELAY) -> Request:
    fields = [] if content_type is None else [("Content-Type", content_type)]
    return Request("INFO", Uri.parse("sip:a@b"), Headers(fields), body)


@pytest.mark.parametrize(
    ("body", "content_type", "digit"),
    [
        (b"Signal=5\r\nDuration=160\r\n", RELAY, "5"),
        (b"Signal= 5\nDuration= 160", RELAY, "5"),
        (b"Duration=160\r\nsignal = #", RELAY, "#"),
        (b"Signal=*", "Application/DTMF-Relay; x=y", "*"),
        (b"Signal=10\r\n", RELAY, "*"),
        (b"Signal=11\r\n", RELAY, "#"),
        (b"Signal=a\r\n", RELAY, "A"),
        (b"Signal=16\r\n", RELAY, ""),
        (b"7", PLAIN, "7"),
        (b" 7\r\n", PLAIN, "7"),
        (b"Signal=7\r\nDuration=250\r\n", PLAIN, "7"),
        (b"!", PLAIN, ""),
        (b"", RELAY, ""),
        (b"", None, ""),
    ],
)
def test_keys(body: bytes, content_type: str | None, digit: str) -> None:
    assert read_digit(info(body, content_type)) == digit


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"5", "text/plain", 415),
        (b"5", None, 415),
        (b"<media_control/>", "application/media_control+xml", 415),
        (b"Duration=160", RELAY, 400),
        (b"Signal=12345678901", RELAY, 400),
        (b"Signal=x", RELAY, 400),
        (b"55", PLAIN, 400),
        (b"Signal=5" + b" " * 300, RELAY, 400),
        (b"Signal=\xb2", RELAY, 400),
    ],
)
def test_what_is_no_key(body: bytes, content_type: str | None, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_digit(info(body, content_type))
    assert caught.value.status == status


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_what_is_written_reads_back(digit: str) -> None:
    assert read_digit(info(write_digit(digit))) == digit
