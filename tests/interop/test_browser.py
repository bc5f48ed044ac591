"""A browser calls sipagent: SIP over a WebSocket, ICE, DTLS and SRTP, by Chromium and a page of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from interop.chromium import PROGRAM, Chromium
from interop.kamailio import Authority
from interop.matrix import cell
from interop.sound import ALIKE, AUDIBLE_DBFS, RATE, level, share_found
from interop.story import SILENCE, Call, Voices, ask, hold_and_resume, judge_ears, judge_media, press_and_listen
from program import Server, free_port

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed: make interop"),
]

LIKEST = 0.8
"""What is left of a likeness after two codecs."""
PIECE = RATE // 5
"""Its jitter buffer stretches and shrinks the sound until it knows the network; longer pieces are nowhere alike."""
FOUND = 0.7
EVENTS = "audio/telephone-event"


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and where a browser finds it."""

    server: Server
    authority: Authority
    ports: dict[str, int]

    def uri(self, transport: str = "ws") -> str:
        """By which a browser calls the agent."""
        return f"sip:agent@127.0.0.1:{self.ports[transport]};transport=ws"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    ports = {name: free_port() for name in ("ws", "wss")}
    settings: dict[str, Any] = {
        "sip": {
            "listen": [f"{name}:127.0.0.1:{port}" for name, port in ports.items()],
            "tls": {"certificate": str(authority.certificate), "key": str(authority.key)},
        },
        "lines": [{"name": "main", "agent": "tested", "codecs": ["opus", "G722", "PCMU"]}],
        "agents": {"tested": {"record": True}},
    }
    with Server(tmp_path_factory.mktemp("server"), settings) as server:
        yield Place(server, authority, ports)


def judge(phone: Chromium, call: Call) -> None:
    """The browser was connected, heard the agent, and was heard; nobody else was."""
    found = phone.last
    assert found["connectionState"] == "connected"
    assert found["transport"]["dtlsState"] == "connected"
    assert found["transport"]["srtpCipher"].startswith("SRTP_AEAD_AES_256_GCM")
    assert found["inbound-rtp"]["packetsReceived"] > 0
    assert found["inbound-rtp"]["packetsLost"] == 0
    assert found["inbound-rtp"]["totalAudioEnergy"] > 0
    media = call.wait_until_over()["media"]
    assert media["packets_received"] >= found["outbound-rtp"]["packetsSent"] > 0
    assert media["unauthenticated"] == 0
    judge_media(call)


def judge_voice(phone: Chromium, call: Call) -> None:
    """The browser heard what sipagent says it said."""
    _, said = call.recording()
    assert share_found(said, phone.heard(), ALIKE, PIECE) > FOUND


@contextmanager
def answered(place: Place, folder: Path, *, opens_microphone: bool = True) -> Iterator[tuple[Chromium, Call]]:
    """A browser that says nothing, and the call in which the agent speaks to it."""
    call = Call(place.server)
    with Chromium(folder / "phone", SILENCE, opens_microphone=opens_microphone) as phone:
        phone.dial(place.uri())
        call.wait_for("agent_started")
        yield phone, call


def hang_up(phone: Chromium, call: Call) -> None:
    """End the call; nothing was lost in it."""
    phone.hang_up()
    phone.stop()
    judge(phone, call)


def talk(phone: Chromium, call: Call, voices: Voices) -> None:
    """The browser asks, is answered and hangs up; each heard what the other said, and nothing was lost."""
    ask(call)
    phone.hang_up()
    phone.stop()
    assert call.wait_until_over()["reason"] == "bye"
    judge_ears(call, voices, likest=LIKEST)
    judge_voice(phone, call)
    judge(phone, call)


@cell("Chromium", "call in", "SRTP")
@pytest.mark.parametrize("codec", ["opus", "G722", "PCMU"])
def test_each_hears_the_other(codec: str, place: Place, voices: Voices, folder: Path) -> None:
    call = Call(place.server)
    with Chromium(folder / "phone", voices.caller, codecs=(f"audio/{codec}", EVENTS)) as phone:
        phone.dial(place.uri())
        talk(phone, call, voices)
        assert phone.last["codec"]["mimeType"] == f"audio/{codec}"


@cell("Chromium", "TLS")
def test_over_tls_and_with_a_video_that_is_refused(place: Place, voices: Voices, folder: Path) -> None:
    call = Call(place.server)
    with Chromium(folder / "phone", voices.caller, authority=place.authority, shows_video=True) as phone:
        phone.dial(place.uri("wss"))
        talk(phone, call, voices)
        assert "m=video 0 " in phone.last["answered"]


def test_who_hides_its_addresses_is_heard(place: Place, folder: Path) -> None:
    """A page without a microphone offers names of mDNS; it is found by its checks."""
    with answered(place, folder, opens_microphone=False) as (phone, call):
        press_and_listen(phone, call)
        hang_up(phone, call)
        assert ".local " in phone.last["offered"]
        heard, _ = call.recording()
        assert level(heard) > AUDIBLE_DBFS


@cell("Chromium", "DTMF")
def test_keys_reach_the_agent(place: Place, folder: Path) -> None:
    with answered(place, folder) as (phone, call):
        press_and_listen(phone, call)
        hang_up(phone, call)
        judge_voice(phone, call)
        assert sum(entry["event"] == "digit_pressed" for entry in call.entries) == 1


@cell("Chromium", "hold")
def test_hold_silences_the_agent_and_resuming_it_brings_it_back(place: Place, folder: Path) -> None:
    with answered(place, folder) as (phone, call):
        hold_and_resume(phone, call)
        phone.pause()
        assert not phone.receives()
        phone.unhold()
        press_and_listen(phone, call)
        assert phone.receives()
        hang_up(phone, call)
        assert level(phone.heard()[-5 * RATE :]) > AUDIBLE_DBFS


def test_it_goes_on_after_a_restart_of_ice_and_with_an_offer_of_ours(place: Place, folder: Path) -> None:
    with answered(place, folder) as (phone, call):
        phone.restart()
        press_and_listen(phone, call)
        phone.invite_empty()
        press_and_listen(phone, call)
        assert phone.receives()
        hang_up(phone, call)


def test_a_page_that_is_closed_ends_its_call(place: Place, folder: Path) -> None:
    with answered(place, folder) as (phone, call):
        phone.leave()
        assert call.wait_until_over()["reason"] == "webrtc_failed"


def test_the_agent_hangs_up(place: Place, folder: Path) -> None:
    with answered(place, folder) as (phone, call):
        phone.press("9")
        phone.wait_until_over()
        assert call.wait_until_over()["reason"] == "agent"
