"""Telephones of others as programs of their own, and the pipe by which they are steered.

Each runs in the interpreter of ``.venv-interop`` (``scripts/setup_interop.sh``), since they are GPL: nothing of them is
imported here. What a telephone says comes from a WAV file that begins when its call is up; what it hears is read when
it has ended.
"""

import json
import subprocess
import threading
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from ending import Stoppable, wait_or_kill
from interop.kamailio import HOST, Authority, Kamailio, Transport
from interop.sound import RATE, Samples
from program import ROOT, free_port

from sipagent.audio.wav import read_wav, write_wav

Event: TypeAlias = dict[str, Any]

PYTHON = ROOT / ".venv-interop" / "bin" / "python"
PEERS = Path(__file__).parent / "peers"

EVENT_S = 20.0
STOP_S = 8.0


@dataclass(frozen=True, slots=True)
class Extension:
    """A telephone's place at a PBX."""

    pbx: Kamailio
    user: str
    transport: Transport = "udp"
    password: str | None = None
    """Not the one that the PBX has, to be refused."""

    @property
    def secret(self) -> str:
        """What the telephone says its password is."""
        return self.pbx.users[self.user] if self.password is None else self.password


class Phone(Stoppable):
    """A telephone; use it as ``with``.

    :param says: what it says, 16-bit samples at 8 kHz.
    :param extension: where it registers; without one it calls and is called directly.
    :param settings: what else the program is told.
    """

    program: ClassVar[str]

    def __init__(
        self,
        folder: Path,
        says: Samples,
        *,
        extension: Extension | None = None,
        transport: Transport = "udp",
        authority: Authority | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.extension = extension
        self.transport = extension.transport if extension else transport
        self.port = free_port()
        speech = folder / "speech.wav"
        self._write(speech, says)
        self._events: list[Event] = []
        self._answers: dict[int, Event] = {}
        self._has_ended = False
        self._read = 0
        self._news = threading.Condition()
        self._commands = 0
        with (folder / "stderr.txt").open("wb") as errors:
            self._process = subprocess.Popen(
                [str(PYTHON), str(PEERS / self.program)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()
        usual = {
            "folder": str(folder), "says": str(speech), "host": HOST, "port": self.port, "media_port": free_port(),
            "transport": self.transport, "address": f"sip:{self.program.partition('.')[0]}@{HOST}",
        }  # fmt: skip
        authority = extension.pbx.authority if extension else authority
        if authority is not None:
            usual |= {name: str(getattr(authority, name)) for name in ("ca", "certificate", "key")}
        self._send(usual | (self._register(extension) if extension else {}) | settings)
        try:
            self.wait_for("ready")
            if extension is not None and extension.password is None:
                self.wait_for("registration", status=200)
        except TimeoutError:
            self.stop()
            raise

    # What it does

    def call(self, uri: str, headers: Mapping[str, str] | None = None) -> int:
        """Call somebody; return the call's number at once."""
        return int(self.do("call", uri=uri, **({"headers": dict(headers)} if headers else {}))["call"])

    def dial(self, uri: str, headers: Mapping[str, str] | None = None) -> int:
        """Call somebody; return the call's number when it is up."""
        number = self.call(uri, headers)
        self.wait_until_up(number)
        return number

    def wait_until_up(self, call: int = 0) -> None:
        """Return when this call is up."""
        self.wait_for("state", call=call, state="CONFIRMED")

    def wait_until_over(self, call: int = 0) -> Event:
        """Return when this call is over."""
        return self.wait_for("state", call=call, state="DISCONNECTED")

    def hold(self, call: int = 0) -> None:
        """Put a call on hold."""
        self.do("hold", call=call)

    def unhold(self, call: int = 0) -> None:
        """Take it back."""
        self.do("unhold", call=call)

    def press(self, keys: str, call: int = 0) -> None:
        """Press some keys, one after the other."""
        self.do("press", keys=keys, call=call)

    def transfer(self, uri: str, call: int = 0) -> None:
        """Send the other party to somebody else."""
        self.do("transfer", uri=uri, call=call)

    def hang_up(self, call: int = 0) -> None:
        """End a call."""
        self.do("hang_up", call=call)
        self.wait_until_over(call)

    def do(self, command: str, **parameters: Any) -> Event:
        """Give a command of the program's and return what it says.

        :raises RuntimeError: when it can't do that.
        """
        with self._news:
            self._commands += 1
            identifier = self._commands
        self._send({"id": identifier, "do": command, **parameters})
        with self._news:
            self._news.wait_for(lambda: identifier in self._answers or self._has_ended, EVENT_S)
            answer = self._answers.get(identifier, {"error": "no answer"})
        if "error" in answer:
            raise RuntimeError(f"{self.program}, {command}: {answer['error']}")
        return answer

    def wait_for(self, event: str, *, timeout_s: float = EVENT_S, **fields: Any) -> Event:
        """Return the next event of this kind, after the one that was waited for before.

        :raises TimeoutError: when none comes.
        """
        wanted = {"event": event} | fields

        def find() -> int | None:
            later = range(self._read, len(self._events))
            return next((at for at in later if wanted.items() <= self._events[at].items()), None)

        with self._news:
            self._news.wait_for(lambda: find() is not None or self._has_ended, timeout_s)
            at = find()
            if at is None:
                tail = "\n".join(map(str, self._events[-10:]))
                raise TimeoutError(f"{self.program}: no {wanted} after {timeout_s} s; the last events are:\n{tail}")
            self._read = at + 1
            return self._events[at]

    @property
    def events(self) -> list[Event]:
        """All that happened so far."""
        with self._news:
            return list(self._events)

    def heard(self, call: int = 0) -> Samples:
        """What came out of its loudspeaker in a call that is over."""
        rate, samples = read_wav((self._folder / f"heard-{call}.wav").read_bytes())
        assert rate == RATE
        return samples[:, 0]

    def receives(self) -> bool:
        """Whether sound comes in; what it is, :meth:`heard` tells."""
        return True

    def stop(self) -> None:
        """End the program."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        wait_or_kill(self._process, STOP_S)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    # The program

    def _register(self, extension: Extension) -> dict[str, Any]:
        raise NotImplementedError

    def _write(self, path: Path, says: Samples) -> None:
        path.write_bytes(write_wav(RATE, says))

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            try:
                message = json.loads(line)
            except ValueError:
                continue  # the library's own chatter
            with self._news:
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self._events.append(message)
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


class PjsuaPhone(Phone):
    """PJSIP: the correct peer."""

    program = "pjsua.py"

    def _register(self, extension: Extension) -> dict[str, Any]:
        server = extension.pbx.server(self.transport)
        return {
            "address": f"sip:{extension.user}@{HOST}",
            "registrar": server,
            "proxy": f"{server};lr",
            "user": extension.user,
            "password": extension.secret,
        }


class CarelessPhone(Phone):
    """pyVoIP, which has its own ways; UDP only.

    :param server: whom it calls directly; it sends all there.
    """

    program = "careless.py"

    def __init__(
        self, folder: Path, says: Samples, *, extension: Extension | None = None, server: int | None = None
    ) -> None:
        settings = {} if server is None else {"server": (HOST, server), "user": "careless"}
        super().__init__(folder, says, extension=extension, **settings)

    def heard(self, call: int = 0) -> Samples:
        """What came out of its loudspeaker, which has 8 bits."""
        body = (self._folder / f"heard-{call}.wav").read_bytes()[44:]
        return (np.frombuffer(body, np.uint8).astype(np.int16) - 128) * 256

    def _register(self, extension: Extension) -> dict[str, Any]:
        return {
            "server": (HOST, extension.pbx.ports["udp"]),
            "user": extension.user,
            "password": extension.secret,
            "register": True,
        }

    def _write(self, path: Path, says: Samples) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)
            file.setframerate(RATE)
            file.writeframes((says // 256 + 128).astype(np.uint8).tobytes())


def are_installed() -> bool:
    """Whether their environment has been made."""
    return PYTHON.exists()
