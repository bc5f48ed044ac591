"""The front of several workers: it stands where the service stands when there is one, and hands each call over.

SIP stays here, media and conversations are theirs. Each INVITE goes to the worker with the fewest calls, and every
event of its dialogs after it. A worker that dies takes its own calls with it: their peers get BYE at once, the log
says why they ended, and another worker takes its place.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from random import Random
from time import monotonic
from typing import Protocol

from sipagent.aio.figures import Figures, Tally
from sipagent.aio.log import get_logger
from sipagent.aio.post import Post
from sipagent.aio.roster import Roster, Ticket
from sipagent.aio.signalling import Signalling
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.zygote import News, Zygote
from sipagent.call.admission import Pressure, Verdict
from sipagent.call.events import Ended as CallEnded
from sipagent.call.events import Fact
from sipagent.errors import SipagentError
from sipagent.sip.core import HeaderList, check_headers
from sipagent.sip.events import Accepted, Ended, Event, IncomingInvite
from sipagent.sip.uri import Uri

RETRY_AFTER_S = 10
"""When a caller who found us full may try again."""

UNAVAILABLE, NO_SUCH_CALL = 503, 481

START_S = 60.0
"""For a worker to load what it needs, its tools' servers among it."""

STOP_S = 10.0
"""For calls to end that are told to; a worker that has some after that is stuck."""

CLOSE_S = 30.0
"""For a worker to write its recordings, on a slow disk."""

LOOK_S = 5.0
"""How often the workers' figures are fetched; those of a dead one are that old."""

ANSWER_S = 1.0
"""For a worker to tell its figures; of one that takes longer the last ones count."""

STUCK_S = 20.0
"""A worker that has told nothing for so long does nothing else, either; it is killed, and replaced."""

NOBODY = "no worker is running"


class Audience(Protocol):
    """Who is told what becomes of the calls, in this process."""

    def observe(self, call_id: str, fact: Fact, *, now: float) -> None:
        """Take a fact of a call of which no worker tells."""

    def follow(self, call_id: str, fact: Fact, now: float) -> None:
        """Take a fact that a worker has told of, for who follows the calls."""

    def follow_delay(self, path: str, seconds: float) -> None:
        """Take a delay, likewise."""

    def take_trouble(self, trouble: str | None) -> None:
        """Take why no call would succeed, ``None`` when it would."""


