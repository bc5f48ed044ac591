"""What a call was made of is freed when it ends, without the help of the collector, which stops all other calls."""

import asyncio
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from garbage import counted_references_only
from loopback import Clean, until
from serving import serving

from sipagent.call.events import Answered

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def parts(runner: Any) -> dict[str, ref[Any]]:
    """Every big object of a call that is up."""
    call = runner.call
    things = {
        "runner": runner,
        "driver": runner.driver,
        "media": runner._media,
        "rtp socket": runner._media._rtp,
        "model sockets": runner._models,
        "websocket": runner._models._present,
        "tools": runner._tools,
        "second dialog": runner.replacement,
        "call": call,
        "leg": call._leg,
        "rtp": call._leg._rtp,
        "conversation": call._conversation,
        "model's session": call._conversation._session,
        "transfer": call._transfer,
    }
    return {name: ref(thing) for name, thing in things.items()}


@pytest.mark.parametrize("who", ["caller", "agent"])
def test_the_end_leaves_nothing_for_the_collector(run: Clean, tmp_path: Path, who: str) -> None:
    async def main() -> None:
        async with serving(tmp_path, records=True) as world:
            await end(world, await world.answered(), {})  # what is made once only is made by the first call
            alive: dict[str, ref[Any]] = {}
            with counted_references_only() as garbage:
                await end(world, await world.answered(), alive)
                await until(lambda: not living(alive), what=lambda: f"still alive: {living(alive)}")
            assert not garbage

    async def end(world: Any, caller: Any, alive: dict[str, ref[Any]]) -> None:
        (runner,) = world.service._runners.values()
        await until(lambda: world.ledger.all(Answered))
        alive.update(parts(runner))
        await asyncio.wait_for(caller.heard.wait(), 5.0)
        if who == "caller":
            caller.hang_up()
        else:
            runner.driver.feed(runner.call.hang_up)
        del runner
        await until(lambda: world.service.calls == 0)
        world.ledger.facts.clear()

    def living(alive: dict[str, ref[Any]]) -> list[str]:
        return [name for name, thing in alive.items() if thing() is not None]

    run(main())
