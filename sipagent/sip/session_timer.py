"""Session timers (:rfc:`4028`): what both sides agree on about when a call without a sign of life is over.

It is the agreement only: which fields go into our requests and responses, what those of the peer mean, who refreshes
and when. Every INVITE and UPDATE within a call is a refresh. Who sends what is the affair of
:mod:`~sipagent.sip.refresh`.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import SECONDS_MAX, Headers, parse_generic_params, read_seconds
from sipagent.sip.message import Request, Response

Role: TypeAlias = Literal["uac", "uas"]
HeaderList: TypeAlias = list[tuple[str, str]]

OPTION_TAG = "timer"

INTERVAL_MIN_S = 90
"""No interval is shorter (:rfc:`4028#section-5`); one that is read as this, so that nobody makes us refresh often."""

INTERVAL_MAX_S = 7_200
"""What a peer asks for beyond is reduced to this: a call that died unnoticed is not to last longer."""

RAISES_MAX = 3
"""How often one call follows a 422 and asks for a longer interval."""

GOODBYE_S = 32.0
"""The call is given up this long before the interval ends, or a third of the interval (:rfc:`4028#section-10`)."""


_SESSION_EXPIRES = re.compile(rf"([0-9]++)({grammar.GENERIC_PARAMS}){grammar.SWS}")


@dataclass(frozen=True, slots=True)
class SessionTimerSettings:
    """What one line wants of session timers.

    - ``off``: what peers say of them is ignored, and we do not claim to know them.
    - ``accept``: a timer that the peer asks for.
    - ``on``: we ask for one ourselves, and refresh even if the peer knows of none.
    """

    mode: Literal["off", "accept", "on"] = "accept"
    expires_s: int = 1_800
    """The interval that we ask for."""
    min_se_s: int = INTERVAL_MIN_S
    """The shortest that we take; a peer that asks for less is told so with 422."""


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """Session-Expires (:rfc:`4028#section-4`)."""

    seconds: int
    refresher: Role | None = None
    """Of the request that it stands in or answers, who is to send the next refresh."""

    @classmethod
    def parse(cls, text: str) -> "SessionExpires":
        """Read the field.

        :raises RemoteProtocolError: when it breaks the grammar.
        """
        found = _SESSION_EXPIRES.fullmatch(text)
        if found is None:
            raise RemoteProtocolError("malformed Session-Expires")
        seconds, parameters = found.groups()
        role: Role | None = None
        match (parse_generic_params(parameters).get("refresher") or "").lower():
            case "uac":
                role = "uac"
            case "uas":
                role = "uas"
        return cls(grammar.parse_number(seconds, SECONDS_MAX), role)

    def __str__(self) -> str:
        return f"{self.seconds};refresher={self.refresher}" if self.refresher else str(self.seconds)


def read_session_expires(headers: Headers) -> SessionExpires | None:
    """Return Session-Expires; one that can't be read is none (:rfc:`3261#section-8.2`)."""
    value = headers.get("Session-Expires")
    try:
        return None if value is None else SessionExpires.parse(value)
    except RemoteProtocolError:
        return None


def read_min_se(headers: Headers) -> int:
    """Return Min-SE, in seconds; 90 where there is none that can be read (:rfc:`4028#section-5`)."""
    return max(read_seconds(headers, "Min-SE") or 0, INTERVAL_MIN_S)


