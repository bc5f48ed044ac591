import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import Event

import numpy as np
import pytest
from loopback import Clean, until

from sipagent.aio.speech_model import LATE_S, MAX_FAILURES, MAX_WAITING, SpeechModel, load_model
from sipagent.audio.silero import CONTEXT_SAMPLES, MAX_BATCH, Array, is_available, window_bytes
from sipagent.formats import PCMU

WINDOW = window_bytes(PCMU)
LOUD, QUIET = b"\x80" * WINDOW, b"\xff" * WINDOW


class Counting:
    """A model that answers how many windows of its stream it has heard, a hundredth each; it may be slow, or fail."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.may_go_on = Event()
        self.may_go_on.set()
        self.fails = False

    def run(self, output_names: None, input_feed: Mapping[str, object]) -> Sequence[Array]:
        batch, state = input_feed["input"], input_feed["state"]
        assert isinstance(batch, np.ndarray)
        assert isinstance(state, np.ndarray)
        assert batch.shape[1] == CONTEXT_SAMPLES + 256
        assert self.may_go_on.wait(10)
        self.batches.append(len(batch))
        if self.fails:
            raise RuntimeError("out of order")
        after = state + np.float32(0.01)
        return [after[0, :, :1], after]


class Scene:
    """The model's shell, and what it answered to each caller."""

    def __init__(self) -> None:
        self.model = Counting()
        self.failures: list[str] = []
        self.now = 0.0
        self.shell = SpeechModel(self.model, failed=self.failures.append, clock=lambda: self.now)
        self.answers: dict[str, list[float]] = {}
        self._ears: dict[str, Callable[[bytes, bool], None]] = {}

    def ask(self, caller: str, window: bytes = LOUD, *, is_first: bool = False) -> None:
        if caller not in self._ears:
            ear, heard = self.shell.open(PCMU), self.answers.setdefault(caller, [])
            self._ears[caller] = lambda audio, first: ear.judge(
                audio, is_first=first, answered=lambda chance: heard.append(round(chance, 2))
            )
        self._ears[caller](window, is_first)

    def late(self) -> None:
        """Let the clock tell that the windows in line came long ago."""
        self.now += LATE_S + 0.001


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def play(run: Clean) -> Play:
    """Plays a scene on each loop in turn."""

    async def main(action: Callable[[Scene], Awaitable[None]]) -> None:
        scene = Scene()
        try:
            await action(scene)
        finally:
            scene.model.may_go_on.set()
            scene.shell.close()

    return lambda action: run(main(action))


def test_windows_of_many_calls_are_one_batch(play: Play) -> None:
    async def action(scene: Scene) -> None:
        for number in range(20):
            scene.ask(str(number))
        await until(lambda: all(scene.answers.values()))
        assert scene.model.batches == [20]
        assert scene.answers["7"] == [0.01]

    play(action)


def test_those_of_one_call_are_judged_in_order_each_with_what_was_before(play: Play) -> None:
    async def action(scene: Scene) -> None:
        for _ in range(3):
            scene.ask("a")
        scene.ask("b")
        await until(lambda: len(scene.answers["a"]) == 3)
        assert scene.answers == {"a": [0.01, 0.02, 0.03], "b": [0.01]}
        assert scene.model.batches == [2, 1, 1]
        scene.ask("a", is_first=True)
        await until(lambda: len(scene.answers["a"]) == 4)
        assert scene.answers["a"][-1] == 0.01

    play(action)


def test_a_batch_is_bounded(play: Play) -> None:
    async def action(scene: Scene) -> None:
        for number in range(MAX_BATCH + 5):
            scene.ask(str(number))
        await until(lambda: all(scene.answers.values()))
        assert scene.model.batches == [MAX_BATCH, 5]

    play(action)


def test_what_comes_while_the_model_is_busy_waits_and_too_much_is_dropped_and_counted(play: Play) -> None:
    async def action(scene: Scene) -> None:
        scene.model.may_go_on.clear()
        scene.ask("first")
        await until(lambda: scene.shell.counters["speech_batches"] == 1)
        for _ in range(MAX_WAITING):
            scene.ask("greedy")
        scene.ask("modest")
        assert scene.shell.counters["speech_windows_late"] == 1
        scene.model.may_go_on.set()
        await until(lambda: bool(scene.answers["first"]))
        scene.ask("modest")
        await until(lambda: bool(scene.answers["modest"]))
        assert scene.answers["modest"] == [0.01]

    play(action)


def test_what_waited_too_long_is_not_judged_and_its_stream_begins_anew(play: Play) -> None:
    async def action(scene: Scene) -> None:
        scene.ask("a")
        await until(lambda: scene.answers["a"] == [0.01])
        scene.model.may_go_on.clear()
        scene.ask("b")
        await until(lambda: scene.shell.counters["speech_batches"] == 2)
        scene.ask("a")
        scene.late()
        scene.model.may_go_on.set()
        await until(lambda: scene.shell.counters["speech_windows_late"] == 1)
        scene.ask("a")
        await until(lambda: len(scene.answers["a"]) == 2)
        assert scene.answers["a"] == [0.01, 0.01]

    play(action)


def test_a_model_that_fails_costs_answers_and_is_given_up_after_a_while(play: Play) -> None:
    async def action(scene: Scene) -> None:
        scene.model.fails = True
        for count in range(1, MAX_FAILURES + 1):
            scene.ask("a")
            await until(lambda count=count: scene.shell.counters["speech_windows_failed"] == count)
        assert scene.failures == ["out of order"]
        assert not scene.shell.is_working
        scene.ask("a")
        assert scene.shell.counters["speech_windows"] == MAX_FAILURES
        assert scene.answers["a"] == []

    play(action)


def test_after_a_failure_the_stream_begins_anew(play: Play) -> None:
    async def action(scene: Scene) -> None:
        scene.ask("a")
        await until(lambda: scene.answers["a"] == [0.01])
        scene.model.fails = True
        scene.ask("a")
        await until(lambda: scene.shell.counters["speech_windows_failed"] == 1)
        scene.model.fails = False
        scene.ask("a")
        await until(lambda: len(scene.answers["a"]) == 2)
        assert scene.answers["a"] == [0.01, 0.01]
        assert scene.failures == []

    play(action)


def test_after_the_end_nobody_is_answered(play: Play) -> None:
    async def action(scene: Scene) -> None:
        scene.model.may_go_on.clear()
        scene.ask("a")
        await until(lambda: scene.shell.counters["speech_batches"] == 1)
        scene.shell.close()
        scene.ask("a")
        scene.model.may_go_on.set()
        await until(lambda: scene.model.batches == [1])
        await asyncio.sleep(0)
        assert scene.answers["a"] == []

    play(action)


@pytest.mark.skipif(not is_available(), reason="the extra vad is not installed")
def test_the_real_model_in_its_thread(run: Clean) -> None:
    async def main() -> list[float]:
        shell = SpeechModel(load_model(), failed=pytest.fail)
        answers: list[float] = []
        ear = shell.open(PCMU)
        for _ in range(5):
            ear.judge(QUIET, is_first=False, answered=answers.append)
        await until(lambda: len(answers) == 5)
        shell.close()
        return answers

    assert max(run(main())) < 0.2
