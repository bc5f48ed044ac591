"""SRTP: against the RFCs' own numbers, across the wrap of the sequence number, under new keys and under attack."""

from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from rtp.srtp_oracle import Oracle, derive
from rtp.wire import PARAMETERS, PHONE, audio

from sipagent.errors import SipagentError
from sipagent.rtp import srtp
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.session import G711, RtpParameters, RtpSession, SendRtcp
from sipagent.rtp.srtp import PROFILES, WINDOW, Protector, SrtpParameters
from sipagent.sdp.crypto import KEY_BYTES

SUITES = tuple(PROFILES)
RTCP = bytes.fromhex("80c90001 12345678 81ca0002 12345678 01016100")
FRAME_S = 0.020

MASTER_KEY = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
MASTER_SALT = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")


def key(suite: str, seed: int = 1) -> bytes:
    return Random(seed).randbytes(KEY_BYTES[suite])


def parameters(suite: str = SUITES[0], send: int = 1, receive: int = 2) -> SrtpParameters:
    return SrtpParameters(suite, key(suite, send), key(suite, receive))


def pair(suite: str = SUITES[0]) -> tuple[Protector, Protector]:
    return Protector(parameters(suite, 1, 2)), Protector(parameters(suite, 2, 1))


# --- the numbers of the RFCs


