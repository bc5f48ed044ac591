import asyncio
import re
from pathlib import Path
from struct import pack

import numpy as np
import pytest
from loopback import HOST, Clean, until, within
from serving import serving

from sipagent.agent.builtin import HANG_UP, SEND_DIGITS
from sipagent.agent.tools import tool
from sipagent.aio.engine import Engine
from sipagent.aio.udp import UdpSocket
from sipagent.audio.wav import read_wav
from sipagent.call import events
from sipagent.call.continuity import ContinuitySettings
from sipagent.errors import SipagentError
from sipagent.realtime.events import FunctionCallRequested
from sipagent.sip.events import Ended, InfoReceived

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def speech(number: int) -> bytes:
    """A packet of 20 ms that nobody takes for silence."""
    return pack("!BBHII", 0x80, 0, number, 160 * number, 0x5EED) + (b"\x8f" * 40 + b"\x0f" * 40) * 2


def test_a_call_is_answered_and_heard_and_hung_up(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            caller = await world.answered()
            await within(caller.heard.wait())
            (runner,) = world.service._runners.values()
            for number in range(40):
                caller.rtp.send(speech(number), (HOST, runner._media.port))
            await until(lambda: {path for path, _ in world.ledger.delays} == {"model_to_packet", "packet_to_model"})
            assert world.ledger.all(events.SpeechStarted)
            assert world.service.calls == 1
            caller.hang_up()
            (ended,) = await world.over()
            assert ended.reason == "bye"
            assert ended.media.packets_received >= 1
            assert ended.media.packets_sent >= 1
            assert world.service.calls == 0
            assert world.ledger.crashes == []

    run(main())


def test_a_model_that_can_not_be_reached(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, engine=Engine(f"ws://{HOST}:1/", {}, 1.0)) as world:
            ended, _ = await world.refused()
            assert ended.status == 503
            (failed,) = world.ledger.all(events.ModelFailed)
            assert (failed.kind, failed.code) == ("transient", "0")
            assert "cannot be reached" in failed.message
            assert world.ledger.all(events.Ended)[0].reason == "rejected_503"

    run(main())


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("refuse_handshake status=429", "transient"),
        ("refuse_handshake status=403", "fatal"),
        ("refuse_session code=insufficient_quota", "fatal"),
        ("wrong_format", "fatal"),
        ("slow_session seconds=30", "transient"),
    ],
)
def test_a_model_that_refuses(run: Clean, tmp_path: Path, script: str, kind: str) -> None:
    async def main() -> None:
        async with serving(tmp_path, script) as world:
            ended, _ = await world.refused()
            assert ended.status == 503
            assert [failed.kind for failed in world.ledger.all(events.ModelFailed)] == [kind]

    run(main())


def test_a_server_that_hangs_up_on_the_handshake_does_not_let_it_ring_for_ever(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), HOST, 0)
        url = f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"
        async with serving(tmp_path, engine=Engine(url, {}, 5.0)) as world:
            assert (await world.refused())[0].status == 503
        server.close()

    run(main())


def test_a_wrong_key_is_a_setting_to_mend(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, key="wrong") as world:
            assert (await world.refused())[0].status == 503
            (failed,) = world.ledger.all(events.ModelFailed)
            assert (failed.kind, failed.code) == ("fatal", "401")
            assert "Incorrect API key" in failed.message

    run(main())


def test_an_engine_keeps_its_key_to_itself() -> None:
    assert "secret" not in repr(Engine("wss://x", {"Authorization": "Bearer secret"}))


def test_a_caller_who_gives_up_while_the_model_is_slow(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, "slow_session seconds=30") as world:
            caller = await world.call()
            await until(lambda: world.service.calls)
            caller.hang_up()
            (ended,) = await world.over()
            assert ended.reason == "cancelled"
            assert world.ledger.all(events.ModelFailed) == []

    run(main())


def test_the_model_breaks_off_in_the_middle(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, "drop on=1 after_ms=200", continuity=ContinuitySettings(give_up_s=0.0)) as world:
            caller = await world.answered()
            assert (await caller.expect(Ended)).reason == "bye", "we hang up once what came has been heard"
            (ended,) = await world.over()
            assert ended.reason == "model_failed"

    run(main())


@tool
def broken(question: str = "") -> str:
    """Fails."""
    raise ValueError("no such table")


def test_a_tool_that_raises_is_reported_and_the_call_goes_on(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, tools=(broken, HANG_UP)) as world:
            caller = await world.answered()
            (runner,) = world.service._runners.values()
            conversation = runner.call._conversation
            assert conversation is not None
            request = FunctionCallRequested("call_1", "broken", "{}", "")
            runner.driver.feed(lambda *, now: conversation._on_session(request, now))
            await until(lambda: world.ledger.all(events.ToolReturned), what=lambda: world.ledger.facts)
            assert world.ledger.all(events.ToolReturned)[0].output == "The tool broken failed."
            ((name, error),) = world.ledger.tool_errors
            assert (name, str(error)) == ("broken", "no such table")
            assert world.service.calls == 1
            caller.hang_up()

    run(main())


