"""The date and the time of day, as the embedded model tells them: the machine's clock knows neither."""

from datetime import datetime, timedelta, timezone


class Calendar:
    """Reads off the calendar what the machine's time means.

    :param utc_offset_s: of the place's own time.
    """

    def __init__(self, utc_offset_s: float) -> None:
        self._zone = timezone(timedelta(seconds=utc_offset_s))
        self._unix_epoch = 0.0

    def set(self, unix_time: float, *, now: float) -> None:
        """Set it: ``unix_time`` is what the calendar says at ``now``."""
        self._unix_epoch = unix_time - now

    def read(self, now: float) -> datetime:
        """Return what it says at ``now``."""
        return datetime.fromtimestamp(self._unix_epoch + now, self._zone)