def test_the_oracle_derives_keys_as_rfc_3711_b_3_does() -> None:
    assert derive(MASTER_KEY, MASTER_SALT, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert derive(MASTER_KEY, MASTER_SALT, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"
    assert derive(MASTER_KEY, MASTER_SALT, 1, 20).hex() == "cebe321f6ff7716b6fd4ab49af256a156d38baa4"


def test_the_oracle_encrypts_as_rfc_7714_16_1_1_does() -> None:
    packet = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
    salt, ssrc, index = 0x517569642070726F2071756F, 0x5501A0B2, 0xF17B
    nonce = (salt ^ (ssrc << 48 | index)).to_bytes(12, "big")
    assert nonce.hex() == "51753c6580c2726f20718414"
    sealed = AESGCM(bytes(range(16))).encrypt(nonce, packet[12:], packet[:12])
    assert sealed.hex() == (
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    )


@pytest.mark.parametrize("suite", SUITES)
def test_packets_are_as_the_rfcs_say(suite: str) -> None:
    ours, theirs = pair(suite)
    oracle = Oracle(suite, key(suite, 1))
    for number in (0, 1, 30_000, 60_000, 65_535, 65_536, 90_000):
        packet = audio(number)
        sealed = ours.protect(packet)
        assert sealed == oracle.protect(packet, number >> 16)
        assert theirs.open(sealed) == packet
    for index in (1, 2, 3):
        sealed = ours.protect_rtcp(RTCP)
        assert sealed == oracle.protect_rtcp(RTCP, index)
        assert theirs.open_rtcp(sealed) == RTCP


# --- keys


def test_a_key_that_stays_goes_on_behind_the_wrap() -> None:
    """Else the call is deaf from the 65,536th packet on, 22 minutes after it began."""
    ours, theirs = pair()
    for number in (0, 30_000, 60_000, 65_535, 65_536):
        assert theirs.open(ours.protect(audio(number))) is not None
    ours.configure(parameters(send=1, receive=2))
    theirs.configure(parameters(send=2, receive=1))
    sealed = ours.protect(audio(65_537))
    assert sealed == Oracle(SUITES[0], key(SUITES[0], 1)).protect(audio(65_537), 1)
    assert theirs.open(sealed) == audio(65_537)


@pytest.mark.parametrize("suite", SUITES)
def test_under_a_new_key_what_is_on_its_way_is_still_opened(suite: str) -> None:
    ours, theirs = pair()
    late = [ours.protect(audio(number)) for number in range(3)]
    assert theirs.open(late[0]) is not None
    ours.configure(parameters(suite, 3, 2))
    theirs.configure(parameters(suite, 2, 3))
    assert theirs.open(late[1]) == audio(1)
    assert theirs.open(ours.protect(audio(3))) == audio(3)
    assert theirs.open(late[2]) is None, "the old key ends with the first packet of the new"
    assert theirs.unauthenticated == 1


def test_keys_do_not_show() -> None:
    shown = repr(parameters())
    assert "key" not in shown
    assert str(key(SUITES[0]))[2:-1] not in shown


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp, "is_available", False)
    with pytest.raises(SipagentError, match=r"sipagent\[srtp\]"):
        Protector(parameters())


# --- attacks


def test_what_came_once_does_not_come_again() -> None:
    ours, theirs = pair()
    sealed = [ours.protect(audio(number)) for number in range(WINDOW + 10)]
    assert theirs.open(sealed[-1]) is not None
    assert theirs.open(sealed[-1]) is None
    assert theirs.open(sealed[-200]) is not None, "late by 4 s, but never seen"
    assert theirs.open(sealed[0]) is None, "too old to tell"
    reports = ours.protect_rtcp(RTCP)
    assert theirs.open_rtcp(reports) is not None
    assert theirs.open_rtcp(reports) is None
    assert theirs.unauthenticated == 3


@pytest.mark.parametrize("suite", SUITES)
def test_any_flipped_bit_is_noticed(suite: str) -> None:
    ours, theirs = pair(suite)
    sealed = ours.protect(pack_packet(0, 1, 2, 3, b"abcd", marker=False))
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert theirs.open(bytes(damaged)) is None
    assert theirs.open(sealed) is not None


@given(st.binary(max_size=2_000))
def test_any_bytes_may_come(data: bytes) -> None:
    _, theirs = pair()
    assert theirs.open(data) is None
    assert theirs.open_rtcp(data) is None
    assert theirs.unauthenticated == 2


# --- a session


def make_session(send: int, receive: int, *, remote: tuple[str, int] = PHONE, mux: bool = True) -> RtpSession:
    agreed = RtpParameters(
        payload_type=0,
        receive_payload_types={0: G711},
        remote=remote,
        rtcp_mux=mux,
        srtp=parameters(send=send, receive=receive),
    )
    return RtpSession(random=Random(send), cname="x", parameters=agreed)


def test_a_call_of_half_an_hour_with_a_hold_in_it() -> None:
    """The sequence number wraps, and the agreement is renewed on both sides of it."""
    ours, theirs = make_session(1, 2), make_session(2, 1)
    heard = 0
    for tick in range(90_000):
        now = tick * FRAME_S
        heard += len(theirs.receive_packet(ours.next_packet(b"\x55" * 160, now=now), PHONE, now=now))
        if tick % 10_000 == 0:
            ours.configure(ours._parameters)
            theirs.configure(theirs._parameters)
    assert heard == 90_000
    assert theirs.stats.unauthenticated == 0


@pytest.mark.parametrize("mux", [True, False])
def test_reports_are_protected_too(mux: bool) -> None:
    ours, theirs = make_session(1, 2, mux=mux), make_session(2, 1, mux=mux)
    reports = 0
    for tick in range(2_000):
        now = tick * FRAME_S
        theirs.receive_packet(ours.next_packet(b"\x55" * 160, now=now), PHONE, now=now)
        if now >= ours.due_at:
            ours.handle_timer(now=now)
        while (output := ours.poll()) is not None:
            assert isinstance(output, SendRtcp)
            assert output.mux == mux
            reports += 1
            receive = theirs.receive_packet if mux else theirs.receive_rtcp
            receive(output.data, PHONE, now=now)
            assert theirs.rtcp_heard_at == now
            receive(output.data, PHONE, now=now)
    assert reports > 3
    assert theirs.stats.unauthenticated == reports, "each came twice"


def test_a_hundredth_of_damaged_packets_is_loss_and_no_more() -> None:
    random = Random(4)
    ours, theirs = make_session(1, 2), make_session(2, 1)
    damaged = frames = 0
    for tick in range(5_000):
        now = tick * FRAME_S
        data = bytearray(ours.next_packet(b"\x55" * 160, now=now))
        if random.random() < 0.01:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            damaged += 1
        for source in (PHONE, ("203.0.113.9", 9)):
            frames += len(theirs.receive_packet(bytes(data), source, now=now))
        if now >= theirs.due_at:
            theirs.handle_timer(now=now)
            frames += len(theirs.take_released())
        assert theirs.remote == PHONE
    assert damaged > 20
    stats = theirs.stats
    assert stats.unauthenticated == 5_000 + damaged, "what a stranger repeats was opened before"
    assert stats.lost == damaged
    assert frames == 5_000


def test_a_stranger_without_the_key_never_takes_the_place_of_a_silent_caller() -> None:
    theirs = make_session(2, 1, remote=("10.0.0.1", 4000))
    stranger = ("10.0.0.9", 4000)
    for number in range(100):
        assert theirs.receive_packet(audio(number), stranger, now=number * FRAME_S) == ()
    assert theirs.remote == ("10.0.0.1", 4000)
    assert theirs.stats.unauthenticated == 100


def test_srtp_may_end_and_begin_in_mid_call() -> None:
    ours, theirs = make_session(1, 2), make_session(2, 1)
    plain = RtpParameters(payload_type=0, receive_payload_types={0: G711}, remote=PHONE)
    for number, agreed in enumerate(("secure", "plain", "secure")):
        for session, send, receive in ((ours, 1, 2), (theirs, 2, 1)):
            secret = make_session(send + 10 * number, receive + 10 * number)._parameters
            session.configure(secret if agreed == "secure" else plain)
        packet = ours.next_packet(b"\x55" * 160, now=number * FRAME_S)
        assert len(packet) == 172 + 10 * (agreed == "secure")
        assert len(theirs.receive_packet(packet, PHONE, now=number * FRAME_S)) == 1


def test_our_numbers_begin_far_from_their_end() -> None:
    """A receiver that misses the packets before a wrap would count one round too few for ever."""
    first = [RtpSession(random=Random(seed), cname="x", parameters=PARAMETERS) for seed in range(64)]
    numbers = [int.from_bytes(session.next_packet(b"\0" * 160, now=0.0)[2:4], "big") for session in first]
    assert max(numbers) < 1 << 15
