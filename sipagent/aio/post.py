"""One worker as the process in front sees it: the link to it, and what its calls command of SIP."""

import socket
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any, Protocol

from sipagent.aio.link import Link
from sipagent.aio.roster import Roster
from sipagent.aio.signalling import Signalling
from sipagent.call.admission import Verdict
from sipagent.call.events import Fact
from sipagent.sip.core import HeaderList
from sipagent.sip.uri import Uri

PLAIN = ("ring", "reject", "refresh", "hang_up", "accept_refer", "refuse_refer", "report_refer")
"""What a worker may command as it is."""


class Desk(Protocol):
    """Who is told what a worker says besides."""

    def worker_ready(self, post: "Post", pid: int) -> None:
        """It takes calls, under this process id."""

    def worker_unfit(self, post: "Post", reason: str) -> None:
        """It can't, and ends."""

    def worker_lost(self, post: "Post") -> None:
        """It is gone."""

    def call_over(self, call_id: str) -> None:
        """Nothing is left of a call."""

    def troubled(self, post: "Post", trouble: str | None) -> None:
        """Why its model can't be used, ``None`` when it can."""

    def judged(self, post: "Post", verdict: Verdict) -> None:
        """Whether it has room for a call."""

    def noted(self, call_id: str, fact: Fact, now: float) -> None:
        """A fact, for who follows the calls."""

    def timed(self, path: str, seconds: float) -> None:
        """A delay, likewise."""


class Post:
    """From the fork of a worker to its end.

    :param link: our end of its link.
    :param crashed: is told a bug in what its commands led to.
    """

    def __init__(
        self,
        number: int,
        link: socket.socket,
        *,
        desk: Desk,
        roster: Roster,
        signalling: Signalling,
        crashed: Callable[[Exception], None],
    ) -> None:
        self.number = number
        self.pid = 0
        """Once it is known."""
        self.heard_at = monotonic()
        """When it last told its figures."""
        self._roster = roster
        self._signalling = signalling
        served: Mapping[str, Callable[..., Any]] = {
            **{name: getattr(signalling, name) for name in PLAIN},
            "accept": self._accept,
            "invite": self._invite,
            "refer": self._refer,
            "press": self._press,
            "ready": partial(desk.worker_ready, self),
            "unfit": partial(desk.worker_unfit, self),
            "over": desk.call_over,
            "troubled": partial(desk.troubled, self),
            "judged": partial(desk.judged, self),
            "noted": desk.noted,
            "timed": desk.timed,
        }
        self._link = Link(link, serves=served, lost=partial(desk.worker_lost, self), crashed=crashed)
        self.tell = self._link.tell
        self.ask = self._link.ask
        self.close = self._link.close

    def _accept(self, handle: int, body: bytes) -> None:
        self._roster.answered(handle, now=monotonic())
        self._signalling.accept(handle, body)

    def _invite(
        self, number: int, account: str | None, target: Uri, body: bytes, headers: HeaderList, call_id: str
    ) -> None:
        def dialled(handle: int) -> None:
            self._roster.join(handle, call_id)
            self.tell("done", number, handle)

        failed = partial(self.tell, "failed", number)
        self._signalling.invite(account, target, body, headers, call_id=call_id, dialled=dialled, failed=failed)

    def _refer(self, number: int, handle: int, target: Uri) -> None:
        failed, done = partial(self.tell, "failed", number), partial(self.tell, "done", number, 0)
        self._signalling.refer(handle, target, failed=failed, done=done)

    def _press(self, number: int, handle: int, digits: str) -> None:
        failed, done = partial(self.tell, "failed", number), partial(self.tell, "done", number, 0)
        self._signalling.press(handle, digits, failed=failed, done=done)
