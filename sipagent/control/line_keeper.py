"""Has the lines registered, as long as we take calls, and writes what becomes of that in the log."""

from collections.abc import Iterable

from sipagent.aio.log import get_logger
from sipagent.aio.ua import SipEndpoint
from sipagent.sip.account import Account
from sipagent.sip.events import AddressSeen, Event, Registered, RegistrationFailed, Unregistered


class LineKeeper:
    """Of all accounts those that have a registrar."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._names = [account.name for account in accounts if account.registrars]
        self._log = get_logger()

    def register(self, endpoint: SipEndpoint) -> None:
        """Register them all, and keep them so."""
        for name in self._names:
            endpoint.command(endpoint.agent.register, name)

    def unregister(self, endpoint: SipEndpoint) -> None:
        """Let nobody call us any more."""
        for name in self._names:
            endpoint.command(endpoint.agent.unregister, name)

    def observe(self, event: Event) -> None:
        """Take an event of the user agent's; most are about calls, and no concern of ours."""
        match event:
            case Registered(line, expires_s, registrar, seen_as):
                seen = None if seen_as is None else f"{seen_as[0]}:{seen_as[1]}"
                self._log.info("registered", line=line, registrar=registrar, expires_s=expires_s, seen_as=seen)
            case RegistrationFailed(line, _, reason, retry_s):
                retry = None if retry_s is None else round(retry_s, 1)
                self._log.warning("registration_failed", line=line, reason=reason, retry_s=retry)
            case AddressSeen((host, port)):
                self._log.info("seen_from_outside", address=f"{host}:{port}")
            case Unregistered(line):
                self._log.info("unregistered", line=line)
