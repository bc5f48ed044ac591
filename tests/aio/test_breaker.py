"""An engine that refuses all: no call knocks again until a probe was let in."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from loopback import HOST, Clean, make_model, until, within
from serving import serving

from sipagent.aio import breaker as breaker_module
from sipagent.aio.breaker import Breaker
from sipagent.aio.engine import Engine
from sipagent.aio.probe import probe
from sipagent.call import events
from sipagent.realtime.settings import SessionSettings

pytestmark = pytest.mark.usefixtures("nothing_unheard")


def test_it_opens_once_and_closes_when_a_probe_is_let_in(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "PROBE_S", 0.01)

    async def main() -> None:
        answers = ["still no", None]
        told: list[str | None] = []

        async def ask() -> str | None:
            return answers.pop(0)

        breaker = Breaker()
        breaker.changed = told.append
        breaker.trip(401, "a wrong key", ask)
        breaker.trip(402, "no money", ask)
        assert (breaker.code, breaker.reason) == (401, "a wrong key")
        await until(lambda: breaker.reason is None)
        assert (told, answers) == (["a wrong key", None], [])

    run(main())


def test_it_can_be_stopped(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "PROBE_S", 0.01)

    async def main() -> None:
        async def ask() -> str | None:
            raise AssertionError("it was stopped")

        breaker = Breaker()
        breaker.trip(401, "a wrong key", ask)
        breaker.stop()
        breaker.stop()
        await asyncio.sleep(0.03)
        assert breaker.reason == "a wrong key"

    run(main())


@pytest.mark.parametrize(
    ("script", "key", "words"),
    [
        ("", "right", None),
        ("", "wrong", "Incorrect API key"),
        ("refuse_session code=insufficient_quota", "right", "refused"),
    ],
)
def test_a_probe_says_what_is_wrong(run: Clean, script: str, key: str, words: str | None) -> None:
    async def main() -> None:
        model = make_model(script, api_key="right")
        await model.listen(HOST, 0)
        engine = Engine(f"{model.url}?model=test", {"Authorization": f"Bearer {key}"}, 1.0)
        found = await within(probe(engine.open, SessionSettings("test", transcription_model=None), random=Random(1)))
        assert found is None if words is None else words in str(found)
        await until(lambda: model.sessions == 0)
        await model.close()

    run(main())


def test_the_second_call_does_not_knock_with_a_wrong_key(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        model = make_model("", api_key="right")
        await model.listen(HOST, 0)
        engine = Engine(f"{model.url}?model=test", {"Authorization": "Bearer wrong"}, 1.0)
        async with serving(tmp_path, engine=engine) as world:
            assert (await world.refused())[0].status == 503
            assert engine.breaker.reason is not None
            knocks = model.connections
            assert (await world.refused())[0].status == 503
            assert model.connections == knocks == 1
            first, second = world.ledger.all(events.ModelFailed)
            assert (first.kind, second.kind) == ("fatal", "fatal")
            assert "Incorrect API key" in second.message
        await model.close()

    run(main())
