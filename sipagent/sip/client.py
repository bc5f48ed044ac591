"""A request of ours until its final response: over as many targets and challenges as that takes.

A URI may lead to several servers. They are tried in order, and one that does not answer, can't be reached or says 503
is passed over (:rfc:`3263#section-4.3`). One that is slow to answer is left waiting while the next is tried; should
it wake up, an INVITE to it is taken back. Outside a dialog a challenge is answered with the credentials of the
line; within one never, for there whoever answers is not known to be our PBX.

A request that UDP would have to cut goes by TCP, if somebody answers there, and by UDP after all if not
(:rfc:`3261#section-18.1.1`). That concerns this one request: its Contact, and what follows in its dialog, stay with
UDP.
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

DATAGRAM_MAX = 1300
"""Octets of a request that surely fit into one packet of any network."""

TCP_PATIENCE_S = 2.0
"""For the server of UDP to answer by TCP: a firewall may swallow it."""

TARGETS_MAX = 8
"""Of one URI that are tried."""

CHALLENGES_MAX = 4
"""Of one request that are answered: a proxy's and a server's, each once more when its nonce is stale."""

UNAVAILABLE = 503


class Timer(Enum):
    """What a client waits for."""

    NEXT = "next"


class Attempt:
    """The request as it went to one target once; it is the user of its transaction.

    :param flow: how it went there: it is the target, or TCP in the place of UDP.
    """

    def __init__(self, client: "Client", request: Request, target: Flow, flow: Flow) -> None:
        self.request = request
        self.target = target
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
        """The target that it was last sent to."""
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
        self._without_tcp: Flow | None = None
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
        attempt = self._attempt
        self._finish()
        if attempt is not None:
            attempt.abandon(now=now)

    def on_response(self, attempt: Attempt, response: Response, *, now: float) -> None:
        """A response to one of the attempts."""
        if attempt is not self._attempt:
            self._on_late_response(attempt, response, now)
            return
        if self._targets and self._targets[0] is attempt.target:
            self._targets.popleft()  # it got there by TCP: UDP need not be tried
        if response.status < 200:
            self.core.timers.cancel((self, Timer.NEXT))
            self._user.receive_response(response, now=now)
        elif response.status in (401, 407) and self._answer_challenge(attempt, response, now):
            return
        elif response.status == UNAVAILABLE and self._targets:
            self.core.emit(TargetFailed(attempt.target))
            self._try_next("transport", now)
        else:
            self._finish()
            self._note_peer(attempt, response)
            self._user.receive_response(response, now=now)

    def on_failed(self, attempt: Attempt, failure: str, *, now: float) -> None:
        """No response will come to one of the attempts."""
        if attempt in self._overtaken:
            self._overtaken.remove(attempt)
        if attempt is self._attempt and not self._is_over:
            if isinstance(self._hop, Uri) and not attempt.is_answered:
                self._note_silence(attempt)
            self._try_next(failure, now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """The target says nothing: try the next as well."""
        if self._attempt is not None:
            self._note_silence(self._attempt)
            self._overtaken.append(self._attempt)
            self._try_next("timeout", now)

    def _try_next(self, failure: str, now: float) -> None:
        if self._targets:
            self._send(self.request, self._targets.popleft(), now)
        else:
            self._finish()
            self._user.transaction_failed(failure, now=now)

    def _send(self, request: Request, target: Flow, now: float) -> None:
        flow, self.request = target, self._fit(request, target, target)
        patience_s = PATIENCE_S
        if self._is_for_tcp(target):
            flow, patience_s = replace(target, transport="TCP"), TCP_PATIENCE_S
            self.request = self._fit(request, target, flow)
            self._targets.appendleft(target)
        self.flow, self.sent_at = target, now
        self._attempt = Attempt(self, self.request, target, flow)
        if self._targets:
            self.core.timers.set((self, Timer.NEXT), now + patience_s)
        else:
            self.core.timers.cancel((self, Timer.NEXT))
        self._attempt.start(now=now)

    def _is_for_tcp(self, target: Flow) -> bool:
        """Whether the request, as it would go, is too big for UDP, and TCP was not tried in vain."""
        if target.reliable or target == self._without_tcp or len(bytes(self.request)) <= DATAGRAM_MAX:
            return False
        self._without_tcp = target
        return True

    def _fit(self, request: Request, target: Flow, flow: Flow) -> Request:
        """Make a request of its own for a target: the Contact by which that is to reach us, and a new branch."""
        headers = request.headers.copy()
        headers.remove("Via")
        fitted = replace(request, headers=headers)
        if request.contact is not None:
            headers.set("Contact", str(replace(request.contact, uri=self.core.contact_uri(target, self._line))))
        self.core.add_via(fitted, flow)
        return fitted

    def _note_silence(self, attempt: Attempt) -> None:
        """A target did not answer; that one of UDP has no TCP says nothing of it."""
        if attempt.flow is attempt.target:
            self.core.emit(TargetFailed(attempt.flow))

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
        if attempt.flow is not attempt.target:
            self._without_tcp = None
        self._send(replace(request, headers=headers), attempt.target, now)
        return True

    def _note_peer(self, attempt: Attempt, response: Response) -> None:
        """Whoever accepts a request to the line's PBX is that PBX: nobody else knows the branch."""
        line, request = self._line, attempt.request
        if line is not None and response.status < 300 and not request.to.tag and line.is_home(request.uri):
            self.core.learn_peer(line, attempt.flow)

    def _on_late_response(self, attempt: Attempt, response: Response, now: float) -> None:
        """A target that was overtaken wakes up: it is not to ring, and if somebody answers, the user must know.

        So must he when a telephone answers after all was said, or once more.
        """
        if attempt in self._overtaken:
            self._overtaken.remove(attempt)
            if response.status < 200:
                self._cancel(attempt, now)
        if 200 <= response.status < 300 and attempt.request.method == "INVITE":
            self._user.receive_response(response, now=now)

    def _cancel(self, attempt: Attempt, now: float) -> None:
        self.core.transactions.request(make_cancel(attempt.request), attempt.flow, now=now)

    def _finish(self) -> None:
        """The attempt stays with its transaction, and comes back as a late one; we hold it no more."""
        self._is_over = True
        self._attempt = None
        self.core.timers.cancel((self, Timer.NEXT))
