"""What the kernel says of a process and of those that it started: time, memory, descriptors, ports."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """From its start, all its threads and children together."""

    user_s: float
    system_s: float
    resident_bytes: int
    preemptions: int
    """How often a processor was taken from it."""
    descriptors: int = 0
    ports: int = 0
    """How many of these are UDP sockets."""
    threads: int = 0


def read_usage(pid: int, *, with_descriptors: bool = False) -> Usage:
    """Look.

    :param with_descriptors: count these as well, which takes longer.
    :raises OSError: when the process is gone.
    """
    parts = [_read(pid, with_descriptors=with_descriptors)]
    for child in _descendants(pid):
        try:
            parts.append(_read(child, with_descriptors=with_descriptors))
        except OSError:  # it ended as we looked
            continue
    return Usage(
        user_s=sum(part.user_s for part in parts),
        system_s=sum(part.system_s for part in parts),
        resident_bytes=sum(part.resident_bytes for part in parts),
        preemptions=sum(part.preemptions for part in parts),
        descriptors=sum(part.descriptors for part in parts),
        ports=sum(part.ports for part in parts),
        threads=sum(part.threads for part in parts),
    )


def _descendants(pid: int) -> Iterator[int]:
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


def _read(pid: int, *, with_descriptors: bool) -> Usage:
    folder = PROC / str(pid)
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    files = list(_open_files(folder)) if with_descriptors else []
    datagrams = _datagram_sockets() if with_descriptors else frozenset()
    return Usage(
        user_s=int(fields[11]) * tick_s,
        system_s=int(fields[12]) * tick_s,
        resident_bytes=int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        preemptions=_preemptions(folder),
        descriptors=len(files),
        ports=sum(file in datagrams for file in files),
        threads=int(fields[17]),
    )


def _preemptions(folder: Path) -> int:
    """Of all threads; the file of the process itself tells of its first alone."""
    count = 0
    for task in (folder / "task").iterdir():
        try:
            count += int((task / "status").read_text().rpartition("nonvoluntary_ctxt_switches:")[2])
        except OSError:
            continue
    return count


def _open_files(folder: Path) -> Iterator[str]:
    for link in (folder / "fd").iterdir():
        try:
            yield str(link.readlink())
        except OSError:
            continue


def _datagram_sockets() -> frozenset[str]:
    """Every UDP socket of this network namespace, as ``/proc/PID/fd`` names it."""
    lines = [line for name in ("udp", "udp6") for line in _table(name)]
    return frozenset(f"socket:[{line.split()[9]}]" for line in lines)


def _table(name: str) -> list[str]:
    path = PROC / "net" / name
    return path.read_text().splitlines()[1:] if path.exists() else []
