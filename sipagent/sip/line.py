"""An account in use: what we have learnt of its PBX, and how requests outside a dialog go there."""

from dataclasses import replace
from random import Random

from sipagent.sip.account import Account
from sipagent.sip.digest import DigestClient
from sipagent.sip.headers import NameAddr
from sipagent.sip.identity import ANONYMOUS
from sipagent.sip.nat import Outside
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.uri import Parameters, Uri

LOOSE = Parameters([("lr", None)])


class Line:
    """One account's credentials, routes and address."""

    def __init__(self, account: Account, *, random: Random) -> None:
        self.account = account
        self.digest: DigestClient | None = None
        if account.credentials is not None:
            self.digest = DigestClient(account.credentials, random=random, domain=account.address.host)
        self.outside = Outside(account.external_address)
        """How its peers see us, where that is known of this account alone."""
        self.service_route: tuple[NameAddr, ...] = ()
        """From the last REGISTER that was accepted (:rfc:`3608`)."""

    @property
    def us(self) -> NameAddr:
        """Who we are in a From, still without a tag."""
        return NameAddr(self.account.display_name, self.account.address)

    def present(self, from_: NameAddr | None = None) -> tuple[NameAddr, list[tuple[str, str]]]:
        """Return the From of a call of ours, still without a tag, and what tells the network who it really is.

        :param from_: what those we call are to see, instead of the account.
        """
        us = self.us
        if self.account.is_anonymous:
            return ANONYMOUS, [("P-Asserted-Identity", str(us)), ("Privacy", "id")]
        if from_ is None or from_.uri == us.uri:
            return from_ or us, []
        return from_, [("P-Asserted-Identity", str(us))]

    def routes(self) -> tuple[NameAddr, ...]:
        """Return the Route of a request outside a dialog, the nearest proxy first."""
        return (*self.proxy_route(), *self.service_route)

    def dialled(self, target: Uri) -> Uri:
        """Return how a target is dialled by this line: a number at its domain (:rfc:`3261#section-19.1.6`)."""
        if target.scheme != "tel":
            return target
        home = self.account.address
        return Uri("sip", target.opaque, None, home.host, home.port, Parameters([("user", "phone")]))

    def first_hop(self, target: Uri) -> Uri:
        """Return where a request outside a dialog goes first: to our proxy, or to the target.

        The account's own domain is reached by the account's transport, for a telephone at it is dialled without one.
        """
        target = self.dialled(target)
        routes, transport = self.routes(), self.account.transport
        if routes:
            return routes[0].uri
        is_ours = target.host.lower() == self.account.address.host.lower()
        if transport is None or not is_ours or "transport" in target.parameters:
            return target
        return replace(target, parameters=target.parameters.replace("transport", transport))

    def proxy_route(self) -> tuple[NameAddr, ...]:
        """Return the Route of a REGISTER, to which no Service-Route applies (:rfc:`3608#section-5`)."""
        proxy = self.account.outbound_proxy
        return () if proxy is None else (NameAddr(None, _loose(proxy)),)

    def is_home(self, uri: Uri) -> bool:
        """Whether a request to this URI goes to the account's own PBX: nobody else's challenge is answered.

        With a Route it always does. Without, the domain must be the account's; a password, even digested, is not for
        whoever can name our realm.
        """
        homes = (self.account.address, *self.account.registrars)
        return bool(self.routes()) or uri.host.lower() in {home.host.lower() for home in homes}

    def may_call(self, uri: Uri) -> bool:
        """Whether a 3xx may send a call of this line there."""
        if self.account.may_call is not None:
            return self.account.may_call(uri)
        return uri.host.lower() == self.account.address.host.lower() and "maddr" not in uri.parameters


def timer_settings(line: Line | None) -> SessionTimerSettings:
    """What is wanted of session timers in a call by that line, or past all of them."""
    return SessionTimerSettings() if line is None else line.account.session_timer


def _loose(uri: Uri) -> Uri:
    return uri if "lr" in uri.parameters else Uri(
        uri.scheme, uri.user, None, uri.host, uri.port, Parameters([*uri.parameters.pairs, *LOOSE.pairs])
    )
