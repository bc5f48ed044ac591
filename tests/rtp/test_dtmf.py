"""Telephone events: each press once, whatever is lost, repeated or never ended."""

from math import inf
from struct import pack

import pytest

from sipagent.rtp.dtmf import DIGITS, END_REPEATS, END_TIMEOUT_S, MAX_SEGMENT, DigitReceived, DigitReceiver, DigitSender


def event(code: int, duration: int, *, end: bool = False) -> bytes:
    return pack("!BBH", code, 10 | 0x80 * end, duration)


@pytest.fixture
def receiver() -> DigitReceiver:
    return DigitReceiver(clock_rate=8000)


def test_a_press_is_reported_at_its_end_and_once(receiver: DigitReceiver) -> None:
    for duration in (160, 320, 480):
        assert receiver.receive(event(5, duration), 1000, now=0.0) == []
    assert receiver.receive(event(5, 640, end=True), 1000, now=0.1) == [DigitReceived("5", 80)]
    for _ in range(2):
        assert receiver.receive(event(5, 640, end=True), 1000, now=0.1) == []
    assert receiver.due_at == inf


@pytest.mark.parametrize("code", range(16))
def test_every_digit(receiver: DigitReceiver, code: int) -> None:
    assert receiver.receive(event(code, 800, end=True), 0, now=0.0) == [DigitReceived("0123456789*#ABCD"[code], 100)]


def test_the_same_key_twice(receiver: DigitReceiver) -> None:
    assert len(receiver.receive(event(1, 800, end=True), 0, now=0.0)) == 1
    assert len(receiver.receive(event(1, 800, end=True), 1600, now=0.2)) == 1


def test_a_lost_end_is_made_up_by_the_next_press(receiver: DigitReceiver) -> None:
    receiver.receive(event(1, 400), 0, now=0.0)
    assert receiver.receive(event(2, 160), 1600, now=0.1) == [DigitReceived("1", 50)]
    assert receiver.receive(event(2, 320, end=True), 1600, now=0.1) == [DigitReceived("2", 40)]


def test_a_lost_end_and_a_press_of_one_packet(receiver: DigitReceiver) -> None:
    receiver.receive(event(1, 400), 0, now=0.0)
    assert [press.digit for press in receiver.receive(event(2, 320, end=True), 1600, now=0.1)] == ["1", "2"]


def test_a_lost_end_is_made_up_by_time(receiver: DigitReceiver) -> None:
    receiver.receive(event(9, 160), 0, now=0.0)
    receiver.receive(event(9, 320), 0, now=0.02)
    assert receiver.due_at == 0.02 + END_TIMEOUT_S
    assert receiver.release() == [DigitReceived("9", 40)]
    assert receiver.release() == []
    assert receiver.receive(event(9, 480, end=True), 0, now=0.5) == []


def test_a_key_held_longer_than_its_field(receiver: DigitReceiver) -> None:
    receiver.receive(event(3, 65000), 100, now=0.0)
    assert receiver.receive(event(3, 160), 100 + MAX_SEGMENT, now=8.2) == []
    assert receiver.receive(event(3, 465, end=True), 100 + MAX_SEGMENT, now=8.3) == [DigitReceived("3", 8250)]


def test_the_same_key_again_just_where_a_segment_would_begin(receiver: DigitReceiver) -> None:
    receiver.receive(event(3, 800, end=True), 100, now=0.0)
    assert receiver.receive(event(3, 400, end=True), 100 + MAX_SEGMENT, now=8.2) == [DigitReceived("3", 50)]


def test_what_is_no_digit_is_counted(receiver: DigitReceiver) -> None:
    assert receiver.receive(event(16, 800, end=True), 0, now=0.0) == []
    assert receiver.receive(b"\x05\x80\x03", 0, now=0.0) == []
    assert receiver.ignored == 2


def test_reset_forgets(receiver: DigitReceiver) -> None:
    receiver.receive(event(3, 160), 0, now=0.0)
    receiver.reset()
    assert receiver.due_at == inf
    assert receiver.release() == []


def test_another_clock() -> None:
    receiver = DigitReceiver(clock_rate=48000)
    assert receiver.receive(event(0, 4800, end=True), 0, now=0.0) == [DigitReceived("0", 100)]


def test_what_is_sent() -> None:
    sender = DigitSender("#", duration=400)
    packets = [sender.next_packet(8000 + 160 * number, frame_samples=160) for number in range(5)]
    assert [packet.payload.hex() for packet in packets] == ["0b0a00a0", "0b0a0140", *["0b8a0190"] * END_REPEATS]
    assert {packet.timestamp for packet in packets} == {8000}
    assert [packet.marker for packet in packets] == [True, False, False, False, False]
    assert [packet.is_last for packet in packets] == [False, False, False, False, True]


@pytest.mark.parametrize("digit", DIGITS)
def test_what_is_sent_is_received(receiver: DigitReceiver, digit: str) -> None:
    sender, presses, is_last, at = DigitSender(digit, duration=800), [], False, 0
    while not is_last:
        packet = sender.next_packet(at, frame_samples=160)
        presses += receiver.receive(packet.payload, packet.timestamp, now=at / 8000)
        at, is_last = at + 160, packet.is_last
    assert presses == [DigitReceived(digit, 100)]
