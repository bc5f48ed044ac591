"""baresip and sipagent in each codec, called and calling; what was said is found again in what was heard.

baresip speaks one codec only, at the codec's own rate, and sipagent has that one alone on its line. The voices are
those of a telephone, 8 kHz, and are compared at that rate.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from interop.baresip import Baresip
from interop.sound import RATE, SAME, SILENT_DBFS, Samples, at_rate, correlate, level, share_found
from interop.story import FOUND, SPEAKS_AT_S, Call, Voices, ask, judge_media
from program import Server, free_port

from sipagent.audio.codecs import available_codecs
from sipagent.audio.g711 import to_pcm

pytestmark = pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed: make tools")

CODECS = {"PCMA": "PCMA/8000/1", "G722": "G722/16000/1", "opus": "opus/48000/2", "L16": "L16/16000/1"}
"""By our name, baresip's."""
IN_EVERY_RUN = ("G722", "opus")
"""The others are `make interop`'s."""
LIKENESS = {"opus": 0.8}
"""What is left of a likeness, piece by piece, where a codec keeps the sound rather than the wave."""
EARLY = 5
"""Packets: baresip talks as soon as it has answered, and its answer may be slower."""

WIDE = 16_000
"""Hz, at which everything is compared."""
WHISTLE_HZ = 6_000
WHISTLE_DBFS = -30.0
"""While the caller asks something a tone sounds that G.711 can't carry, too soft to be taken for speech."""
HIGH_HZ = 4_500, 7_000
"""What G.711 can't carry and all others do."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name in IN_EVERY_RUN else pytest.mark.interop) for name in CODECS],
)
def codec(request: pytest.FixtureRequest) -> str:
    if request.param not in available_codecs():
        pytest.skip(f"needs the extra {request.param.lower()}")
    return str(request.param)


@pytest.fixture(scope="module")
def phone_port() -> int:
    """Where baresip takes calls: the line's domain."""
    return free_port()


@pytest.fixture(scope="module")
def server(codec: str, phone_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    line = {"name": "main", "agent": "tested", "codecs": [codec], "domain": f"127.0.0.1:{phone_port}"}
    with Server(tmp_path_factory.mktemp("server"), {"lines": [line], "agents": {"tested": {"record": True}}}) as server:
        yield server


@pytest.fixture
def caller(voices: Voices) -> Samples:
    """What baresip says, at 16 kHz: the question, and the whistle with it."""
    said = at_rate(voices.caller, RATE, WIDE).astype(np.float64)
    begin, length = int(SPEAKS_AT_S * WIDE), len(voices.question) * WIDE // RATE
    whistle = np.sin(2 * np.pi * WHISTLE_HZ * np.arange(length) / WIDE)
    said[begin : begin + length] += 32_768 * 2**0.5 * 10 ** (WHISTLE_DBFS / 20) * whistle
    return to_pcm(said)


def within(samples: Samples, lowest_hz: float, highest_hz: float) -> Samples:
    """What of a sound at 16 kHz lies in a band."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / WIDE)
    spectrum[(frequencies < lowest_hz) | (frequencies > highest_hz)] = 0
    return to_pcm(np.fft.irfft(spectrum, len(samples)))


def loudest(samples: Samples) -> float:
    """The level of the loudest quarter of a second."""
    piece = WIDE // 4
    return max(level(samples[at : at + piece]) for at in range(0, len(samples) - piece, piece // 2))


def judge(call: Call, phone: Baresip, caller: Samples, codec: str, *, early: int = 0) -> None:
    """Each heard the other, in that codec and in all of its band, and nothing was lost on the way."""
    likest = LIKENESS.get(codec, SAME)
    assert call.wait_for("answered")["codec"] == codec
    judge_media(call, early=early)
    (listened, said), heard = call.recording(WIDE), phone.heard(WIDE)
    is_wide = codec != "PCMA"
    asked = caller[int(SPEAKS_AT_S * WIDE) : -WIDE]
    assert correlate(asked if is_wide else within(asked, 0, RATE / 2), listened)[1] > likest
    assert share_found(said, heard, likest) > FOUND
    whistle = loudest(within(listened, WHISTLE_HZ - 50, WHISTLE_HZ + 50))
    highs = loudest(within(heard, *HIGH_HZ))
    assert whistle == pytest.approx(WHISTLE_DBFS, abs=1) if is_wide else whistle < SILENT_DBFS
    assert highs == pytest.approx(loudest(within(said, *HIGH_HZ)), abs=3) if is_wide else highs < SILENT_DBFS


def test_baresip_calls(codec: str, server: Server, caller: Samples, tmp_path: Path) -> None:
    call = Call(server)
    with Baresip(tmp_path / "phone", caller, says_rate=WIDE, codec=CODECS[codec]) as phone:
        phone.dial(server.uri("agent"))
        ask(call)
        phone.hang_up()
        phone.stop()
        judge(call, phone, caller, codec)


def test_baresip_is_called(codec: str, server: Server, phone_port: int, caller: Samples, tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    with Baresip(folder, caller, says_rate=WIDE, codec=CODECS[codec], answers=True, port=phone_port) as phone:
        call = Call(server)
        server.place_call("main", "baresip")
        phone.wait_until_up()
        ask(call)
        phone.hang_up()
        phone.stop()
        judge(call, phone, caller, codec, early=EARLY)
