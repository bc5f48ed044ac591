"""A request of ours until its final response: over as many targets and challenges as that takes.

A URI may lead to several servers. They are tried in order, and one that does not answer, can't be reached or says 503
is passed over (:rfc:`3263#section-4.3`). One that is slow to answer is left waiting while the next is tried; should
it wake up, an INVITE to it is taken back. Outside a dialog a challenge is answered with the credentials of the
line; within one never, for there whoever answers is not known to be our PBX.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from sipagent.sip.core import Core
from sipagent.sip.events import Flow, Hop, TargetFailed
from sipagent.sip.headers import CSeq
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.transaction import UNCONCERNED, ClientUser, Event, make_cancel
from sipagent.sip.uri import Uri

PATIENCE_S = 4.0
"""A target that said nothing for so long is overtaken by the next one, if there is one: UDP has sent four copies."""

TARGETS_MAX = 8
"""Of one URI that are tried."""

CHALLENGES_MAX = 4
"""Of one request that are answered: a proxy's and a server's, each once more when its nonce is stale."""

UNAVAILABLE = 503


class Timer(Enum):
    """What a client waits for."""

    NEXT = "next"


class Attempt:
    """The request as it went to one target once; it is the user of its transaction."""

    def __init__(self, client: "Client", request: Request, flow: Flow) -> None:
        self.request = request
        self.flow = flow
        self.is_answered = False
        """Anything came back."""
        self._client = client

    def start(self, *, now: float) -> None:
        """Send it."""
        self._client.core.know(self.flow, now=now)
        self._transaction = self._client.core.transactions.request(self.request, self.flow, self, now=now)

    def abandon(self, *, now: float) -> None:
        """Expect no response any more."""
        self._transaction.on_event(Event.ABANDONED, None, now=now)

    def receive_response(self, response: Response, *, now: float) -> None:
        """A response of the transaction."""
        self.is_answered = True
        self._client.on_response(self, response, now=now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """No response will come."""
        self._client.on_failed(self, failure, now=now)


class Client:
    """One request of ours, still without Via, credentials and the address in its Contact: each target gets its own.

    :param hop: where it goes.
    :param user: is told every response but the challenges that are answered and the refusals that are got round.
    :param line: whose credentials answer a challenge.
    """

    def __init__(
        self, core: Core, request: Request, hop: Hop, user: ClientUser = UNCONCERNED, *, line: Line | None = None
    ) -> None:
        self.core = core
        self.request = request
        """As it was last sent."""
        self.flow = hop if isinstance(hop, Flow) else None
        """Where it was last sent."""
        self.sent_at: float | None = None
        """When it was last sent, but for copies; ``None`` as long as its target is not located."""
        self.reason = ""
        """Why the URI leads nowhere, in words; empty when it leads somewhere."""
        self._hop = hop
        self._user = user
        self._line = line
        self._targets: deque[Flow] = deque()
        self._attempt: Attempt | None = None
        self._overtaken: list[Attempt] = []
        self._challenges = 0
        self._is_over = False

    def start(self, *, now: float) -> None:
        """Send it, or have its target located first."""
        if isinstance(self._hop, Uri):
            self.core.locate(self, self._hop)
        else:
            self._send(self.request, self._hop, now)

    def located(self, targets: Sequence[Flow], *, reason: str, now: float) -> None:
        """Try the targets of the URI, in this order; without any the request has failed."""
        if self._is_over:
            return
        self.reason = reason
        self._targets.extend(targets[:TARGETS_MAX])
        self._try_next("transport", now)

    def cancel(self, *, now: float) -> None:
        """Send a CANCEL after an INVITE (:rfc:`3261#section-9.1`)."""
        if self._attempt is not None:
            self._cancel(self._attempt, now)

    def abandon(self, *, now: float) -> None:
        """Expect no response any more."""
        self._finish()
        if self._attempt is not None:
            self._attempt.abandon(now=now)

    def on_response(self, attempt: Attempt, response: Response, *, now: float) -> None:
        """A response to one of the attempts."""
        if attempt is not self._attempt:
            self._on_late_response(attempt, response, now)
        elif response.status < 200:
            self.core.timers.cancel((self, Timer.NEXT))
            self._user.receive_response(response, now=now)
        elif response.status in (401, 407) and self._answer_challenge(attempt, response, now):
            return
        elif response.status == UNAVAILABLE and self._targets:
            self.core.emit(TargetFailed(attempt.flow))
            self._try_next("transport", now)
        else:
            self._finish()
            self._note_peer(attempt, response)
            self._user.receive_response(response, now=now)

    def on_failed(self, attempt: Attempt, failure: str, *, now: float) -> None:
        """No response will come to one of the attempts."""
        if attempt is self._attempt and not self._is_over:
            if isinstance(self._hop, Uri) and not attempt.is_answered:
                self.core.emit(TargetFailed(attempt.flow))
            self._try_next(failure, now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """The target says nothing: try the next as well."""
        if self._attempt is not None:
            self.core.emit(TargetFailed(self._attempt.flow))
            self._overtaken.append(self._attempt)
            self._try_next("timeout", now)

    def _try_next(self, failure: str, now: float) -> None:
        if self._targets:
            self._send(self.request, self._targets.popleft(), now)
        else:
            self._finish()
            self._user.transaction_failed(failure, now=now)

    def _send(self, request: Request, flow: Flow, now: float) -> None:
        self.request, self.flow, self.sent_at = self._fit(request, flow), flow, now
        self._attempt = Attempt(self, self.request, flow)
        if self._targets:
            self.core.timers.set((self, Timer.NEXT), now + PATIENCE_S)
        else:
            self.core.timers.cancel((self, Timer.NEXT))
        self._attempt.start(now=now)

    def _fit(self, request: Request, flow: Flow) -> Request:
        """Make a request of its own for a target: the Contact by which that is to reach us, and a new branch."""
        headers = request.headers.copy()
        headers.remove("Via")
        fitted = replace(request, headers=headers)
        if request.contact is not None:
            headers.set("Contact", str(replace(request.contact, uri=self.core.contact_uri(flow, self._line))))
        self.core.add_via(fitted, flow)
        return fitted

    def _answer_challenge(self, attempt: Attempt, response: Response, now: float) -> bool:
        """Send the request again with credentials (:rfc:`3261#section-22.2`), if we have any that may be shown."""
        line, request = self._line, attempt.request
        if line is None or line.digest is None or request.to.tag or not line.is_home(request.uri):
            return False
        credentials = line.digest.answer(response, request)
        if credentials is None or self._challenges == CHALLENGES_MAX:
            return False
        self._challenges += 1
        headers = request.headers.copy()
        headers.set(*credentials)
        headers.set("CSeq", str(CSeq(request.cseq.number + 1, request.method)))
        self._send(replace(request, headers=headers), attempt.flow, now)
        return True

    def _note_peer(self, attempt: Attempt, response: Response) -> None:
        """Whoever accepts a request to the line's PBX is that PBX: nobody else knows the branch."""
        line, request = self._line, attempt.request
        if line is not None and response.status < 300 and not request.to.tag and line.is_home(request.uri):
            self.core.learn_peer(line, attempt.flow)

    def _on_late_response(self, attempt: Attempt, response: Response, now: float) -> None:
        """A target that was overtaken wakes up: it is not to ring, and if somebody answers, the user must know."""
        if response.status < 200:
            if attempt in self._overtaken:
                self._overtaken.remove(attempt)
                self._cancel(attempt, now)
        elif response.status < 300 and attempt.request.method == "INVITE":
            self._user.receive_response(response, now=now)

    def _cancel(self, attempt: Attempt, now: float) -> None:
        self.core.transactions.request(make_cancel(attempt.request), attempt.flow, now=now)

    def _finish(self) -> None:
        self._is_over = True
        self.core.timers.cancel((self, Timer.NEXT))
