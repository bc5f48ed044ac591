"""Calls over real sockets whose model is cut off, stalls, refuses, expires, or is killed and started again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from loopback import HOST, Clean, make_model, until, within
from serving import World, serving

from sipagent.aio.engine import Engine
from sipagent.call import events
from sipagent.call.continuity import ContinuitySettings

pytestmark = pytest.mark.usefixtures("nothing_unheard")

RUNS = 5


async def goes_on(world: World, kind: type[Any], *, calls: int = RUNS) -> list[Any]:
    """So many calls, one after the other, each until this has happened to it; all are still up then."""
    callers = []
    for number in range(1, calls + 1):
        callers.append(await world.answered())
        await until(lambda number=number: len(world.ledger.all(kind)) >= number, what=lambda: world.ledger.facts)
    assert world.ledger.all(events.Ended) == []
    for caller in callers:
        caller.hang_up()
    ended = await world.over(calls)
    assert {one.reason for one in ended} == {"bye"}
    return world.ledger.all(kind)


def odd(fault: str) -> str:
    """The fault in the first connection of each call: every other one."""
    return "; ".join(fault.replace("connection=1", f"connection={number}") for number in range(1, 2 * RUNS, 2))


@pytest.mark.parametrize(
    "fault",
    [
        "drop connection=1 on=1 after_ms=300",
        "stall connection=1 on=1 after_ms=300",
    ],
    ids=["cut", "stall"],
)
def test_a_call_goes_on_with_another_session(run: Clean, tmp_path: Path, fault: str) -> None:
    async def main() -> None:
        settings = ContinuitySettings(stalled_s=0.5, lost_s=1.0)
        async with serving(tmp_path, odd(fault), continuity=settings) as world:
            resumed = await goes_on(world, events.ModelResumed)
            assert max(one.gap_ms for one in resumed) <= 1500

    run(main())


def test_a_session_that_expires_at_once_is_followed_by_another(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, odd("expire connection=1 seconds=0.5")) as world:
            for number in range(1, RUNS + 1):
                caller = await world.answered()
                both = (events.ModelResumed, events.SessionRolledOver)
                await until(lambda number=number, both=both: len(world.ledger.all(both)) >= number)
                assert len(world.ledger.all(events.Ended)) == number - 1
                caller.hang_up()
                await world.over(number)

    run(main())


def test_429_is_tried_again(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        script = "drop connection=1 on=1 after_ms=300; refuse_handshake status=429 on=2"
        async with serving(tmp_path, script) as world:
            await goes_on(world, events.ModelResumed, calls=1)
            assert [failed.code for failed in world.ledger.all(events.AttemptFailed)] == ["429"]

    run(main())


def test_a_model_that_is_killed_and_started_again(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        model = make_model("")
        await model.listen(HOST, 0)
        port, url = model.port, model.url
        async with serving(tmp_path, engine=Engine(f"{url}?model=test", {}, 1.0)) as world:
            caller = await world.answered()
            await within(caller.heard.wait())
            await model.close()
            await until(lambda: world.ledger.all(events.ModelLost), what=lambda: world.ledger.facts)
            await asyncio.sleep(0.3)
            model = make_model("")
            await model.listen(HOST, port)
            await until(lambda: world.ledger.all(events.ModelResumed), what=lambda: world.ledger.facts)
            assert world.ledger.all(events.Ended) == []
            caller.hang_up()
            await world.over()
        await model.close()

    run(main())


def test_a_session_is_left_in_time(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, continuity=ContinuitySettings(max_session_s=4.0)) as world:
            await goes_on(world, events.SessionRolledOver, calls=1)
            assert world.ledger.all(events.ModelLost) == []

    run(main())
