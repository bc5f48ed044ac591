"""The front, between a user agent that only notes what it is told and workers that are the test's own ends of links."""

import asyncio
import pickle
import signal
import socket
import subprocess
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from loopback import Clean, run_clean, until, within
from sip.peers import invite

from sipagent.aio import front as module
from sipagent.aio import loop
from sipagent.aio.figures import Figures
from sipagent.aio.front import NOBODY, Front
from sipagent.aio.link import Link
from sipagent.aio.remote import RemoteSignalling
from sipagent.aio.zygote import News
from sipagent.call import events as facts
from sipagent.call.admission import Verdict
from sipagent.errors import SipagentError
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    Ended,
    Event,
    Flow,
    IncomingInvite,
    Progressed,
    ReferFinished,
    Referred,
)
from sipagent.sip.headers import NameAddr
from sipagent.sip.identity import Identity
from sipagent.sip.message import Request, make_response, parse_message
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import Uri

FLOW = Flow("UDP", ("192.0.2.7", 5060), ("192.0.2.1", 5060))
TARGET = Uri.parse("sip:200@pbx.example.com")
PID = 1 << 22
"""Of nobody: beyond the greatest that Linux gives."""


def incoming(handle: int, *, replaces: int | None = None) -> IncomingInvite:
    request = parse_message(invite(headers="X-Order: 17"))
    assert isinstance(request, Request)
    assert request.from_.uri.user == "alice", "what was read of it once is kept with it"
    identity = Identity.from_request(request, is_trusted=True)
    return IncomingInvite(handle, request, FLOW, b"v=0", identity, "main", is_trusted=True, replaces=replaces)


class Agent:
    """A user agent's signalling."""

    def __init__(self) -> None:
        self.is_draining = False
        self.told: list[tuple[Any, ...]] = []
        self.handles = iter(range(1000, 2000))
        self.refusal: str | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.told.append((name, *arguments))

    def address_toward(self, remote: tuple[str, int]) -> str:
        return f"toward {remote[0]}"

    async def find_way(self, account: str, target: Uri) -> Flow:
        return FLOW

    def invite(
        self, account: str, target: Uri, body: bytes, headers: Any, *, call_id: str, dialled: Any, failed: Any
    ) -> None:
        self.told.append(("invite", account, target, body, headers))
        if self.refusal is None:
            dialled(next(self.handles))
        else:
            failed(self.refusal)

    def refer(self, handle: int, target: Uri, *, failed: Any, done: Any) -> None:
        self.told.append(("refer", handle, target))
        done() if self.refusal is None else failed(self.refusal)

    press = refer


class Worker:
    """The other end of a link."""

    def __init__(self, number: int, link: socket.socket, *, is_fit: bool) -> None:
        self.number = number
        self.told: list[tuple[Any, ...]] = []
        self.is_fit = is_fit
        self.refusal: str | None = None
        self.figures: Figures | None = Figures({}, {})
        self.signalling = RemoteSignalling(self.tell)
        served = {"done": self.signalling.done, "failed": self.signalling.failed, "begin": self._begin}
        served |= {"figures": self._tell_figures, "place": self._place, "close": self.die}
        served |= {name: self._note(name) for name in ("take", "receive", "drain", "stop", "follow", "pause_recording")}
        self.link = Link(link, serves=served, lost=lambda: None, crashed=pytest.fail)

    def tell(self, name: str, *arguments: object) -> None:
        self.link.tell(name, *arguments)

    def die(self) -> None:
        self.link.close()

    def _note(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.told.append((name, *arguments))

    def _begin(self, urls: dict[str, str]) -> None:
        self.tell("ready", PID) if self.is_fit else self.tell("unfit", "a tool is none")

    async def _tell_figures(self) -> Figures:
        if self.figures is None:
            await asyncio.Event().wait()
        assert self.figures is not None
        return self.figures

    def _place(self, *arguments: object) -> None:
        if self.refusal is not None:
            raise SipagentError(self.refusal)
        self.told.append(("place", *arguments))

    def all(self, name: str) -> list[tuple[Any, ...]]:
        return [each[1:] for each in self.told if each[0] == name]


class Zygote:
    """Makes workers of the test's; its news are told by hand."""

    def __init__(self, *, unfit: set[int] | None = None) -> None:
        self.workers: list[Worker] = []
        self.unfit = unfit or set()
        self.is_gone = False
        self._news: list[News] = []
        self._ours, self._theirs = socket.socketpair()

    def fileno(self) -> int:
        return self._ours.fileno()

    def fork(self, number: int) -> socket.socket:
        if self.is_gone:
            raise SipagentError("no worker can be made any more")
        ours, theirs = socket.socketpair()
        self.workers.append(Worker(number, theirs, is_fit=number not in self.unfit))
        self.announce(News(number, PID + len(self.workers), None))
        return ours

    def announce(self, *news: News) -> None:
        self._news += news
        self._theirs.send(b".")

    def receive(self) -> list[News] | None:
        self._ours.recv(1)
        news, self._news = self._news, []
        return None if self.is_gone else news

    def close(self) -> None:
        for worker in self.workers:
            worker.die()
        self._ours.close()
        self._theirs.close()


class Audience:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, Any]] = []
        self.followed: list[Any] = []
        self.trouble: str | None = None

    def observe(self, call_id: str, fact: facts.Fact, *, now: float) -> None:
        self.facts.append((call_id, fact))

    def follow(self, call_id: str, fact: facts.Fact, now: float) -> None:
        self.followed.append((call_id, fact, now))

    def follow_delay(self, path: str, seconds: float) -> None:
        self.followed.append((path, seconds))

    def take_trouble(self, trouble: str | None) -> None:
        self.trouble = trouble


