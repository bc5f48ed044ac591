"""The contract every state machine keeps with the driver that runs it."""

from typing import Protocol, TypeVar

Output_co = TypeVar("Output_co", covariant=True)


class Machine(Protocol[Output_co]):
    """A state machine driven from outside; it owns no socket, clock, task or log.

    Inputs are methods named for what happened (``receive_packet``, ``accept``), each with the time it happened,
    in seconds of a monotonic clock, as keyword ``now``. After any input, and after :meth:`handle_timer`, the driver
    calls :meth:`poll` until it returns ``None``, and then :meth:`get_timer`.

    ``receive_*`` never raises, whatever the bytes. A command that is illegal in the present state raises
    :class:`~sipagent.errors.LocalProtocolError` at once.
    """

    def poll(self) -> Output_co | None:
        """Return the next output, or ``None`` when there is no more."""

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due; in the past at most once with the same value."""

    def handle_timer(self, *, now: float) -> None:
        """Do what is due at ``now``."""
