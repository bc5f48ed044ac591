"""Encrypted calls with baresip, in and out: who may, who must, and that what is said is heard."""

import asyncio
import shutil
from pathlib import Path
from random import SystemRandom

import pytest
from interop.baresip import Baresip
from interop.matrix import cell
from interop.sound import SAME, correlate
from interop.story import Call, Voices, hear_each_other
from program import Server

from sipagent.aio.phone import PhoneRunner
from sipagent.audio.g711 import encode_ulaw
from sipagent.audio.wav import read_wav
from sipagent.call.phone import Line
from sipagent.sdp import crypto
from sipagent.sip.uri import Uri

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed: make tools"),
]

OPEN_REPORTS = 1
"""baresip begins with a report of its own kind, PINGPONG, that it never encrypts."""
EARLY = 10
"""Packets that a telephone sends before its answer has come."""


def serve(folder: Path, mode: str, **line: object) -> Server:
    lines = [{"name": "main", "agent": "tested", "srtp": mode} | line]
    return Server(folder, {"lines": lines, "agents": {"tested": {"record": True}}})


@pytest.mark.parametrize(
    ("ours", "theirs", "is_encrypted"),
    [
        pytest.param("optional", "srtp", True, marks=cell("baresip", "SRTP")),
        pytest.param("optional", "srtp-mand", True, marks=cell("baresip", "SRTP")),
        ("required", "srtp", True),
        ("required", "srtp-mandf", True),
        ("off", "srtp", False),
        ("optional", "", False),
    ],
)
def test_baresip_calls(ours: str, theirs: str, is_encrypted: bool, voices: Voices, folder: Path) -> None:
    with serve(folder / "server", ours) as server, Baresip(folder / "phone", voices.caller, encryption=theirs) as phone:
        call = Call(server)
        phone.dial(server.uri("agent"))
        hear_each_other(call, phone, voices)
        assert bool(phone.suites) == is_encrypted
        assert call.wait_until_over()["media"]["unauthenticated"] <= OPEN_REPORTS


@pytest.mark.parametrize(
    ("ours", "theirs", "is_encrypted"),
    [
        pytest.param("optional", "srtp", True, marks=cell("baresip", "SRTP")),
        pytest.param("required", "srtp-mand", True, marks=cell("baresip", "SRTP")),
        ("required", "srtp", True),
        ("optional", "", False),
    ],
)
def test_baresip_is_called(ours: str, theirs: str, is_encrypted: bool, voices: Voices, folder: Path) -> None:
    with Baresip(folder / "phone", voices.caller, answers=True, encryption=theirs) as phone:
        domain = f"127.0.0.1:{phone.port}"
        line = {"domain": domain, "user": "agent", "register": False, "allow_out": ["*"]}
        with serve(folder / "server", ours, **line) as server:
            call = Call(server)
            server.place_call("main", f"sip:baresip@{domain}")
            phone.wait_until_up()
            hear_each_other(call, phone, voices, early=EARLY)
            assert bool(phone.suites) == is_encrypted


@pytest.mark.parametrize("suite", crypto.KEY_BYTES)
def test_every_suite(suite: str, voices: Voices, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own telephone calls baresip, and offers nothing else."""
    monkeypatch.setattr(crypto, "OFFERED", (suite,))
    recording = folder / "call.wav"
    with Baresip(folder / "phone", voices.caller, answers=True, encryption="srtp-mand") as phone:
        runner = PhoneRunner(
            lines=[Line("question", encode_ulaw(voices.question))],
            recording=recording,
            noted=lambda fact, now: None,
            random=SystemRandom(),
            srtp="required",
        )
        asyncio.run(runner.call(Uri.parse(f"sip:baresip@127.0.0.1:{phone.port}"), linger_s=2.0, max_call_s=10.0))
        phone.stop()
        assert phone.suites == [suite]
        _, sides = read_wav(recording.read_bytes())
        assert correlate(voices.question, phone.heard())[1] > SAME
        assert correlate(voices.question, sides[:, 1])[1] > SAME


def test_who_must_and_who_must_not(voices: Voices, folder: Path) -> None:
    with (
        serve(folder / "server", "off") as server,
        Baresip(folder / "a", voices.caller, encryption="srtp-mand") as phone,
    ):
        phone._command("dial", server.uri("agent"))
        assert "488" in phone.wait_for("CALL_CLOSED")["param"]
    with serve(folder / "other", "required") as server, Baresip(folder / "b", voices.caller) as phone:
        phone._command("dial", server.uri("agent"))
        assert "488" in phone.wait_for("CALL_CLOSED")["param"]