class World:
    """All of it."""

    def __init__(self, *, count: int = 2, max_calls: int = 100, unfit: set[int] | None = None) -> None:
        self.zygote: Any = Zygote(unfit=unfit)
        self.agent: Any = Agent()
        self.audience = Audience()
        self.front = Front(self.zygote, count=count, max_calls=max_calls, random=Random(1), audience=self.audience)
        self.front.attach(self.agent)

    async def __aenter__(self) -> "World":
        await within(self.front.start({"realtime": "ws://127.0.0.1:1"}))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await within(self.front.close())
        self.zygote.close()

    @property
    def workers(self) -> list[Worker]:
        return self.zygote.workers  # type: ignore[no-any-return]

    async def take(self, handle: int) -> tuple[Worker, str]:
        """Have a call come; return whose it is, and its id."""
        self.front.receive(incoming(handle))

        def find() -> list[tuple[Worker, str]]:
            return [(each, take[0]) for each in self.workers for take in each.all("take") if take[1].handle == handle]

        await until(find)
        return find()[0]


def test_calls_are_handed_over_and_what_they_command_comes_back(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            (first, one), (second, two) = await world.take(1), await world.take(2)
            assert (first.number, second.number) == (1, 2)
            assert first.all("take") == [(one, incoming(1), "toward 192.0.2.7")]
            first.signalling.ring(1, b"")
            first.signalling.accept(1, b"answer")
            second.signalling.reject(2, 486, [("Retry-After", "1")])
            second.tell("over", two)
            await until(lambda: len(world.agent.told) == 3)
            assert world.agent.told == [
                ("ring", 1, b""),
                ("accept", 1, b"answer"),
                ("reject", 2, 486, (("Retry-After", "1"),)),
            ]
            events: list[Event] = [Acknowledged(1, b""), Ended(1, "bye")]
            for event in (Ended(2, "rejected", 486), *events, Ended(99, "bye")):
                world.front.receive(event)
            await until(lambda: len(first.all("receive")) == 2)
            assert [each[0] for each in first.all("receive")] == events
            assert world.front.calls == 1, "the worker has not said that it is over"
            first.tell("over", one)
            await until(lambda: world.front.calls == 0)
            assert world.front.begun == 2

    run(main())


def test_there_is_room_for_so_many_in_all(run: Clean) -> None:
    async def main() -> None:
        async with World(max_calls=3) as world:
            calls = [await world.take(handle) for handle in (1, 2, 3)]
            world.front.receive(incoming(4))
            assert world.agent.told == [("reject", 4, 503, (("Retry-After", "10"),))]
            assert world.front.refused == 1
            with pytest.raises(SipagentError, match="there may be no more than 3"):
                await world.front.dial("main", TARGET)
            calls[0][0].tell("over", calls[0][1])
            await until(lambda: world.front.calls == 2)
            await world.take(5)

    run(main())


def test_calls_that_we_make(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            call_id = await within(world.front.dial("main", TARGET, [("X-Order", "17")]))
            worker = world.workers[0]
            assert worker.all("place") == [(call_id, "main", TARGET, (("X-Order", "17"),), FLOW, "toward 192.0.2.7")]
            handles: list[int] = []
            reasons: list[str] = []
            ask: Any = {"call_id": call_id, "dialled": handles.append, "failed": reasons.append}
            worker.signalling.invite("main", TARGET, b"offer", (), **ask)
            await until(lambda: handles == [1000])
            world.front.receive(Accepted(1000, make_response(incoming(1).request, 200), b"answer"))
            await until(lambda: worker.all("receive"))
            world.agent.refusal = "too many sessions"
            worker.signalling.invite("main", TARGET, b"offer", (), **ask)
            worker.signalling.refer(1000, TARGET, failed=reasons.append)
            await until(lambda: len(reasons) == 2)
            assert reasons == ["too many sessions"] * 2
            world.agent.refusal = None
            done: list[bool] = []
            worker.signalling.press(1000, "1", failed=reasons.append, done=lambda: done.append(True))
            await until(lambda: done)
            assert len(reasons) == 2
            world.workers[1].refusal = "no free RTP port"
            with pytest.raises(SipagentError, match="no free RTP port"):
                await within(world.front.dial("main", TARGET))
            assert world.front.calls == 1
            await within(world.front.pause_recording(call_id, True))
            assert worker.all("pause_recording") == [(call_id, True)]
            with pytest.raises(SipagentError, match="no call nobody"):
                await world.front.pause_recording("nobody", True)

    run(main())


def test_a_second_dialog_goes_where_its_call_is(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            await world.take(1)
            worker, call_id = await world.take(2)
            world.front.receive(incoming(3, replaces=2))
            await until(lambda: len(worker.all("take")) == 2)
            assert worker.all("take")[1][0] == call_id
            assert world.front.calls == 2
            world.front.receive(incoming(4, replaces=99))
            assert world.agent.told == [("reject", 4, 481)]
            worker.die()
            await until(lambda: len(world.agent.told) == 3)
            assert sorted(world.agent.told[1:]) == [("hang_up", 3), ("reject", 2, 503, (("Retry-After", "10"),))]

    run(main())


def test_a_death(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            dead, one = await world.take(1)
            await world.take(2)
            _, three = await world.take(3)
            dead.signalling.accept(1, b"answer")
            dead.figures = Figures({("calls", "calls_total", ()): 5.0}, {("fds", "fds", ()): 7.0})
            await until(lambda: world.agent.told)
            assert await within(world.front.gather()) == dead.figures
            dead.die()
            await until(lambda: len(world.agent.told) == 3)
            assert sorted(world.agent.told[1:]) == [("hang_up", 1), ("reject", 3, 503, (("Retry-After", "10"),))]
            assert [each for each, _ in world.audience.facts] == [one, three]
            durations = [fact.duration_s for _, fact in world.audience.facts]
            assert durations[0] > 0.0 == durations[1], "the second was not answered"
            assert {(fact.reason, fact.media) for _, fact in world.audience.facts} == {("worker_died", None)}
            assert (world.front.calls, world.front.deaths) == (1, 1)
            await until(lambda: world.front.workers == 2)
            assert [each.number for each in world.workers] == [1, 2, 1]
            counted = await within(world.front.gather())
            assert (dict(counted.counts), dict(counted.states)) == (dict(dead.figures.counts), {})
            worker, _ = await world.take(4)
            assert worker is world.workers[2]

    run(main())


def test_a_worker_that_is_pressed_gets_no_more_and_when_all_are_nobody_is_taken(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            first, second = world.workers
            first.tell("judged", Verdict("cpu", calls=70, room=0, cpu=0.9))
            second.tell("judged", Verdict(None, calls=3, room=40, cpu=0.3, late=0.01))
            await until(lambda: world.front.judge().cpu == 0.9)
            assert world.front.judge() == Verdict(None, calls=0, room=40, cpu=0.9, late=0.01)
            assert [(await world.take(handle))[0] for handle in (1, 2, 3)] == [second] * 3
            second.tell("judged", Verdict("late", calls=3, room=0, cpu=0.5, late=0.2))
            await until(lambda: world.front.judge().refusal)
            world.front.receive(incoming(4))
            assert world.agent.told == [("reject", 4, 503, (("Retry-After", "10"),))]
            assert world.front.refusals == {"cpu": 1}
            first.tell("judged", Verdict(None, calls=10, room=20))
            await until(lambda: world.front.judge().refusal is None)
            assert (await world.take(5))[0] is first

    run(main())


def test_without_a_worker_nobody_is_taken(run: Clean) -> None:
    async def main() -> None:
        async with World(count=1) as world:
            assert world.audience.trouble is None
            world.zygote.is_gone = True
            world.zygote.announce()
            world.workers[0].die()
            await until(lambda: world.front.workers == 0)
            assert world.audience.trouble == NOBODY
            world.front.receive(incoming(1))
            assert world.agent.told == [("reject", 1, 503, (("Retry-After", "10"),))]
            assert world.front.refusals == {"nobody": 1}
            assert world.front.judge().words == NOBODY
            with pytest.raises(SipagentError, match=NOBODY):
                await within(world.front.dial("main", TARGET))

    run(main())


def test_one_that_is_unfit_keeps_us_from_starting(run: Clean) -> None:
    async def main() -> None:
        world = World(unfit={2})
        with pytest.raises(SipagentError, match="a tool is none"):
            await within(world.front.start({}))
        await within(world.front.close())
        world.zygote.close()

    run(main())


def test_the_trouble_of_any_is_the_trouble_of_all(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            for worker in world.workers:
                worker.tell("troubled", f"a wrong key, says {worker.number}")
            await until(lambda: world.audience.trouble)
            world.workers[0].tell("troubled", None)
            await until(lambda: world.audience.trouble == "a wrong key, says 2")
            world.workers[1].tell("troubled", None)
            await until(lambda: world.audience.trouble is None)

    run(main())


def test_who_follows_is_told_what_workers_tell_the_late_ones_too(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            world.front.follow(True)
            await until(lambda: all(each.all("follow") == [(True,)] for each in world.workers))
            world.workers[0].tell("noted", "call", facts.DigitPressed("7"), 7.0)
            world.workers[0].tell("timed", "packet_to_model", 0.001)
            await until(lambda: len(world.audience.followed) == 2)
            assert world.audience.followed == [("call", facts.DigitPressed("7"), 7.0), ("packet_to_model", 0.001)]
            world.workers[0].die()
            await until(lambda: len(world.workers) == 3 and world.workers[2].all("follow") == [(True,)])

    run(main())


def test_drain_and_stop_reach_all(run: Clean) -> None:
    async def main() -> None:
        async with World() as world:
            calls = [await world.take(handle) for handle in (1, 2)]
            draining = asyncio.get_running_loop().create_task(world.front.drain(timeout_s=0.0))
            await until(lambda: all(worker.all("drain") for worker in world.workers))
            assert world.agent.is_draining
            assert not draining.done()
            for worker, call_id in calls:
                worker.tell("over", call_id)
            await within(draining)
            stopping = asyncio.get_running_loop().create_task(world.front.stop())
            await within(stopping)
            await until(lambda: all(worker.all("stop") for worker in world.workers))
            world.workers[0].die()
            await until(lambda: world.front.workers == 1)
        assert len(world.workers) == 2, "who dies at the end is not replaced"

    run(main())


def test_one_that_is_stuck_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_S", 0.05), ("ANSWER_S", 0.05), ("STUCK_S", 0.2)):
        monkeypatch.setattr(module, name, value)

    async def main() -> None:
        async with World(count=1) as world:
            world.workers[0].figures = None
            world.zygote.announce(News(1, process.pid, None))
            assert await asyncio.to_thread(process.wait, 10) == -signal.SIGKILL

    with subprocess.Popen(["sleep", "60"]) as process:
        run_clean(loop.run, main())


@pytest.mark.parametrize(
    "event",
    [
        incoming(1),
        Progressed(1, make_response(incoming(1).request, 183), b"v=0"),
        Referred(1, TARGET, Replaces("a@b", "c", "d"), NameAddr.parse('"Boss" <sip:boss@x;user=phone>;tag=1')),
        ReferFinished(1, None, "no word"),
        facts.Ended("worker_died", 1.0, None),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_passes_between_processes_arrives_as_it_was(event: object) -> None:
    assert pickle.loads(pickle.dumps(event, pickle.HIGHEST_PROTOCOL)) == event
