import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import pytest
from loopback import HOST, Caller, Clean, RawUdp, until, within
from serving import serving

from sipagent.aio import phone as phone_module
from sipagent.aio import ua as ua_module
from sipagent.aio.phone import PhoneRunner
from sipagent.audio.g711 import encode_ulaw
from sipagent.audio.linear import from_linear
from sipagent.audio.resample import Resampler
from sipagent.audio.tones import sine
from sipagent.audio.wav import read_wav
from sipagent.call import events, phone
from sipagent.call.jitter_buffer import JitterStats
from sipagent.call.phone import CODECS, Line, Phone, PhoneOutput
from sipagent.errors import LocalProtocolError, SipagentError
from sipagent.formats import PCM
from sipagent.rtp.packet import pack_packet
from sipagent.sip.account import Account
from sipagent.sip.events import Ended
from sipagent.sip.message import Request, make_response
from sipagent.sip.uri import Uri

pytestmark = pytest.mark.usefixtures("nothing_unheard")

Kind = TypeVar("Kind")
SPEECH = encode_ulaw(sine(440.0, 300, level_dbfs=-10.0))


class Bench:
    """A telephone, and what it told."""

    def __init__(
        self,
        *lines: Line,
        recording: Path | None = None,
        account: Account | None = None,
        codecs: tuple[str, ...] = CODECS,
    ) -> None:
        self.facts: list[PhoneOutput] = []
        self.runner = PhoneRunner(
            lines=lines,
            recording=recording,
            noted=lambda fact, now: self.facts.append(fact),
            random=Random(),
            account=account,
            codecs=codecs,
        )

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    async def call(self, target: str, **options: Any) -> None:
        await self.runner.call(Uri.parse(target), **({"linger_s": 0.3, "max_call_s": 8.0} | options))


def test_keys_in_info(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            account = Account(name="pbx", address=Uri.parse(f"sip:1@{HOST}"), contact_user="x", keys="info")
            bench = Bench(Line("keys", digits="42#", after_speech_ms=100), account=account)
            await bench.call(f"sip:agent@{HOST}:{world.port}", max_call_s=4.0)
            pressed = [fact.digit for fact in world.ledger.all(events.DigitPressed)]
            assert pressed == ["4", "2", "#"]

    run(main())


def test_a_header_field_that_is_not_the_users() -> None:
    with pytest.raises(LocalProtocolError, match="Via is written by the user agent"):
        PhoneRunner(lines=(), recording=None, noted=print, random=Random(), headers=[("Via", "x")])


@pytest.mark.parametrize("transport", ["", ";transport=udp"])
def test_a_whole_call(run: Clean, tmp_path: Path, transport: str) -> None:
    recording = tmp_path / "call.wav"

    async def main() -> None:
        async with serving(tmp_path, tools=()) as world:
            bench = Bench(Line("hello", SPEECH, after_speech_ms=300), recording=recording)
            await bench.call(f"sip:agent@{HOST}:{world.port}{transport}", max_call_s=3.0)
            assert len(bench.all(phone.PickedUp)) == 1
            assert bench.all(phone.Ringing)
            assert bench.all(phone.AgentHeard)
            assert [said.text for said in bench.all(phone.LineSaid)] == ["hello"]
            (over,) = bench.all(phone.HungUp)
            assert over.reason == "hung_up"
            assert (await world.over())[0].reason == "bye"
            assert world.ledger.all(events.AgentPaused)

    run(main())
    _, samples = read_wav(recording.read_bytes())
    assert np.abs(samples[:, 0]).max() > 1000, "our line is on the left"
    assert np.abs(samples[:, 1]).max() > 1000, "the agent's on the right"


@pytest.mark.parametrize("codec", ["G722", "opus", "L16"])
def test_a_whole_call_in_wideband(run: Clean, tmp_path: Path, codec: str) -> None:
    """Lines and recording are as wide as the codec, and both sides hear each other."""
    recording = tmp_path / "call.wav"
    loud = sine(440.0, 600, level_dbfs=-10.0)
    spoken = from_linear(Resampler(8_000, PCM.rate).convert(loud), PCM)

    async def main() -> None:
        async with serving(tmp_path, codecs=("PCMU", codec)) as world:
            bench = Bench(Line("hello", spoken, after_speech_ms=300), recording=recording, codecs=(codec,))
            await bench.call(f"sip:agent@{HOST}:{world.port}", max_call_s=3.0)
            assert bench.all(phone.AgentHeard)
            await world.over()
            assert [fact.codec for fact in world.ledger.all(events.Answered)] == [codec]
            assert world.ledger.all(events.AgentPaused)
            (sound,) = bench.all(JitterStats)
            assert sound.played > 30
            assert sound.late == 0

    run(main())
    rate, samples = read_wav(recording.read_bytes())
    assert rate == PCM.rate
    assert np.abs(samples).max(axis=0).min() > 1000, "neither side is silent"


def test_early_media_are_heard(run: Clean, tmp_path: Path) -> None:
    """A 183 with a description, and ringing in a voice that nobody has answered yet."""
    recording = tmp_path / "call.wav"

    async def main() -> None:
        sip, rtp = RawUdp(), RawUdp()
        bench = Bench(recording=recording)
        calling = asyncio.get_running_loop().create_task(bench.call(f"sip:agent@{HOST}:{sip.address[1]}"))
        invite = await sip.receive()
        assert isinstance(invite, Request)
        assert invite.contact is not None
        progress = make_response(invite, 183, to_tag="early")
        progress.headers.add("Contact", f"<sip:{HOST}:{sip.address[1]}>")
        progress.headers.add("Content-Type", "application/sdp")
        media = f"m=audio {rtp.address[1]} RTP/AVP 0"
        sdp = ("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0", media)
        body = "\r\n".join((*sdp, "")).encode()
        sip.send(bytes(replace(progress, body=body)), invite.contact.uri.port or 0)
        await until(lambda: bench.all(phone.Ringing))
        port = int(invite.body.decode().partition("m=audio ")[2].split()[0])
        for number in range(40):
            rtp.send(pack_packet(0, number, 160 * number, 7, SPEECH[:160]), port)
            await asyncio.sleep(0.02)
        assert bench.all(phone.EarlyMediaHeard)
        assert not bench.all(phone.AgentHeard)
        calling.cancel()
        await asyncio.wait([calling])
        sip.close()
        rtp.close()

    run(main())
    _, samples = read_wav(recording.read_bytes())
    loud = np.abs(samples[:, 1].reshape(-1, 160)[5:25]).max(axis=1)
    assert loud.min() > 1000


def test_a_refusal_is_no_error(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, "refuse_handshake status=500") as world:
            bench = Bench()
            await bench.call(f"sip:agent@{HOST}:{world.port}")
            (over,) = bench.all(phone.HungUp)
            assert (over.reason, over.status) == ("rejected", 503)
            assert bench.all(phone.PickedUp) == []

    run(main())


def test_a_telephone_over_tcp_and_by_name(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            port = (await world.endpoint.listen("TCP", (HOST, 0)))[1]
            bench = Bench()
            await bench.call(f"sip:agent@localhost:{port};transport=tcp", max_call_s=0.3)
            assert len(bench.all(phone.PickedUp)) == 1
            await world.over()

    run(main())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("sip:a@no-such-host.invalid", r"no way to sip:a@no-such-host\.invalid: "),
        (f"sip:a@{'a' * 64}", "no way to sip:a@aaaa"),
        ("sip:a@255.255.255.255", r"no way to sip:a@255\.255\.255\.255: "),
    ],
)
def test_what_can_not_be_dialled(run: Clean, target: str, words: str) -> None:
    async def main() -> None:
        with pytest.raises(SipagentError, match=words):
            await Bench().call(target)

    run(main())


