import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from loopback import Clean, until, within

from sipagent.aio import link as module
from sipagent.aio.link import HEADER, Link, LinkError
from sipagent.errors import SipagentError

pytestmark = pytest.mark.usefixtures("nothing_unheard")


class Ends:
    """Both ends in one process."""

    def __init__(self, **serves: Callable[..., Any]) -> None:
        ours, theirs = socket.socketpair()
        self.lost: list[str] = []
        self.crashes: list[Exception] = []
        self.theirs = theirs
        self.far = Link(theirs, serves=serves, lost=lambda: self.lost.append("far"), crashed=self.crashes.append)
        self.near = Link(ours, serves={}, lost=lambda: self.lost.append("near"), crashed=self.crashes.append)

    def close(self) -> None:
        self.near.close()
        self.far.close()


def test_what_is_told_is_done_in_order_however_much_it_is(run: Clean) -> None:
    async def main() -> None:
        done: list[tuple[int, bytes]] = []
        ends = Ends(note=lambda number, data: done.append((number, data)))
        told = [(number, bytes([number]) * 100_000) for number in range(50)]
        for each in told:
            ends.near.tell("note", *each)
        await until(lambda: len(done) == 50)
        assert done == told
        ends.close()

    run(main())


def test_questions_are_answered_by_values_coroutines_and_errors(run: Clean) -> None:
    async def slowly(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def refuse() -> None:
        raise SipagentError("no such thing")

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    async def main() -> None:
        ends = Ends(slowly=slowly, at_once=lambda: {"a": 1}, refuse=refuse, fail=fail)
        assert await within(asyncio.gather(ends.near.ask("slowly", 4), ends.near.ask("at_once"))) == [8, {"a": 1}]
        with pytest.raises(SipagentError, match="no such thing"):
            await within(ends.near.ask("refuse"))
        assert ends.crashes == []
        with pytest.raises(SipagentError, match="a bug"):
            await within(ends.near.ask("fail"))
        with pytest.raises(SipagentError, match="unheard_of"):
            await within(ends.near.ask("unheard_of"))
        assert [type(error) for error in ends.crashes] == [ZeroDivisionError, KeyError]
        ends.close()

    run(main())


def test_an_end_that_is_gone_is_noticed_and_leaves_no_question_open(run: Clean) -> None:
    async def main() -> None:
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ends = Ends(wait=lambda: waits)
        asked = asyncio.get_running_loop().create_task(ends.near.ask("wait"))
        await asyncio.sleep(0)
        ends.far.close()
        with pytest.raises(LinkError):
            await within(asked)
        await until(lambda: ends.lost == ["near"])
        ends.near.tell("wait")
        with pytest.raises(LinkError):
            await ends.near.ask("wait")
        ends.close()
        waits.cancel()

    run(main())


def test_an_end_that_reads_nothing_counts_as_gone(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 1 << 20)

    async def main() -> None:
        ends = Ends()
        asyncio.get_running_loop().remove_reader(ends.theirs.fileno())
        for _ in range(30):
            ends.near.tell("note", bytes(100_000))
        await until(lambda: ends.lost == ["near"])
        assert ends.near.is_closed
        ends.close()

    run(main())


def test_a_length_beyond_reason_is_the_end(run: Clean) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        lost: list[bool] = []
        end = Link(ours, serves={}, lost=lambda: lost.append(True), crashed=lambda error: None)
        theirs.send(HEADER.pack(module.MAX_MESSAGE + 1))
        await until(lambda: lost)
        assert end.is_closed
        theirs.close()

    run(main())
