"""Commands of ``sipagent`` run as processes of their own, their logs read as they are written."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from ending import Stoppable, wait_or_kill

ROOT = Path(__file__).parents[1]

START_S = 20.0
"""For a process to be ready; it takes one second, but the machine may be busy."""

LAG_S = 1.0
"""By which a line of the log may come after what it tells of."""

STOP_S = 15.0
"""From SIGTERM to the end, when no call is left that it would wait for."""

MODEL_KEY = "not-a-key"
"""What a server that is given the URL of a model says it is; without one it would take the embedded model."""

PORTS = range(61_000, 65_536)
"""Above those that Linux gives to connections."""

_random = Random()
_given: set[int] = set()

Entry: TypeAlias = dict[str, Any]
"""A line of the log."""


class Program(Stoppable):
    """``sipagent`` with some arguments, from its start to its end; use it as ``with``."""

    def __init__(self, *arguments: str, ready: str) -> None:
        """Start it and wait until it logs the event ``ready``."""
        self._entries: list[Entry] = []
        self._has_ended = False
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sipagent", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for(lambda entry: entry["event"] == ready, timeout_s=START_S)
        except TimeoutError:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def entries(self) -> list[Entry]:
        """The log so far."""
        with self._news:
            return list(self._entries)

    def wait_for(self, is_wanted: Callable[[Entry], bool], *, timeout_s: float) -> Entry:
        """Return the first entry of that kind, which may have been written already.

        :raises TimeoutError: when none comes, or the process has ended.
        """

        def find() -> Entry | None:
            return next(filter(is_wanted, self._entries), None)

        with self._news:
            self._news.wait_for(lambda: find() or self._has_ended, timeout_s)
            found = find()
            tail = "\n".join(map(str, self._entries[-10:]))
        if found is None:
            raise TimeoutError(f"not in the log after {timeout_s} s, or at its end; the last of it is:\n{tail}")
        return found

    def calls(self, called: str) -> dict[str, list[Entry]]:
        """What happened in each call to ``sip:called@…``, in order, by the call's id; one is waited for a little."""

        def begins(entry: Entry) -> bool:
            return entry["event"] == "invited" and str(entry["called"]).startswith(f"sip:{called}@")

        self.wait_for_calls(begins, 1, timeout_s=LAG_S)
        return self.calls_where(begins)

    def calls_where(self, begins: Callable[[Entry], bool]) -> dict[str, list[Entry]]:
        """The same for calls that begin with an entry of that kind."""
        entries = self.entries
        ids = [entry["call"] for entry in entries if begins(entry)]
        return {call: [entry for entry in entries if entry.get("call") == call] for call in ids}

    def wait_for_calls(self, begins: Callable[[Entry], bool], count: int, *, timeout_s: float) -> int:
        """Wait until so many have begun, or no longer; return how many have. The log may lag."""
        with self._news:
            self._news.wait_for(lambda: sum(map(begins, self._entries)) >= count or self._has_ended, timeout_s)
            return sum(map(begins, self._entries))

    def terminate(self) -> None:
        """Ask it to end, and don't wait."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to end, if it has not; return its exit status."""
        self.terminate()
        status = wait_or_kill(self._process, STOP_S)
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        return status

    def _read(self) -> None:
        for line in self._process.stderr or ():
            entry = _parse(line)
            with self._news:
                self._entries.append(entry)
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


class Server(Program):
    """``sipagent run`` on free ports of the loopback, its log and recordings in ``folder``.

    :param settings: sections of the configuration that are to differ, joined key by key with the usual ones.
    :param host: the loopback's address at which it takes calls.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, *, host: str = "127.0.0.1") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sip_port, self.control_port = free_port(), free_port()
        self.recordings = folder / "recordings"
        path = folder / "config.yaml"
        path.write_text(json.dumps(_merge(self._usual(host), settings or {}), indent=1))  # JSON is YAML
        super().__init__("run", str(path), ready="ready")

    def uri(self, user: str, transport: str = "udp") -> str:
        """By which somebody on this machine calls ``user``."""
        return f"sip:{user}@127.0.0.1:{self.sip_port};transport={transport}"

    def place_call(self, line: str, to: str) -> str:
        """Have an agent call somebody by a line; return the call's id."""
        connection = HTTPConnection("127.0.0.1", self.control_port, timeout=5)
        try:
            order = json.dumps({"line": line, "to": to})
            connection.request("POST", "/calls", order, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != HTTPStatus.ACCEPTED:
            raise ValueError(f"{answer.status}: {body}")
        return str(json.loads(body)["id"])

    def metrics(self) -> dict[str, float]:
        """The figures of ``/metrics``, by their name with its labels."""
        connection = HTTPConnection("127.0.0.1", self.control_port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def dial(self, line: str, to: str) -> None:
        """Have a line call somebody.

        :raises OSError: when it won't.
        """
        connection = HTTPConnection("127.0.0.1", self.control_port, timeout=5)
        try:
            order = json.dumps({"line": line, "to": to})
            connection.request("POST", "/calls", order, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 202:
                raise OSError(f"{response.status} {response.read().decode()}")
        finally:
            connection.close()

    def _usual(self, host: str) -> dict[str, Any]:
        address = f"[{host}]:{self.sip_port}" if ":" in host else f"{host}:{self.sip_port}"
        return {
            "sip": {"listen": [f"udp:{address}", f"tcp:{address}"]},
            "rtp": {"ports": "20000-29999"},
            "lines": [{"name": "main", "agent": "tested"}],
            "agents": {"tested": {"engine": "model", "instructions": "Be brief.", "greeting": "Greet the caller."}},
            "engines": {"model": {"url": "local"}},
            "control": {"listen": f"127.0.0.1:{self.control_port}"},
            "log": {"level": "debug", "format": "json"},
            "recording": {"directory": str(self.recordings)},
        }


class Model(Program):
    """``sipagent model``, with a fault script; :attr:`engine` are the settings of who is to use it."""

    def __init__(self, faults: str) -> None:
        port = free_port()
        self.engine = {"url": f"ws://127.0.0.1:{port}/v1/realtime", "api_key": MODEL_KEY}
        super().__init__("model", "--port", str(port), "--faults", faults, ready="model_ready")


def free_port() -> int:
    """A port of the loopback that nobody has, neither for UDP nor for TCP, and that is given out once only.

    It is one that the kernel gives to nobody by itself, or a connection could have it before whom it is for.
    """
    for _ in range(1000):
        port = PORTS[_random.randrange(len(PORTS))]
        if port not in _given and is_free(port) and is_free(port, socket.SOCK_STREAM):
            _given.add(port)
            return port
    raise OSError("no port is free for both UDP and TCP")


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_DGRAM) -> bool:
    """Whether nobody has this port of the loopback."""
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _merge(usual: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(usual)
    for key, value in settings.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _parse(line: str) -> Entry:
    """Read a line; one that is no JSON was written by no logger of ours, but by an error."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"event": "unreadable", "level": "error", "line": line}
