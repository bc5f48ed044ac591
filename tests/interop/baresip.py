"""baresip as the telephone at the other end: no screen, no sound card, steered over TCP, everything recorded.

What it says comes from a WAV file, which begins when the call is answered; what it hears it writes to one.
"""

import json
import re
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
from ending import Stoppable, wait_or_kill
from interop.kamailio import HOST, Authority, Transport
from interop.phone import Extension
from interop.sound import RATE, Samples, at_rate
from program import free_port

from sipagent.audio.wav import read_wav, write_wav

RECEIVED = re.compile(r"audio=\d+/(\d+) \(bit/s\)")
ENCRYPTED = re.compile(r"SRTP is Enabled \(cryptosuite=(\w+)\)")
MEASURED = 5
"""Of its last displays of the rate, five a second."""

START_S = 10.0
STOP_S = 5.0
SILENCE_S = 90.0
"""After its last word: at the end of its file it hangs up."""
MODULES = Path("/usr/lib/baresip/modules")

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
{tls}
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
module g722.so
module l16.so
module opus.so
module srtp.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {recordings}
"""
TLS = """\
sip_certificate {certificate}
sip_cafile {ca}
"""
ACCOUNT = (
    f"<sip:baresip@{HOST};transport={{transport}}>;regint=0;audio_codecs={{codec}}"
    ";answermode={answers}{encryption}\n"
)
EXTENSION = (
    f"<sip:{{user}}@{HOST}:{{server_port}};transport={{transport}}>;auth_pass={{password}};regint=300"
    ";audio_codecs={codec};answermode={answers}\n"
)
PCMU = "PCMU/8000/1"
WIDE_RATES = {"G722/16000/1": 16_000, "L16/16000/1": 16_000, "opus/48000/2": 48_000}
"""Hz of the sound of the codecs that have more than a telephone's, by baresip's names for them."""


class Baresip(Stoppable):
    """A telephone; use it as ``with``.

    :param says: what it says from the moment it is answered, 16-bit samples.
    :param says_rate: of these, in Hz.
    :param extension: where it registers; without one it calls and is called directly.
    :param answers: whether it takes every call at once.
    :param codec: the only one that it speaks, by its own name for it.
    :param port: where it takes calls, of those that :func:`free_port` gives.
    :param encryption: ``srtp`` where the peer can, ``srtp-mand`` or no call; empty for none.
    """

    def __init__(
        self,
        folder: Path,
        says: Samples,
        *,
        extension: Extension | None = None,
        transport: Transport = "udp",
        authority: Authority | None = None,
        answers: bool = False,
        says_rate: int = RATE,
        codec: str = PCMU,
        port: int | None = None,
        encryption: str = "",
    ) -> None:
        self._encryption = f";mediaenc={encryption}" if encryption else ""
        self._recordings = folder / "recordings"
        self._recordings.mkdir(parents=True)
        speech = folder / "speech.wav"
        rest = np.zeros(int(SILENCE_S * says_rate), np.int16)
        rate = WIDE_RATES.get(codec, RATE)
        speech.write_bytes(write_wav(rate, at_rate(np.concatenate((says, rest)), says_rate, rate)))
        control_port = free_port()
        self.extension = extension
        self.transport = extension.transport if extension else transport
        self.port = port or free_port()
        authority = extension.pbx.authority if extension else authority
        (folder / "config").write_text(
            CONFIG.format(
                speech=speech, recordings=self._recordings, rate=rate, modules=MODULES, sip_port=self.port,
                control_port=control_port, tls=self._tls(folder, authority),
            )
        )  # fmt: skip
        (folder / "accounts").write_text(self._account(answers, codec))
        (folder / "contacts").write_text("")
        self._output: list[str] = []
        self._is_ready, self._is_registered = threading.Event(), threading.Event()
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
        if extension is not None and not self._is_registered.wait(START_S):
            raise TimeoutError("baresip does not register:\n" + "".join(self._output))

    def dial(self, uri: str) -> None:
        """Call somebody; return when the call is answered."""
        self._command("dial", uri)
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return when a call is up."""
        self.wait_for("CALL_ESTABLISHED")

    def wait_until_over(self) -> None:
        """Return when the call is over."""
        self.wait_for("CALL_CLOSED")

    def hold(self) -> None:
        """Put the call on hold."""
        self._command("hold")

    def unhold(self) -> None:
        """Take it back."""
        self._command("resume")

    def transfer(self, uri: str) -> None:
        """Send the other party to somebody else."""
        self._command("transfer", uri)

    def press(self, keys: str) -> None:
        """Press some keys, one after the other."""
        for key in keys:
            self._command("sndcode", key)

    def hang_up(self) -> None:
        """End the call."""
        self._command("hangup")
        self.wait_until_over()

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
        wait_or_kill(self._process, STOP_S)
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def receives(self) -> bool:
        """Whether sound comes in, by its own display: after a hold its loudspeaker is silent, whoever the peer is."""
        rates = [int(found[1]) for line in list(self._output) if (found := RECEIVED.search(line))]
        return len(rates) > MEASURED and min(rates[-MEASURED:]) > 0

    @property
    def suites(self) -> list[str]:
        """By what its calls were encrypted, one for each call and stream."""
        return ENCRYPTED.findall("".join(self._output))

    def heard(self, rate: int = RATE) -> Samples:
        """What came out of its loudspeaker in all of its calls."""
        return self._read("dec", rate)

    @property
    def said(self) -> Samples:
        """What went into its microphone."""
        return self._read("enc", RATE)

    def _read(self, direction: str, wanted: int) -> Samples:
        parts = []
        for path in sorted(self._recordings.glob(f"*-{direction}.wav")):
            rate, samples = read_wav(path.read_bytes())
            parts.append(at_rate(samples[:, 0], rate, wanted))
        return np.concatenate(parts)

    def _tls(self, folder: Path, authority: Authority | None) -> str:
        if authority is None:
            return ""
        certificate = folder / "certificate.pem"  # with its key, as baresip wants it
        certificate.write_bytes(authority.key.read_bytes() + authority.certificate.read_bytes())
        return TLS.format(certificate=certificate, ca=authority.ca)

    def _account(self, answers: bool, codec: str) -> str:
        mode = "auto" if answers else "manual"
        if self.extension is None:
            return ACCOUNT.format(
                transport=self.transport, codec=codec, answers=mode, encryption=self._encryption
            )
        return EXTENSION.format(
            user=self.extension.user, password=self.extension.secret, transport=self.transport, codec=codec,
            answers=mode, server_port=self.extension.pbx.ports[self.transport],
        )  # fmt: skip

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            self._output.append(line)
            if "baresip is ready" in line:
                self._is_ready.set()
            if " 200 OK " in line:
                self._is_registered.set()

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