@pytest.mark.parametrize("transport", ["tcp", "tls", "wss"])
def test_nobody_listens_there(run: Clean, transport: str) -> None:
    async def main() -> None:
        bench = Bench()
        await bench.call(f"sip{'s' if transport == 'wss' else ''}:a@{HOST}:1;transport={transport}")
        (over,) = bench.all(phone.HungUp)
        assert over.reason == "transport"

    run(main())


def test_no_media_port_is_left(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        taken = await Caller().open()
        port = taken.rtp.address[1] & ~1
        monkeypatch.setattr(phone_module, "PORTS", (port, port + 1))
        with pytest.raises(SipagentError, match="no free RTP port"):
            await Bench().call(f"sip:a@{HOST}")
        await taken.close()

    run(main())


def test_a_telephone_that_is_stopped_hangs_up(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            bench = Bench()
            calling = asyncio.get_running_loop().create_task(bench.call(f"sip:agent@{HOST}:{world.port}"))
            await until(lambda: bench.all(phone.AgentHeard))
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await within(calling)
            assert (await world.over())[0].reason == "bye"

    run(main())


def test_a_bug_in_the_telephone_ends_the_call(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            bench = Bench()

            def fail(self: Phone, data: bytes, source: object, *, now: float) -> bytes:
                raise ZeroDivisionError("a bug")

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Phone, "receive_rtp", fail)
                with pytest.raises(SipagentError, match=r"the telephone failed: ZeroDivisionError\('a bug'\)"):
                    await bench.call(f"sip:agent@{HOST}:{world.port}")
            assert (await world.over())[0].reason == "bye"

    run(main())


def test_a_recording_that_can_not_be_written_is_told(run: Clean, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def main() -> None:
        async with serving(tmp_path) as world:
            bench = Bench(recording=tmp_path / "file" / "call.wav")
            with pytest.raises(SipagentError, match=r"can.t record to .*file"):
                await bench.call(f"sip:agent@{HOST}:{world.port}", max_call_s=1.5)
            assert bench.all(phone.HungUp), "the call itself was made"

    run(main())


def test_who_calls_the_telephone_finds_it_busy(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ua_module, "SETTLE_S", 0.1)

    async def main() -> None:
        peer, caller = RawUdp(), await Caller().open()
        bench = Bench()
        calling = asyncio.get_running_loop().create_task(bench.call(f"sip:agent@{HOST}:{peer.address[1]}"))
        invite = await peer.receive()
        assert isinstance(invite, Request)
        assert invite.contact is not None
        caller.invite(invite.contact.uri.port or 0)
        ended = await caller.expect(Ended)
        assert ended.status == 486
        calling.cancel()
        await asyncio.wait([calling])
        peer.close()
        await caller.close()

    run(main())
