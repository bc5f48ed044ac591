"""What is sent: numbers that run on through hold, digits and re-INVITE."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from rtp.wire import PARAMETERS

from sipagent.errors import LocalProtocolError
from sipagent.rtp.dtmf import DIGITS, DigitReceived, DigitReceiver
from sipagent.rtp.packet import Packet, parse_packet
from sipagent.rtp.sender import MAX_DIGITS, Sender

VOICE = bytes(160)


@pytest.fixture
def sender() -> Sender:
    sender = Sender(random=Random(1))
    sender.configure(PARAMETERS)
    return sender


def send(sender: Sender, *, marker: bool = False) -> Packet:
    packet = parse_packet(sender.next_packet(VOICE, now=0.0, marker=marker))
    assert packet is not None
    return packet


def steps(first: Packet, second: Packet) -> tuple[int, int]:
    return (
        (second.sequence_number - first.sequence_number) & 0xFFFF,
        (second.timestamp - first.timestamp) & 0xFFFFFFFF,
    )


def test_numbers_begin_at_random_and_run_on() -> None:
    begins = set()
    for seed in range(10):
        sender = Sender(random=Random(seed))
        sender.configure(PARAMETERS)
        first = send(sender, marker=True)
        assert (first.payload_type, first.marker, first.payload) == (0, True, VOICE)
        begins.add((first.ssrc, first.sequence_number, first.timestamp))
        second = send(sender)
        assert steps(first, second) == (1, 160)
        assert not second.marker
    assert len(begins) == 10


def test_wrap(sender: Sender) -> None:
    packets = [send(sender) for _ in range(0x10002)]
    assert all(steps(first, second) == (1, 160) for first, second in pairwise(packets))


def test_skip_lets_time_pass_without_a_packet(sender: Sender) -> None:
    first = send(sender)
    sender.skip(8000)
    assert steps(first, send(sender)) == (1, 8160)


def test_the_media_clock_runs_through_hold(sender: Sender) -> None:
    first = send(sender)
    sender.skip(8000)
    assert (sender.timestamp_at(1.02) - first.timestamp) & 0xFFFFFFFF == 8160


def test_another_agreement_keeps_the_numbers(sender: Sender) -> None:
    first = send(sender)
    sender.configure(replace(PARAMETERS, payload_type=8, frame_samples=240))
    second = send(sender)
    assert (second.payload_type, second.ssrc, steps(first, second)) == (8, first.ssrc, (1, 160))
    assert steps(second, send(sender)) == (1, 240)


def test_digits_take_the_place_of_audio_each_after_the_other(sender: Sender) -> None:
    before = send(sender)
    for digit in DIGITS:
        sender.send_digit(digit, duration_ms=100)
    receiver, presses = DigitReceiver(clock_rate=8000), []
    packets = [send(sender) for _ in range(7 * len(DIGITS))]
    for packet in packets:
        assert packet.payload_type == 96
        presses += receiver.receive(packet.payload, packet.timestamp, now=0.0)
    assert presses == [DigitReceived(digit, 100) for digit in DIGITS]
    assert sum(packet.marker for packet in packets) == len(DIGITS)
    after = send(sender)
    assert after.payload == VOICE
    assert steps(before, after) == (1 + len(packets), 160 * (1 + len(packets)))


@pytest.mark.parametrize(
    ("digit", "duration_ms"), [("", 100), ("12", 100), ("x", 100), ("1", 0), ("1", -5), ("1", 10_000)]
)
def test_no_press(sender: Sender, digit: str, duration_ms: int) -> None:
    with pytest.raises(LocalProtocolError):
        sender.send_digit(digit, duration_ms=duration_ms)
    assert send(sender).payload == VOICE


def test_digits_are_bounded(sender: Sender) -> None:
    for _ in range(MAX_DIGITS + 1):
        sender.send_digit("1", duration_ms=100)
    with pytest.raises(LocalProtocolError):
        sender.send_digit("1", duration_ms=100)


def test_a_peer_that_takes_no_events(sender: Sender) -> None:
    sender.send_digit("1", duration_ms=100)
    assert send(sender).payload_type == 96
    sender.configure(replace(PARAMETERS, send_telephone_event=None))
    assert send(sender).payload == VOICE
    with pytest.raises(LocalProtocolError):
        sender.send_digit("1", duration_ms=100)