class Front:
    """All calls of the program; what it has in common with :class:`~sipagent.aio.service.Service` is meant so.

    :param count: how many workers.
    :param random: for the ids of calls.
    """

    def __init__(self, zygote: Zygote, *, count: int, max_calls: int, random: Random, audience: Audience) -> None:
        self._zygote = zygote
        self._count = count
        self._max_calls = max_calls
        self._random = random
        self._audience = audience
        self._roster = Roster(count)
        self._posts: dict[int, Post] = {}
        self._fallen: dict[int, int] = {}
        self._news: dict[int, News] = {}
        self._troubles: dict[int, str] = {}
        self._verdicts: dict[int, Verdict] = {}
        self._tally = Tally()
        self._urls: Mapping[str, str] = {}
        self._is_followed = False
        self._has_started = False
        self._is_stopping = False
        self._changed = asyncio.Event()
        self._unfit = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._signalling: Signalling | None = None
        self._log = get_logger()
        self._loop = asyncio.get_running_loop()
        self.refusals: Counter[str] = Counter()
        """Calls that found no room, by why."""

    def attach(self, signalling: Signalling) -> None:
        """Take the calls of this user agent."""
        self._signalling = signalling

    async def start(self, urls: Mapping[str, str]) -> None:
        """Have the workers made, and wait for them.

        :param urls: of the embedded model, where there is one.
        :raises SipagentError: when one can't do its work; it says why.
        """
        self._urls = urls
        self._loop.add_reader(self._zygote.fileno(), self._on_news)
        for number in range(1, self._count + 1):
            self._make(number)
        try:
            async with TimeLimit(START_S):
                await self._wait_until(lambda: bool(self._unfit) or self._roster.up == self._count)
        except TimeoutError:
            raise SipagentError(f"a worker was not ready within {START_S:.0f} s") from None
        if self._unfit:
            raise SipagentError(self._unfit)
        self._has_started = True
        self._after(LOOK_S, self._look)

    @property
    def calls(self) -> int:
        """How many calls there are now."""
        return self._roster.calls

    @property
    def begun(self) -> int:
        """How many there ever were."""
        return self._roster.begun

    @property
    def workers(self) -> int:
        """How many workers take calls."""
        return self._roster.up

    @property
    def deaths(self) -> int:
        """How many ever died."""
        return self._roster.deaths

    def judge(self) -> Verdict:
        """Say whether a call would be taken: by the number of all, and by each worker of its own load."""
        known = self._verdicts.values()
        calls, most = self.calls, self._max_calls
        refusal: Pressure | None = None
        if self._roster.up == 0:
            refusal = "nobody"
        elif calls >= most:
            refusal = "calls"
        elif self._roster.choose() is None:
            refusal = next((verdict.refusal for verdict in known if verdict.is_pressed), "cpu")
        room = 0 if refusal is not None else max(1, min(most - calls, sum(verdict.room for verdict in known)))
        cpu, late = (max(map(attrgetter(name), known), default=0.0) for name in ("cpu", "late"))
        return Verdict(refusal, calls, room, cpu, late)

    @property
    def refused(self) -> int:
        """Calls that found no room here."""
        return self.refusals.total()

    # SIP

    def receive(self, event: Event) -> None:
        """Take an event of the user agent's."""
        if isinstance(event, IncomingInvite):
            self._on_invite(event)
            return
        handle = getattr(event, "handle", 0)
        ticket = self._roster.ticket_of(handle)
        if ticket is None:
            return
        self._tell(ticket.worker, "receive", event)
        if isinstance(event, Accepted):
            self._roster.answered(handle, now=monotonic())
        elif isinstance(event, Ended):
            self._roster.dialog_ended(handle)

    def _on_invite(self, event: IncomingInvite) -> None:
        signalling = self._signalling
        if signalling is None:
            return
        if event.replaces is not None:
            self._on_replacement(event, event.replaces, signalling)
            return
        verdict, worker = self.judge(), self._roster.choose()
        if verdict.refusal is not None or worker is None:
            self.refusals[verdict.refusal or "nobody"] += 1
            self._refuse(event.handle)
            return
        call_id = self._new_call_id()
        self._roster.begin(call_id, worker, event.handle)
        self._hand_over(worker, call_id, event, signalling)

    def _refuse(self, handle: int) -> None:
        """Let whoever calls try elsewhere, or later."""
        if self._signalling is not None:
            self._signalling.reject(handle, UNAVAILABLE, (("Retry-After", str(RETRY_AFTER_S)),))

    def _on_replacement(self, event: IncomingInvite, replaced: int, signalling: Signalling) -> None:
        """Somebody else is put through to an agent; whose the call is has the new dialog, too."""
        ticket = self._roster.ticket_of(replaced)
        if ticket is None or not self._roster.join(event.handle, ticket.call_id):
            signalling.reject(event.handle, NO_SUCH_CALL)
        else:
            self._hand_over(ticket.worker, ticket.call_id, event, signalling)

    def _hand_over(self, worker: int, call_id: str, event: IncomingInvite, signalling: Signalling) -> None:
        try:
            address = signalling.address_toward(event.flow.remote)
        except OSError:  # the way back is gone, and with it the call; SIP finds out by itself
            address = event.flow.local[0] if event.flow.local is not None else ""
        self._tell(worker, "take", call_id, event, address)

    async def dial(self, line_name: str, target: Uri, headers: HeaderList = ()) -> str:
        """Call somebody by a line; errors, and what comes of it, as :meth:`Service.dial` has them."""
        check_headers(headers)
        signalling = self._signalling
        if signalling is None or signalling.is_draining:
            raise SipagentError("no call can be made now: we are about to stop")
        verdict = self.judge()
        if verdict.refusal is not None:
            raise SipagentError(f"no call can be made now: {verdict.words}")
        flow = await signalling.find_way(line_name, target)
        address = signalling.address_toward(flow.remote)
        worker = self._roster.choose()
        if worker is None:
            raise SipagentError(f"no call can be made now: {NOBODY}")
        call_id = self._new_call_id()
        self._roster.begin(call_id, worker)
        try:
            await self._posts[worker].ask("place", call_id, line_name, target, tuple(headers), flow, address)
        except SipagentError:
            self.call_over(call_id)
            raise
        return call_id

    def _new_call_id(self) -> str:
        return f"{self._random.getrandbits(48):012x}"

    def _tell(self, worker: int, name: str, *arguments: object) -> None:
        post = self._posts.get(worker)
        if post is not None:
            post.tell(name, *arguments)

    async def pause_recording(self, call_id: str, is_paused: bool) -> None:
        """Have a call's recording pause, or go on.

        :raises SipagentError: when there is no such call, or it is not recorded.
        """
        post = self._posts.get(self._roster.worker_with(call_id) or 0)
        if post is None:
            raise SipagentError(f"no call {call_id} is being recorded")
        await post.ask("pause_recording", call_id, is_paused)

    # The end

    def close_doors(self) -> None:
        """Take no more calls."""
        if self._signalling is not None:
            self._signalling.is_draining = True

    async def drain(self, *, timeout_s: float) -> None:
        """Take no more calls and wait for those there are; after ``timeout_s`` they say goodbye."""
        self.close_doors()
        try:
            async with TimeLimit(timeout_s):
                await self._wait_until(lambda: self.calls == 0)
        except TimeoutError:
            self._tell_all("drain")
            await self._wait_until(lambda: self.calls == 0)

    async def stop(self) -> None:
        """End every call now, and take none any more."""
        self._is_stopping = True
        self.close_doors()
        for timer in self._timers:
            timer.cancel()
        self._tell_all("stop")
        try:
            async with TimeLimit(STOP_S):
                await self._wait_until(lambda: self.calls == 0)
        except TimeoutError:
            self._log.error("workers_stuck", calls=self.calls)

    async def close(self) -> None:
        """Have the workers end, once the user's programs are done and the recordings are written."""
        self._is_stopping = True
        self._tell_all("close")
        try:
            async with TimeLimit(CLOSE_S):
                await self._wait_until(lambda: not self._posts)
        except TimeoutError:
            self._log.error("workers_stuck", workers=sorted(self._posts))
        self._loop.remove_reader(self._zygote.fileno())
        for post in self._posts.values():
            post.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell_all(self, name: str, *arguments: object) -> None:
        for post in self._posts.values():
            post.tell(name, *arguments)

    # Workers

    def _make(self, number: int) -> None:
        """Have a worker made in this place."""
        if self._signalling is None or self._is_stopping:
            return
        try:
            link = self._zygote.fork(number)
        except SipagentError as error:
            self._log.error("worker_not_made", worker=number, reason=str(error))
            return
        post = Post(
            number,
            link,
            desk=self,
            roster=self._roster,
            signalling=self._signalling,
            crashed=lambda error: self._log.error("front_crashed", worker=number, exc_info=error),
        )
        self._posts[number] = post
        self._roster.worker_started(number, now=monotonic())
        post.tell("begin", dict(self._urls))

    def worker_ready(self, post: Post, pid: int) -> None:
        """It takes calls."""
        post.pid = pid
        self._roster.worker_ready(post.number)
        self._log.info("worker_ready", worker=post.number, pid=post.pid)
        if self._is_followed:
            post.tell("follow", True)
        self._judge()
        self._notify()

    def worker_unfit(self, post: Post, reason: str) -> None:
        """It can't be used; its end follows. At our start that is ours, too."""
        if self._has_started:
            self._log.error("worker_unfit", worker=post.number, reason=reason)
        self._unfit = self._unfit or reason
        self._notify()

    def worker_lost(self, post: Post) -> None:
        """It is gone: say goodbye for its calls, and have another one made."""
        now = monotonic()
        loss = self._roster.worker_died(post.number, now=now)
        self._posts.pop(post.number, None)
        self._troubles.pop(post.number, None)
        self._verdicts.pop(post.number, None)
        self._tally.lose(post.number)
        for ticket in loss.calls:
            if ticket.invite is not None:
                self._refuse(ticket.invite)
        for handle in set(loss.handles) - {ticket.invite for ticket in loss.calls}:
            if self._signalling is not None:
                self._signalling.hang_up(handle)
        for ticket in loss.calls:
            self._audience.observe(ticket.call_id, _last_word(ticket, now), now=now)
        if not self._is_stopping:
            self._fallen[post.number] = len(loss.calls)
            self._bury(post.number)
            self._after(loss.pause_s, partial(self._make, post.number))
        self._judge()
        self._notify()

    def _on_news(self) -> None:
        news = self._zygote.receive()
        if news is None:
            self._loop.remove_reader(self._zygote.fileno())
            self._log.error("zygote_lost", consequence="a worker that dies is not replaced any more")
            return
        for each in news:
            self._take(each)

    def _take(self, news: News) -> None:
        if news.status is not None:
            self._news[news.number] = news
            self._bury(news.number)
        elif news.number in self._posts:
            self._posts[news.number].pid = news.pid

    def _bury(self, number: int) -> None:
        """Say what is known of a death, once both the link and the zygote have told of it."""
        if number in self._fallen and number in self._news:
            news, calls = self._news.pop(number), self._fallen.pop(number)
            self._log.error("worker_died", worker=number, pid=news.pid, how=news.words, calls_lost=calls)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            then()

        timer = self._loop.call_later(seconds, fire)
        self._timers.add(timer)

    # What they tell

    def call_over(self, call_id: str) -> None:
        """Nothing is left of a call."""
        self._roster.over(call_id)
        self._notify()

    def troubled(self, post: Post, trouble: str | None) -> None:
        """Why a worker's model can't be used."""
        if trouble is None:
            self._troubles.pop(post.number, None)
        else:
            self._troubles[post.number] = trouble
        self._judge()

    def _judge(self) -> None:
        trouble = next(iter(self._troubles.values()), None)
        self._audience.take_trouble(trouble if self._roster.up else NOBODY)

    def judged(self, post: Post, verdict: Verdict) -> None:
        """Whether a worker has room for a call."""
        self._verdicts[post.number] = verdict
        self._roster.worker_pressed(post.number, verdict.is_pressed)

    def follow(self, is_followed: bool) -> None:
        """Have the workers tell every fact and delay, or not."""
        self._is_followed = is_followed
        self._tell_all("follow", is_followed)

    def noted(self, call_id: str, fact: Fact, now: float) -> None:
        """A fact of a worker's, for who follows."""
        self._audience.follow(call_id, fact, now)

    def timed(self, path: str, seconds: float) -> None:
        """A delay of a worker's."""
        self._audience.follow_delay(path, seconds)

    async def gather(self) -> Figures:
        """Return what all workers there are and were have counted, as new as it can be had."""
        await asyncio.gather(*map(self._fetch, list(self._posts.values())))
        return self._tally.sum()

    async def _fetch(self, post: Post) -> None:
        try:
            async with TimeLimit(ANSWER_S):
                figures: Figures = await post.ask("figures")
        except TimeoutError:
            return
        except SipagentError:  # it is still beginning
            post.heard_at = monotonic()
            return
        if self._posts.get(post.number) is post:
            self._tally.update(post.number, figures)
            post.heard_at = monotonic()

    def _look(self) -> None:
        task = self._loop.create_task(self._keep_figures())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_figures(self) -> None:
        await self.gather()
        now = monotonic()
        for post in self._posts.values():
            if now > post.heard_at + STUCK_S and post.pid:
                self._log.error("worker_stuck", worker=post.number, pid=post.pid, seconds=round(now - post.heard_at))
                with suppress(ProcessLookupError):
                    os.kill(post.pid, signal.SIGKILL)
        if not self._is_stopping:
            self._after(LOOK_S, self._look)

    # Within

    def _notify(self) -> None:
        """Have those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()


def _last_word(ticket: Ticket, now: float) -> CallEnded:
    """What is known of a call of which nobody can tell more."""
    duration_s = 0.0 if ticket.answered_at is None else now - ticket.answered_at
    return CallEnded("worker_died", duration_s, None)
