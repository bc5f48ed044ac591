"""All registrations of the user agent, by the name of their account."""

from collections.abc import Iterable

from sipagent.errors import LocalProtocolError
from sipagent.sip.core import Core
from sipagent.sip.events import Address, Flow
from sipagent.sip.line import Line
from sipagent.sip.registration import CROWD_MAX_S, CROWD_PER_ACCOUNT_S, Registration, State


class Registrations:
    """One for every account that has a registrar."""

    def __init__(self, core: Core, lines: Iterable[Line]) -> None:
        registering = [line for line in lines if line.account.registrars]
        crowd_s = min(CROWD_PER_ACCOUNT_S * len(registering), CROWD_MAX_S)
        self._by_flow: dict[tuple[str, Address], set[Registration]] = {}
        self._by_name = {
            line.account.name: Registration(core, line, crowd_s=crowd_s, by_flow=self._by_flow) for line in registering
        }

    @property
    def bound(self) -> int:
        """How many are registered."""
        return sum(registration.is_bound for registration in self._by_name.values())

    @property
    def is_leaving(self) -> bool:
        """Whether a goodbye waits for its answer."""
        return any(registration.state is State.LEAVING for registration in self._by_name.values())

    def find(self, name: str) -> Registration:
        """Return one.

        :raises LocalProtocolError: when there is no such account, or it has no registrar.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise LocalProtocolError(f"there is no account {name} that registers") from None

    def address_changed(self, *, now: float) -> None:
        """Renew those that are wanted."""
        for registration in self._by_name.values():
            if registration.state is State.WANTED:
                registration.start(now=now)

    def flow_failed(self, flow: Flow, *, now: float) -> None:
        """Renew those that went by this flow, in an order that does not change from run to run."""
        for registration in sorted(self._by_flow.get(flow.key, ()), key=lambda registration: registration.name):
            registration.flow_failed(now=now)
