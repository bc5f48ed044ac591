"""What is measured is calls that live."""

import asyncio
from typing import cast

import pytest
from bench import hot_path
from bench.hot_path import TICKS, Model

from sipagent.aio import model_sockets


def test_every_packet_of_every_call_goes_its_whole_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_sockets, "WebSocket", Model)  # as it does itself, but for this test only

    async def main() -> None:
        lines = await hot_path.make_lines(2, 1.0)
        models = [cast(Model, line.runner._models._present) for line in lines]
        before = [model.heard for model in models]
        assert len(list(hot_path.play(lines, 1.0))) == 5
        assert [model.heard - heard for model, heard in zip(models, before, strict=True)] == [TICKS, TICKS]
        assert not any(line.runner.driver.is_closed for line in lines)

    asyncio.run(main())


def test_a_call_that_crashes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_sockets, "WebSocket", Model)

    async def main() -> None:
        (line,) = await hot_path.make_lines(1, 1.0)
        monkeypatch.setattr(line.runner.call, "receive_rtp", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(hot_path.play([line], 1.0))

    asyncio.run(main())
