"""The time that input takes grows as its length does: four times the octets, about four times the seconds.

What backtracks, or copies what it has for every octet more, takes sixteen times as long, or for ever.
"""

from collections.abc import Callable
from time import process_time

import pytest
from fuzz.targets import OFFER, TARGETS, VALUES

SHORT, LONG = 3_000, 12_000
RATIO_MAX = 10.0
TRIES = 5
NOISE_S = 2e-4
"""Shorter times are not told apart."""

LIMIT_S = 0.2
"""For the longest input there is; on a quiet machine none takes a tenth of it."""

WORDS = [b"a", b" ", b'"', b"\\", b'\\"', b"<", b"(", b"%41", b";a", b";a=", b",a", b", ", b"a=b,", b":", b"["]
WORDS += [b"=", b"1", b"\r\n ", b'";"', b'a="b",', b"\xff"]
STARTS = [b"", b"sip:", b"sip:a@b;", b"sip:a@b?", b'"', b"<sip:", b"SIP/2.0/UDP a", b"SIP/2.0/UDP [", b"Digest ", b"1 "]
ENDS = [b"", b'"', b"\0"]

FIELDS = [
    "Via", "From", "To", "Contact", "Record-Route", "Route", "CSeq", "Call-ID", "Require", "Supported", "Accept",
    "Allow", "Content-Type", "Max-Forwards", "Session-Expires", "RAck", "Authorization", "WWW-Authenticate", "Replaces",
    "Refer-To", "X-Other",
]  # fmt: skip
HEAD = (
    b"INVITE sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKone\r\nFrom: <sip:a@b>;tag=a\r\n"
    b"To: <sip:b@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@b>\r\n"
)


def seconds(run: Callable[[], object]) -> float:
    """What one run costs the processor."""
    started = process_time()
    run()
    return process_time() - started


def judge(run: Callable[[bytes], object], make: Callable[[int], bytes]) -> None:
    """Raise unless the time grows as the length does; a busy machine may mislead one try, but not all."""
    short, long = make(SHORT), make(LONG)
    tries = (seconds(lambda: run(long)) / max(seconds(lambda: run(short)), NOISE_S) for _ in range(TRIES))
    assert any(ratio < RATIO_MAX for ratio in tries), long[:100]


def judge_longest(run: Callable[[bytes], object], data: bytes) -> None:
    """Raise when the longest input there is takes long."""
    assert any(seconds(lambda: run(data)) < LIMIT_S for _ in range(TRIES)), data[-300:]


@pytest.mark.parametrize("number", range(len(VALUES)))
@pytest.mark.parametrize("word", WORDS)
def test_values(number: int, word: bytes) -> None:
    for start in STARTS:
        for end in ENDS:
            judge(TARGETS["value"].run, lambda size: bytes([number]) + start + word * (size // len(word)) + end)  # noqa: B023


@pytest.mark.parametrize("field", FIELDS)
def test_fields(field: str) -> None:
    """The longest head there is, in fields of one name."""
    for word in WORDS:
        line = f"{field}: ".encode() + word * (240 // len(word)) + b"\r\n"
        judge_longest(TARGETS["message"].run, HEAD + line * 240 + b"\r\n")


@pytest.mark.parametrize("line", ["m=audio 4000 RTP/AVP 0", "a=rtpmap:96 PCMU/8000", "a=x", "c=IN IP4 192.0.2.1"])
def test_lines_of_a_description(line: str) -> None:
    judge(TARGETS["description"].run, lambda size: OFFER + (line + "\r\n").encode() * (size // (len(line) + 2)))


@pytest.mark.parametrize("word", [b" 0", b" 101", b"\t", b"/", b"9", b"\xff"])
@pytest.mark.parametrize("start", [b"m=audio 4000 RTP/AVP 0", b"a=rtpmap:", b"a=fmtp:101 ", b"o=- 1 1 IN IP4 "])
def test_length_of_a_line(start: bytes, word: bytes) -> None:
    judge(TARGETS["description"].run, lambda size: OFFER + start + word * (size // len(word)) + b"\r\n")


@pytest.mark.parametrize("word", [b"\r\n", b"\r\n\r\n", b"a", b"a:b\r\n", b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"])
@pytest.mark.parametrize("piece", [0, 255])
def test_streams(word: bytes, piece: int) -> None:
    """Octet by octet, and by the segment."""
    judge(TARGETS["stream"].run, lambda size: bytes([piece]) + word * (size // len(word)))


def test_a_user_agent_that_is_talked_at_to_the_limit() -> None:
    """In a call, the longest request that is taken."""
    filler = b"X: " + 240 * b"a" + b"\r\n"
    judge_longest(TARGETS["talk"].run, b"talking\n%%\nd" + HEAD + filler * 240 + b"\r\n")
