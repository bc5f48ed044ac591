"""A call in the hands of a program, over sockets."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Clean, until, within
from serving import serving

from sipagent.aio.call_handle import CallHandle
from sipagent.audio.wav import read_wav
from sipagent.call import events, steering
from sipagent.call.feed import CallEvent
from sipagent.call.staffing import AgentChanged
from sipagent.errors import LocalProtocolError
from sipagent.sip.events import Ended, InfoReceived

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def test_a_program_says_something_and_hangs_up(run: Clean, tmp_path: Path) -> None:
    seen: list[CallEvent] = []

    async def on_call(call: CallHandle) -> None:
        await call.say("Hello from the program.", verbatim=True)
        async for event in call.events():
            seen.append(event)
            if isinstance(event.fact, events.AgentSaid):
                await call.hang_up("said_it")

    async def main() -> None:
        async with serving(tmp_path, greeting=None, on_call=on_call) as world:
            caller = await world.answered()
            await caller.expect(Ended)
            (ended,) = await world.over()
            assert ended.reason == "said_it"
            await until(lambda: seen and isinstance(seen[-1].fact, events.Ended))
            assert world.ledger.program_errors == []

    run(main())
    facts = [event.fact for event in seen]
    assert isinstance(facts[0], events.ModelReady)
    (said,) = [event for event in seen if isinstance(event.fact, events.AgentSaid)]
    assert isinstance(said.fact, events.AgentSaid)
    assert "Hello from the program" in said.fact.text
    (began,) = [event for event in seen if isinstance(event.fact, events.AgentStarted)]
    assert said.correlation_id == began.correlation_id != ""
    assert began.at < said.at
    assert len({event.call_id for event in seen}) == 1


def test_what_is_illegal_is_told_to_the_program_and_costs_the_call_nothing(run: Clean, tmp_path: Path) -> None:
    problems: list[str] = []
    handles: list[CallHandle] = []

    async def on_call(call: CallHandle) -> None:
        handles.append(call)
        for command in (call.resume(), call.stop_recording(), call.transfer("nobody"), call.send_digits("x")):
            try:
                await command
            except LocalProtocolError as error:
                problems.append(str(error))

    async def main() -> None:
        async with serving(tmp_path, on_call=on_call) as world:
            caller = await world.answered()
            await until(lambda: len(problems) == 4)
            assert world.service.calls == 1
            caller.hang_up()
            await world.over()
            with pytest.raises(LocalProtocolError, match="over"):
                await handles[0].say("Too late.")
            assert world.ledger.program_errors == []
            assert world.ledger.crashes == []

    run(main())


def test_a_program_that_fails_costs_its_call_nothing(run: Clean, tmp_path: Path) -> None:
    async def on_call(call: CallHandle) -> None:
        raise ValueError("a bug of the user's")

    async def main() -> None:
        async with serving(tmp_path, on_call=on_call) as world:
            caller = await world.answered()
            await until(lambda: bool(world.ledger.program_errors))
            await within(caller.heard.wait())
            assert world.service.calls == 1
            caller.hang_up()
            (ended,) = await world.over()
            assert ended.reason == "bye"

    run(main())


def test_a_program_that_waits_is_let_go_of_when_the_call_ends(run: Clean, tmp_path: Path) -> None:
    done = asyncio.Event()

    async def on_call(call: CallHandle) -> None:
        async for _ in call.events():
            pass
        assert call.ended is not None
        done.set()

    async def main() -> None:
        async with serving(tmp_path, on_call=on_call) as world:
            caller = await world.answered()
            caller.hang_up()
            await world.over()
            await within(done.wait())

    run(main())


def test_recordings_at_a_programs_word_are_files_of_their_own(run: Clean, tmp_path: Path) -> None:
    async def on_call(call: CallHandle) -> None:
        for _ in range(2):
            await call.start_recording()
            await asyncio.sleep(0.3)
            await call.stop_recording()
        await call.hang_up(at_once=True)

    async def main() -> None:
        async with serving(tmp_path, on_call=on_call) as world:
            caller = await world.answered()
            await caller.expect(Ended)
            await world.over()
            assert len(world.ledger.all(steering.RecordingStopped)) == 2
            await world.service.close()

    run(main())
    files = sorted(tmp_path.rglob("*.wav"))
    assert len(files) == 2
    for file in files:
        rate, samples = read_wav(file.read_bytes())
        assert len(samples) / rate == pytest.approx(0.3, abs=0.15)


def test_keys_of_a_program_go_in_info_where_rtp_takes_none(run: Clean, tmp_path: Path) -> None:
    async def on_call(call: CallHandle) -> None:
        await call.send_digits("4#")

    async def main() -> None:
        async with serving(tmp_path, keys_in_rtp=False, on_call=on_call) as world:
            caller = await world.answered()
            for digit in "4#":
                assert (await caller.expect(InfoReceived)).digit == digit
            caller.hang_up()

    run(main())


def test_a_program_has_another_agent_go_on(run: Clean, tmp_path: Path) -> None:
    problems: list[str] = []

    async def on_call(call: CallHandle) -> None:
        try:
            await call.update_agent("nobody")
        except LocalProtocolError as error:
            problems.append(str(error))
        await call.update_agent("sales")

    async def main() -> None:
        async with serving(tmp_path, greeting=None, on_call=on_call) as world:
            line = world.service._first
            session = replace(line.call.conversation.session, instructions="You sell.")
            conversation = replace(line.call.conversation, session=session)
            sales = replace(line, agent="sales", call=replace(line.call, conversation=conversation))
            world.service._first = replace(line, others={"agent": line, "sales": sales})
            world.service._lines = {"main": world.service._first}
            await world.answered()
            await until(lambda: world.ledger.all(AgentChanged), what=lambda: world.ledger.facts)
            assert world.ledger.all(AgentChanged) == [AgentChanged("agent", "sales")]
            (runner,) = world.service._runners.values()
            assert runner._staff.info.agent == "sales"
            assert problems == ["There is no agent nobody for this call."]
            assert world.ledger.program_errors == []

    run(main())
