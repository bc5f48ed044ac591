"""The file /etc/hosts: names whose addresses somebody wrote down. It is read again when it has changed."""

from ipaddress import ip_address
from pathlib import Path

from sipagent.sip.locate import Answer, Query

MAX_BYTES = 4 * 1024 * 1024
"""Of the file; lists that block advertisers have a few."""


class Hosts:
    """What the file says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._addresses: dict[str, list[str]] = {}

    def find(self, query: Query) -> Answer | None:
        """Answer from the file; ``None`` when it does not know the name.

        A name that is in the file has no other addresses than those there, and no NAPTR and SRV records.
        """
        self._refresh()
        name = query.name
        if query.kind == "SRV":
            name = name.split(".", 2)[-1]  # without the service and the protocol in front
        addresses = self._addresses.get(name)
        if addresses is None:
            return None
        separator = {"A": ".", "AAAA": ":"}.get(query.kind)
        return Answer(tuple(address for address in addresses if separator and _separator(address) == separator))

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                with self._path.open("rb") as file:
                    self._addresses = _parse(file.read(MAX_BYTES).decode("utf-8", "replace"))
                self._stamp = stamp
        except OSError:  # no such file: nobody wrote anything down
            self._addresses, self._stamp = {}, None


def _parse(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            address = str(ip_address(address.partition("%")[0]))
        except ValueError:
            continue
        for name in names:
            addresses = found.setdefault(name.lower().removesuffix("."), [])
            if address not in addresses:
                addresses.append(address)
    return found


def _separator(address: str) -> str:
    return ":" if ":" in address else "."
