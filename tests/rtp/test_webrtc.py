"""A session with a browser: checks, keys and media on one port, each from whom it may come."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from rtp.test_dtls import A, B, known_by
from rtp.test_ice import HERE, OURS, THERE, check
from rtp.wire import audio

from sipagent.rtp.dtls import Dtls
from sipagent.rtp.ice import CONSENT_S
from sipagent.rtp.session import G711, RtpParameters, RtpSession, SendRtcp, WebRtcParameters
from sipagent.rtp.srtp import Protector
from sipagent.stun import is_stun

FRAME = b"\x55" * 160


class Browser:
    """The other side: it checks, shakes hands and talks, from one address."""

    def __init__(self, *, is_client: bool = True, source: tuple[str, int] = HERE) -> None:
        self.dtls = Dtls(A, fingerprints=known_by(B), is_client=is_client)
        self.source = source
        self.protector: Protector | None = None
        agreed = WebRtcParameters(B, known_by(A), not is_client, OURS)
        parameters = RtpParameters(
            payload_type=0, receive_payload_types={0: G711}, remote=("0.0.0.0", 9), rtcp_mux=True, webrtc=agreed
        )
        self.session = RtpSession(random=Random(1), cname="x", parameters=parameters)
        self.got: list[bytes] = []
        """What came that is neither STUN nor DTLS."""

    def send(self, data: bytes, *, now: float, source: tuple[str, int] | None = None) -> int:
        """Send a datagram, and take what comes back; how many frames it made."""
        frames = self.session.receive_packet(data, source or self.source, now=now)
        self.collect(now)
        return len(frames)

    def collect(self, now: float) -> None:
        while (output := self.session.poll()) is not None:
            assert isinstance(output, SendRtcp)
            assert output.mux
            if output.destination != self.source:
                continue
            if 20 <= output.data[0] < 64:
                for answer in self.dtls.receive(output.data, now=now):
                    self.send(answer, now=now)
            elif not is_stun(output.data):
                self.got.append(output.data)
        if self.dtls.keys and self.protector is None:
            self.protector = Protector(self.dtls.keys)

    def connect(self, *, now: float) -> None:
        self.send(check(nominates=True), now=now)
        for data in self.dtls.begin(now=now):
            self.send(data, now=now)

    def talk(self, number: int, *, now: float, source: tuple[str, int] | None = None) -> int:
        assert self.protector is not None
        return self.send(self.protector.protect(audio(number)), now=now, source=source)


def test_checks_then_keys_then_media() -> None:
    for is_client in (True, False):
        browser = Browser(is_client=is_client)
        session = browser.session
        assert (session.remote, session.is_open) == (None, False)
        assert session.next_packet(FRAME, now=0.0) == b"", "nothing goes out in the clear"
        browser.connect(now=1.0)
        assert session.remote == HERE
        assert session.is_open
        assert [browser.talk(number, now=1.0 + number * 0.02) for number in range(5)] == [1] * 5
        assert browser.protector is not None
        packet = browser.protector.open(session.next_packet(FRAME, now=1.2))
        assert packet is not None
        assert packet[12:] == FRAME
        session.close(now=2.0)
        browser.collect(2.0)
        assert [browser.protector.open_rtcp(data) is not None for data in browser.got] == [True]
        assert browser.dtls.is_closed
        assert session.stats.unauthenticated == 0


def test_a_hello_of_who_passed_no_check_is_not_read() -> None:
    """CVE-2023-49786: a stranger's handshake ended calls before the caller's began."""
    browser = Browser()
    stranger = Dtls(A, fingerprints=known_by(B), is_client=True)
    browser.send(check(nominates=True), now=1.0)
    for data in stranger.begin(now=1.0):
        assert browser.send(data, now=1.0, source=THERE) == 0
    alert = bytes.fromhex("15fefd00000000000000000002") + b"\x02\x28"
    browser.send(alert, now=1.0, source=THERE)
    assert browser.session.stats.from_strangers == 2
    assert browser.session.poll() is None
    browser.connect(now=1.1)
    assert browser.session.remote == HERE


def test_media_counts_from_where_a_check_has_passed() -> None:
    browser = Browser()
    browser.connect(now=1.0)
    assert browser.talk(0, now=1.0) == 1
    assert browser.talk(1, now=1.02, source=THERE) == 0
    browser.send(check(), now=1.03, source=THERE)
    browser.talk(2, now=1.04, source=THERE)
    assert browser.session.stats.packets_received == 2, "it roams"
    assert browser.session.remote == HERE, "and we with it only when it says so"
    browser.source = THERE
    browser.send(check(nominates=True, priority=200), now=1.1)
    assert browser.session.remote == THERE


def test_plain_media_is_nobodys() -> None:
    browser = Browser()
    browser.connect(now=1.0)
    for number in range(50):
        assert browser.send(audio(number), now=1.0 + number * 0.02) == 0
    assert browser.session.stats.unauthenticated == 50


def test_who_no_longer_consents_is_sent_nothing() -> None:
    browser = Browser()
    browser.connect(now=1.0)
    session, now = browser.session, 1.0
    while now < 2.0 + CONSENT_S + 10.0:
        now += 0.02
        session.next_packet(FRAME, now=now)
        if now >= session.due_at:
            session.handle_timer(now=now)
            browser.collect(now)
    assert session.remote is None
    browser.send(check(nominates=True), now=now)
    assert session.remote == HERE


def test_a_reinvite_changes_nothing_and_a_new_certificate_is_a_new_handshake() -> None:
    browser = Browser()
    browser.connect(now=1.0)
    browser.session.configure(browser.session._parameters)
    assert browser.talk(0, now=1.1) == 1
    agreed = WebRtcParameters(B, known_by(B), False, OURS)
    browser.session.configure(RtpParameters(0, {0: G711}, remote=("0.0.0.0", 9), rtcp_mux=True, webrtc=agreed))
    browser.dtls = Dtls(B, fingerprints=known_by(B), is_client=True)
    browser.protector = None
    browser.connect(now=2.0)
    assert browser.talk(1, now=2.1) == 1


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_anything_may_come(datagrams: list[bytes]) -> None:
    browser = Browser()
    browser.send(check(nominates=True), now=1.0)
    for data in datagrams:
        assert browser.send(data, now=1.0) == 0
        assert browser.send(data, now=1.0, source=THERE) == 0
        browser.session.receive_rtcp(data, HERE, now=1.0)
    assert browser.session.remote is None
