"""Messages out of a stream, in whatever pieces it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.sip.framing import BODY_MAX, StreamFramer
from sipagent.sip.message import HEAD_MAX, MessageError, parse_message

HEAD = (
    "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n"
    "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)


def message(length: str, body: str = "") -> bytes:
    return f"{HEAD}{length}\r\n\r\n{body}".encode()


MESSAGES = [
    message("Content-Length: 0"),
    message("l:5", "a\r\n\r\n"),
    message("CONTENT-length \t:\r\n  003", "abc"),
    message("Content-Length: 40000", "x" * 40_000),
    b"SIP/2.0 200 OK\r\nContent-Length: 1\r\n\r\n!",
]


def fault_of(framer: StreamFramer, data: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        framer.receive_data(data)
    return caught.value


@given(st.lists(st.sampled_from(MESSAGES)), st.data())
def test_messages_come_whole_however_the_stream_is_cut(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = StreamFramer()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += framer.receive_data(stream[start:end])
    assert got == messages
    assert not framer.is_incomplete
    assert framer.pop_pong() is None


def test_octet_by_octet() -> None:
    framer = StreamFramer()
    stream = b"\r\n\r\n" + MESSAGES[1] + b"\r\n" + MESSAGES[2]
    got = [whole for at in range(len(stream)) for whole in framer.receive_data(stream[at : at + 1])]
    assert got == [MESSAGES[1], MESSAGES[2]]
    assert framer.pop_pong() == b"\r\n"


def test_a_thousand_at_once() -> None:
    assert StreamFramer().receive_data(MESSAGES[1] * 1_000) == [MESSAGES[1]] * 1_000


def test_pings() -> None:
    framer = StreamFramer()
    assert framer.receive_data(b"\r\n") == []
    assert framer.pop_pong() is None
    assert not framer.is_incomplete
    assert framer.receive_data(b"\r\n") == []
    assert framer.pop_pong() == b"\r\n"
    assert framer.pop_pong() is None
    framer.receive_data(b"\r\n\r\n" * 50_000)
    assert framer.pop_pong() == b"\r\n"
    assert framer.pop_pong() is None
    assert framer.receive_data(b"\r\n" + MESSAGES[0]) == [MESSAGES[0]]
    assert framer.pop_pong() is None


def test_a_pong_is_no_half_of_a_ping() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert not framer.pop_ponged()
    assert framer.receive_data(b"\r\n") == []
    assert framer.pop_ponged()
    assert not framer.pop_ponged()
    assert framer.receive_data(b"\r\n") == []
    assert not framer.pop_ponged(), "one ping, one pong"
    assert framer.pop_pong() is None
    framer.receive_data(b"\r\n")
    assert framer.pop_pong() == b"\r\n"


def test_a_ping_that_comes_before_the_pong_is_answered() -> None:
    framer = StreamFramer()
    framer.expect_pong()
    assert framer.receive_data(b"\r\n\r\n" + MESSAGES[0] + b"\r\n") == [MESSAGES[0]]
    assert framer.pop_pong() == b"\r\n"
    assert framer.pop_ponged()


def test_a_head_and_a_body_are_told_apart() -> None:
    framer = StreamFramer()
    head, _, _ = MESSAGES[1].partition(b"\r\n\r\n")
    framer.receive_data(head)
    assert (framer.is_incomplete, framer.is_in_body) == (True, False)
    framer = StreamFramer()
    framer.receive_data(head.replace(b"Content-Length: 0", b"Content-Length: 5") + b"\r\n\r\n1234")
    assert (framer.is_incomplete, framer.is_in_body) == (True, True)
    framer.receive_data(b"5")
    assert (framer.is_incomplete, framer.is_in_body) == (False, False)


def test_a_deadline_runs_while_a_message_is_not_whole() -> None:
    framer = StreamFramer()
    assert not framer.is_incomplete
    framer.receive_data(MESSAGES[1][:1])
    assert framer.is_incomplete
    framer.receive_data(MESSAGES[1][1:-1])
    assert framer.is_incomplete
    framer.receive_data(MESSAGES[1][-1:])
    assert not framer.is_incomplete


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("X-A: 1", 400),
        ("Content-Length:", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 1, 1", 400),
        ("Content-Length: 0x1", 400),
        ("Content-Length: 1\r\nl: 1", 400),
        ("Content-Length: 1\r\nContent-Length: 2", 400),
        (f"Content-Length: {BODY_MAX + 1}", 513),
        ("Content-Length: 1000000000000", 513),
        (f"Content-Length: {'9' * 5_000}", 513),
        ("X-A: y\r\n" * 300 + "Content-Length: 0", 513),
    ],
)
def test_a_length_that_says_nothing_ends_the_stream(length: str, status: int) -> None:
    framer = StreamFramer()
    fault = fault_of(framer, message(length))
    assert fault.status == status
    assert fault.partial is not None
    assert fault.partial.via.branch == "z9hG4bK1"
    assert fault_of(framer, MESSAGES[0]) is fault
    assert not framer.is_incomplete


def test_messages_before_a_fault_come_first() -> None:
    framer = StreamFramer()
    assert framer.receive_data(MESSAGES[0] + message("X-A: 1") + MESSAGES[0]) == [MESSAGES[0]]
    assert fault_of(framer, b"").status == 400


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        HEAD.replace("OPTIONS", "ACK").encode() + b"\r\n",
        b"\r\n\rX\r\n\r\n",
        HEAD.replace("\r\nTo", "\nTo").encode() + b"\r\n",
    ],
)
def test_nothing_is_sent_back_to_what_may_not_be_answered(data: bytes) -> None:
    assert fault_of(StreamFramer(), data).partial is None


def test_an_endless_head_is_cut_off() -> None:
    framer = StreamFramer()
    for _ in range(HEAD_MAX // 1_024):
        assert framer.receive_data(b"a" * 1_024) == []
    assert fault_of(framer, b"a").status == 513


@given(
    st.binary()
    | st.lists(st.sampled_from([b"\r\n", b"l: 1", b" ", b"l", b":", b"SIP/2.0", b"\r", b"\n", b"A sip:a"])).map(
        b"".join
    )
)
def test_any_octets_are_framed_or_refused(octets: bytes) -> None:
    framer = StreamFramer()
    try:
        messages = framer.receive_data(octets)
    except MessageError as error:
        assert error.status in {400, 513}  # noqa: PT017
        return
    assert all(whole in octets for whole in messages)


def test_what_is_framed_here_has_the_same_body_there() -> None:
    for whole in MESSAGES[:4]:
        assert whole.endswith(b"\r\n\r\n" + parse_message(whole).body)
