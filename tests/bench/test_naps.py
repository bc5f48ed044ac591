"""The model's naps: who has few messages stays awake, who has many is awake for as long as it takes to time some."""

import asyncio

import pytest

from sipagent.bench.naps import TIMED_PER_S, Naps, watch_share

PATIENCE_S = 10.0


@pytest.mark.parametrize(("messages_per_s", "share"), [(0, 1), (TIMED_PER_S, 1), (15_000, 1 / 15), (50_000, 0.02)])
def test_a_thousand_messages_a_second_are_timed(messages_per_s: float, share: float) -> None:
    assert watch_share(messages_per_s) == pytest.approx(share)


def test_who_naps_watches_again() -> None:
    async def play() -> None:
        naps = Naps()
        naps.begin()
        assert naps.is_watching
        naps.expect(20 * TIMED_PER_S)
        async with asyncio.timeout(PATIENCE_S):
            for wanted in (False, True, False):
                while naps.is_watching is not wanted:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0)

    asyncio.run(play())
