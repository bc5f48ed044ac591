import asyncio
import json
import wave
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import HOST, run_clean
from rich.console import Console
from serving import serving

from sipagent.aio import loop
from sipagent.audio.g711 import decode
from sipagent.audio.tones import sine
from sipagent.audio.wav import read_wav
from sipagent.dial import Cue, DialSettings, dial, read_audio
from sipagent.errors import SipagentError
from sipagent.lines import parse_target
from sipagent.sip.uri import Uri


def write_wav(path: Path, samples: Any, rate: int, channels: int) -> Path:
    with wave.Wave_write(str(path)) as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:agent@127.0.0.1", "sip:agent@127.0.0.1"),
        ("agent@127.0.0.1:5070", "sip:agent@127.0.0.1:5070"),
        ("127.0.0.1", "sip:127.0.0.1"),
        ("SIP:100@[2001:db8::1];transport=tcp", "sip:100@[2001:db8::1];transport=tcp"),
    ],
)
def test_what_can_be_dialled(text: str, uri: str) -> None:
    assert str(parse_target(text)) == uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("200", "sip:200@pbx.example.com:5080"),
        ("*97", "sip:*97@pbx.example.com:5080"),
        ("sip:200@other", "sip:200@other"),
        ("+49 30", ""),
    ],
)
def test_a_number_is_dialled_at_the_domain_of_the_line(text: str, uri: str) -> None:
    domain = Uri.parse("sip:100@pbx.example.com:5080")
    if uri:
        assert str(parse_target(text, domain=domain)) == uri
    else:
        with pytest.raises(SipagentError):
            parse_target(text, domain=domain)


@pytest.mark.parametrize(("text", "words"), [("a b@c", "is no SIP URI"), ("", "is no SIP")])
def test_what_can_not(text: str, words: str) -> None:
    with pytest.raises(SipagentError, match=words):
        parse_target(text)


def test_a_recording_of_any_rate_is_played_at_ours(tmp_path: Path) -> None:
    tone = sine(440.0, 500)
    path = write_wav(tmp_path / "stereo.wav", np.stack((tone, tone), axis=1).repeat(2, axis=0), 16_000, 2)
    audio = decode(read_audio(path), "PCMU")
    assert len(audio) == pytest.approx(4000, abs=40)
    assert np.abs(audio).max() == pytest.approx(np.abs(tone).max(), rel=0.1)


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"no sound at all"])
def test_a_file_that_is_no_recording(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "call.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SipagentError, match=r"call\.wav"):
        read_audio(path)


def test_a_call_with_cues(tmp_path: Path) -> None:
    page = StringIO()
    tone = write_wav(tmp_path / "tone.wav", sine(440.0, 200), 8000, 1)

    async def main() -> bool:
        async with serving(tmp_path, greeting=None) as world:
            settings = DialSettings(
                f"agent@{HOST}:{world.port}",
                [Cue("press", "12#"), Cue("wav", str(tone)), Cue("say", "Hello [/bold]")],
                record=tmp_path / "call.wav",
                facts=tmp_path / "facts.json",
                linger_s=0.2,
                max_call_s=0.5,
            )
            return await dial(settings, console=Console(file=page, width=200))

    assert run_clean(loop.run, main())
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert [fact["kind"] for fact in facts][-1] == "HungUp"
    assert "answered" in page.getvalue()
    assert "over: hung_up" in page.getvalue()
    assert len(read_wav((tmp_path / "call.wav").read_bytes())[1]) > 0


def test_a_refusal_is_no_success(tmp_path: Path) -> None:
    page = StringIO()

    async def main() -> bool:
        async with serving(tmp_path, "refuse_handshake status=500") as world:
            return await dial(DialSettings(f"agent@{HOST}:{world.port}", []), console=Console(file=page))

    assert not run_clean(loop.run, main())
    assert "over: rejected 503" in page.getvalue()


@pytest.mark.parametrize(
    ("cue", "words"),
    [(Cue("press", "12x"), "'12x' are no keys"), (Cue("press", ""), "no keys"), (Cue("wav", "/none.wav"), "none.wav")],
)
def test_a_cue_that_can_not_be_given_is_told_before_the_call(cue: Cue, words: str) -> None:
    page = StringIO()
    with pytest.raises(SipagentError, match=words):
        run_clean(loop.run, dial(DialSettings(f"agent@{HOST}:9", [cue]), console=Console(file=page)))
    assert "Calling" not in page.getvalue()


def test_facts_that_can_not_be_written(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, "refuse_handshake status=500") as world:
            settings = DialSettings(f"agent@{HOST}:{world.port}", [], facts=tmp_path / "none" / "facts.json")
            with pytest.raises(SipagentError, match="can't write"):
                await dial(settings, console=Console(file=StringIO()))
            await asyncio.sleep(0)

    run_clean(loop.run, main())
