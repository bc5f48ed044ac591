"""A limit within a task that lives, that is cancelled, and that is cancelled meanwhile."""

import asyncio
from pathlib import Path

import pytest
from loopback import Clean

from sipagent.aio import time_limit
from sipagent.aio.time_limit import TimeLimit


def test_in_time(run: Clean) -> None:
    async def main() -> None:
        async with TimeLimit(60.0) as limit:
            await asyncio.sleep(0)
        assert not limit.is_up

    run(main())


def test_too_late(run: Clean) -> None:
    async def main() -> None:
        limit = TimeLimit(0.0)
        with pytest.raises(TimeoutError):
            async with limit:
                await asyncio.Event().wait()
        assert limit.is_up
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    run(main())


def test_an_error_within_is_told(run: Clean) -> None:
    async def main() -> None:
        with pytest.raises(KeyError):
            async with TimeLimit(60.0):
                raise KeyError

    run(main())


def test_in_a_task_that_is_being_cancelled(run: Clean) -> None:
    """As what cleans up is; Python's own limit raises CancelledError there, until 3.11.4."""
    told: list[str] = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with TimeLimit(0.0):
                    await asyncio.Event().wait()
            except TimeoutError:
                told.append("time was up")

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(clean_up())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert told == ["time was up"]

    run(main())


def test_cancelled_by_somebody_else(run: Clean) -> None:
    async def work() -> None:
        async with TimeLimit(60.0):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_cancelled_by_both(run: Clean) -> None:
    """Then it is not for us to say that only time was up."""

    async def work() -> None:
        async with TimeLimit(0.0):
            try:
                await asyncio.Event().wait()
            finally:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(work())
        await asyncio.wait([task])
        assert task.cancelled()

    run(main())


def test_pythons_own_is_not_used() -> None:
    sources = sorted(Path(time_limit.__file__).parents[1].rglob("*.py"))
    assert len(sources) > 100
    assert [source.name for source in sources if "asyncio.timeout(" in source.read_text()] == []