class SessionTimer:
    """The session timer of one call."""

    def __init__(self, settings: SessionTimerSettings) -> None:
        self.settings = settings
        self.interval_s: int | None = None
        """As agreed; ``None`` while there is no session timer."""
        self.is_ours = False
        """Whether we refresh."""
        self.is_shared = False
        """Whether the peer knows; one that does not is refreshed all the same, to learn whether it is still there."""
        self._min_se_s = max(settings.min_se_s, INTERVAL_MIN_S)
        self._raises = 0

    # As who asks.

    def request_headers(self) -> HeaderList:
        """Return what an INVITE or UPDATE of ours says (:rfc:`4028#section-7.1`)."""
        if self.settings.mode == "off":
            return []
        headers = []
        if self.interval_s is not None:
            asked = SessionExpires(max(self.interval_s, self._min_se_s), "uac" if self.is_ours else "uas")
            headers.append(("Session-Expires", str(asked)))
        elif self.settings.mode == "on":
            headers.append(("Session-Expires", str(SessionExpires(self._wish_s))))
        if self._min_se_s > INTERVAL_MIN_S and headers:
            headers.append(("Min-SE", str(self._min_se_s)))
        return headers

    def raise_interval(self, response: Response) -> bool:
        """Follow a 422 (:rfc:`4028#section-7.3`); ``False`` when it asks for nothing new, or once too often."""
        asked = read_min_se(response.headers)
        if self._raises >= RAISES_MAX or asked <= self._min_se_s:
            return False
        self._raises += 1
        self._min_se_s = asked
        return True

    def receive_success(self, response: Response) -> None:
        """Take the 2xx to an INVITE or UPDATE of ours (:rfc:`4028#section-7.2`)."""
        granted = read_session_expires(response.headers)
        if self.settings.mode == "off" or (granted is None and self.settings.mode == "accept"):
            self.interval_s = None
        elif granted is None:
            self._agree(self._wish_s, is_ours=True, is_shared=False)
        else:
            self._agree(granted.seconds, is_ours=granted.refresher != "uas", is_shared=True)

    # As who is asked.

    def refuses(self, request: Request) -> HeaderList | None:
        """Return the fields of a 422 (:rfc:`4028#section-9`), ``None`` when the interval is long enough.

        Who knows of no session timer is never refused: the interval is some proxy's, and no other try would follow.
        """
        asked = read_session_expires(request.headers)
        if self.settings.mode == "off" or asked is None or OPTION_TAG not in _options(request):
            return None
        lowest = max(self.settings.min_se_s, INTERVAL_MIN_S)
        return [("Min-SE", str(lowest))] if asked.seconds < lowest else None

    def accept(self, request: Request) -> HeaderList:
        """Return what our 2xx to an INVITE or UPDATE says; what it says holds from now on (:rfc:`4028#section-9`)."""
        asked = read_session_expires(request.headers)
        if self.settings.mode == "off" or (asked is None and self.interval_s is None and self.settings.mode != "on"):
            return []
        min_se_s = read_min_se(request.headers)
        self._min_se_s = max(self._min_se_s, min_se_s)
        is_known = OPTION_TAG in _options(request)
        is_ours = self._choose(asked, is_known=is_known)
        wish_s = asked.seconds if asked else self.interval_s or self._wish_s
        lowest_s = max(min_se_s, self.settings.min_se_s, INTERVAL_MIN_S)
        self._agree(max(min(wish_s, INTERVAL_MAX_S), lowest_s), is_ours=is_ours, is_shared=is_known)
        granted = SessionExpires(self.interval_s or 0, "uas" if is_ours else "uac")
        headers = [("Session-Expires", str(granted))]
        return [("Require", OPTION_TAG), *headers] if is_known else headers

    # What follows.

    @property
    def refresh_after_s(self) -> float | None:
        """How long after the last refresh we send the next; ``None`` when it is not for us."""
        return self.interval_s / 2 if self.interval_s is not None and self.is_ours else None

    @property
    def expires_after_s(self) -> float | None:
        """How long after the last refresh the call is given up; ``None`` when it is not, as nobody else counts."""
        if self.interval_s is None or not self.is_shared:
            return None
        return self.interval_s - min(GOODBYE_S, self.interval_s / 3)

    @property
    def _wish_s(self) -> int:
        return max(self.settings.expires_s, self._min_se_s)

    def _choose(self, asked: SessionExpires | None, *, is_known: bool) -> bool:
        """Say whether we refresh, by the table of :rfc:`4028#section-9`."""
        if not is_known:
            return True
        if asked is not None and asked.refresher is not None:
            return asked.refresher == "uas"
        if self.interval_s is not None:
            return self.is_ours
        return asked is None

    def _agree(self, interval_s: int, *, is_ours: bool, is_shared: bool) -> None:
        self.interval_s = max(interval_s, INTERVAL_MIN_S)
        self.is_ours = is_ours
        self.is_shared = is_shared


def _options(request: Request) -> set[str]:
    return {tag.lower() for tag in (*request.supported, *request.require)}