def test_keys_of_the_agent_go_in_info_where_rtp_takes_none(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, tools=(SEND_DIGITS,), keys_in_rtp=False) as world:
            caller = await world.answered()
            (runner,) = world.service._runners.values()
            conversation = runner.call._conversation
            assert conversation is not None

            def call(call_id: str, arguments: str) -> None:
                request = FunctionCallRequested(call_id, "send_digits", arguments, "")
                runner.driver.feed(lambda *, now: conversation._on_session(request, now))

            call("call_1", '{"digits": "4#"}')
            for digit in "4#":
                assert (await caller.expect(InfoReceived)).digit == digit
            await until(lambda: world.ledger.all(events.ToolReturned))
            too_many = '{"digits": "%s"}' % ("1" * 64)
            for call_id in ("call_2", "call_3", "call_4"):
                call(call_id, too_many)
            await until(lambda: world.ledger.all(events.LegComplained))
            assert world.service.calls == 1
            caller.hang_up()

    run(main())


def test_a_recording_has_both_sides_and_the_length_of_the_call(run: Clean, tmp_path: Path) -> None:
    async def main() -> float:
        async with serving(tmp_path, records=True) as world:
            caller = await world.answered()
            await until(lambda: len(caller.packets) >= 70)
            caller.hang_up()
            (ended,) = await world.over()
        assert world.ledger.recording_errors == []
        return ended.duration_s

    duration_s = run(main())
    (path,) = tmp_path.glob("*.wav")
    rate, samples = read_wav(path.read_bytes())
    assert (rate, samples.shape[1]) == (8000, 2)
    assert len(samples) / rate == pytest.approx(duration_s, abs=0.1)
    assert not samples[:, 0].any(), "the caller said nothing"
    assert abs(samples[:, 1]).max() > 1000, "the agent did"


def test_a_recording_pauses_when_the_service_is_told(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, records=True) as world:
            caller = await world.answered()
            (runner,) = world.service._runners.values()
            with pytest.raises(SipagentError, match="nobody"):
                world.service.pause_recording("nobody", True)
            await until(lambda: len(caller.packets) >= 30)
            world.service.pause_recording(runner.call.id, True)
            heard = len(caller.packets)
            await until(lambda: len(caller.packets) >= heard + 40)
            world.service.pause_recording(runner.call.id, False)
            assert len(world.ledger.all(events.RecordingPaused)) == len(world.ledger.all(events.RecordingResumed)) == 1
            await until(lambda: len(caller.packets) >= heard + 50)
            caller.hang_up()
            await world.over()

    run(main())
    (path,) = tmp_path.glob("*.wav")
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{12}\.wav", path.name)
    rate, samples = read_wav(path.read_bytes())
    silent = np.flatnonzero(np.diff(np.flatnonzero(samples[:, 1])) > rate // 2)
    assert len(silent) == 1, "half a second of the agent is missing, and only there"


def test_a_call_that_is_not_recorded_has_no_recording_to_pause(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            caller = await world.answered()
            (call_id,) = world.service._runners
            with pytest.raises(SipagentError, match=call_id):
                world.service.pause_recording(call_id, True)
            caller.hang_up()

    run(main())


def test_a_disk_that_is_gone_costs_the_recording_only(run: Clean, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def main() -> None:
        async with serving(tmp_path / "file" / "folder", records=True) as world:
            caller = await world.answered()
            await until(lambda: world.ledger.recording_errors)
            heard = len(caller.packets)
            await until(lambda: len(caller.packets) >= heard + 10)
            caller.hang_up()
            assert (await world.over())[0].reason == "bye"
            assert len(world.ledger.recording_errors) == 1

    run(main())


def test_a_bug_in_one_call_ends_that_call_only(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as world:
            unlucky, lucky = await world.answered(), await world.answered()
            first, second = world.service._runners.values()
            port = first._media.port

            def fail(*, now: float) -> bytes:
                raise ZeroDivisionError("a bug")

            first.call.next_packet = fail  # type: ignore[method-assign]
            assert (await unlucky.expect(Ended)).reason == "bye"
            assert [str(error) for error in world.ledger.crashes] == ["a bug"]
            assert world.service.calls == 1
            for taken in (port, port + 1):
                UdpSocket((HOST, taken), lambda data, source: None).close()
            heard = len(lucky.packets)
            await until(lambda: len(lucky.packets) >= heard + 5)
            assert not second.driver.is_closed

    run(main())
