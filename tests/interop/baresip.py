"""baresip as the telephone at the other end: no screen, no sound card, steered over TCP, everything recorded.

What it says comes from a WAV file, which begins when the call is answered; what it hears it writes to one.
"""

import json
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from program import free_port

from sipagent.audio.wav import read_wav, write_wav

Samples: TypeAlias = NDArray[np.int16]

RATE = 8000
START_S = 10.0
STOP_S = 5.0
MODULES = Path("/usr/lib/baresip/modules")

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
net_interface 127.0.0.1
audio_source aufile,{speech}
audio_player aubridge,nobody
audio_alert aubridge,silent
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports 28000-28999
module_path {modules}
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {recordings}
"""
ACCOUNT = "<sip:baresip@127.0.0.1;transport={transport}>;regint=0;audio_codecs=PCMU/8000/1\n"


class Baresip:
    """A telephone; use it as ``with``.

    :param says: what it says from the moment it is answered, 16-bit samples at 8 kHz.
    """

    def __init__(self, folder: Path, says: Samples, *, transport: Literal["udp", "tcp"] = "udp") -> None:
        self._recordings = folder / "recordings"
        self._recordings.mkdir(parents=True)
        speech = folder / "speech.wav"
        speech.write_bytes(write_wav(RATE, says))
        control_port = free_port()
        ports = {"sip_port": free_port(), "control_port": control_port}
        (folder / "config").write_text(
            CONFIG.format(speech=speech, recordings=self._recordings, rate=RATE, modules=MODULES, **ports)
        )
        (folder / "accounts").write_text(ACCOUNT.format(transport=transport))
        (folder / "contacts").write_text("")
        self._transport = transport
        self._output: list[str] = []
        self._is_ready = threading.Event()
        self._process = subprocess.Popen(
            ["baresip", "-f", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()
        self._unread = b""
        self._control = self._connect(control_port)

    def dial(self, user: str, port: int) -> None:
        """Call ``user`` on this machine; return when the call is answered."""
        self._command("dial", f"sip:{user}@127.0.0.1:{port};transport={self._transport}")
        self.wait_for("CALL_ESTABLISHED")

    def press(self, key: str) -> None:
        """Press a key."""
        self._command("sndcode", key)

    def hang_up(self) -> None:
        """End the call."""
        self._command("hangup")
        self.wait_for("CALL_CLOSED")

    def wait_for(self, kind: str) -> dict[str, Any]:
        """Read events up to the first of this kind.

        :raises TimeoutError: when none comes.
        """
        while True:
            message = self._receive()
            if message.get("event") and message["type"] == kind:
                return message

    def stop(self) -> None:
        """End the program, whose recordings are complete only then."""
        self._control.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def heard(self) -> Samples:
        """What came out of its loudspeaker."""
        return self._read("dec")

    @property
    def said(self) -> Samples:
        """What went into its microphone."""
        return self._read("enc")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self, direction: str) -> Samples:
        (path,) = self._recordings.glob(f"*-{direction}.wav")
        rate, samples = read_wav(path.read_bytes())
        assert rate == RATE
        return samples[:, 0]

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            self._output.append(line)
            if "baresip is ready" in line:
                self._is_ready.set()

    # Control: netstrings of JSON, <https://cr.yp.to/proto/netstrings.txt>

    def _connect(self, port: int) -> socket.socket:
        if not self._is_ready.wait(START_S):
            raise TimeoutError("baresip does not start:\n" + "".join(self._output))
        return socket.create_connection(("127.0.0.1", port), timeout=START_S)

    def _command(self, command: str, parameters: str = "") -> None:
        body = json.dumps({"command": command, "params": parameters}).encode()
        self._control.sendall(b"%d:%b," % (len(body), body))

    def _receive(self) -> dict[str, Any]:
        while True:
            length, colon, rest = self._unread.partition(b":")
            if colon and len(rest) > int(length):
                body, self._unread = rest[: int(length)], rest[int(length) + 1 :]
                return dict(json.loads(body))
            data = self._control.recv(65_536)
            if not data:
                raise TimeoutError("baresip has ended")
            self._unread += data
