"""The calls: all scenes of a group at once through the program, and what each left behind, judged."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from program import Entry
from talk.caller import Caller, Record
from talk.exchange import Exchange, open_exchange
from talk.judge import Judgement, judge
from talk.model import GREETING, Model, find_session, open_model
from talk.scenes import Scene

from sipagent.errors import SipagentError

SETTINGS = {
    "lines": [{"name": "main", "agent": "tested", "codecs": ["PCMU"]}],
    "agents": {"tested": {"engine": "model", "instructions": "Talk.", "greeting": GREETING}},
    "sip": {"max_calls": 200},
    "log": {"level": "debug", "format": "json"},
}
"""All as a user would find it, but for the log."""
KEY = "talk"


async def make_calls(
    groups: Sequence[tuple[str, Sequence[Scene]]],
    folder: Path,
    *,
    at_once: int,
    is_realtime: bool,
    progress: Callable[[str, float], None],
) -> list[Judgement]:
    """Make all calls to one program; ``progress`` is told of which group how much is done."""
    model = await open_model()
    settings = SETTINGS | {"engines": {"model": {"url": model.url, "api_key": KEY, "without_key": "fail"}}}
    try:
        async with open_exchange(folder, settings, is_realtime=is_realtime) as exchange:
            made: list[tuple[Scene, Record]] = []
            for title, scenes in groups:
                numbered = [(len(made) + number, scene) for number, scene in enumerate(scenes)]
                made += await _make_group(exchange, numbered, at_once, partial(progress, title))
            return [_judge(record, model, exchange) for _, record in made]
    finally:
        await model.close()


async def _make_group(
    exchange: Exchange, scenes: Sequence[tuple[int, Scene]], at_once: int, progress: Callable[[float], None]
) -> list[tuple[Scene, Record]]:
    places = asyncio.Semaphore(at_once)
    made: list[tuple[Scene, Record]] = []
    for _, scene in scenes:
        scene.background()  # it takes its time, so it is not done while there are calls

    async def run(number: int, scene: Scene) -> None:
        random = Random(scene.seed)
        record = Record(scene.kind, f"{number}-{scene.seed}")
        caller = Caller(record, background=scene.background(), echo=scene.make_echo(random), random=random)
        async with places, exchange.call(caller):
            await scene.script(caller)
        made.append((scene, record))
        progress(len(made) / len(scenes))

    async with asyncio.TaskGroup() as group:
        for number, scene in scenes:
            group.create_task(run(number, scene))
    return made


def _judge(record: Record, model: Model, exchange: Exchange) -> Judgement:
    trace = trace_of(record, exchange)
    ids = [entry["session_id"] for entry in trace if entry["event"] == "model_ready"]
    if not ids:
        raise SipagentError(f"the call to {record.called} had no model")
    return judge(record, [find_session(model.sessions, session_id) for session_id in ids], trace)


def trace_of(record: Record, exchange: Exchange) -> list[Entry]:
    """What the program's log says of a call."""
    calls = exchange.server.calls(record.called)
    return [entry for entries in calls.values() for entry in entries]
