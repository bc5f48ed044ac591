"""linphone as a telephone, steered over its daemon's socket; it says nothing and records nothing.

Where there is no network but the loopback it does not register, so it calls, and nobody calls it.
"""

import shutil
import socket
import subprocess
from pathlib import Path
from threading import Event

from ending import Stoppable, wait_or_kill
from interop.kamailio import HOST
from program import free_port

PROGRAM = "linphone-daemon"

START_S = 15.0
STATE_S = 20.0
STOP_S = 5.0
POLL_S = 0.1

CONFIG = """\
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
default_proxy=-1
use_ipv6=0
guess_hostname=0
contact="linphone" <sip:linphone@{host}>
media_encryption=none
[net]
firewall_policy=0
[rtp]
audio_rtp_port={media_port}
"""


class Linphone(Stoppable):
    """A telephone; use it as ``with``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        config = folder / "linphonerc"
        config.write_text(CONFIG.format(host=HOST, media_port=free_port()))
        pipe = f"sipagent-linphone-{free_port()}"  # it makes the socket in /tmp, wherever that is
        self._socket = Path("/tmp") / pipe
        command = [PROGRAM, "--config", str(config), "--pipe", pipe, "--log", str(folder / "log"), "--auto-answer"]
        self._process = subprocess.Popen(
            [*command, "--disable-stats-events"], env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._control = self._connect()
            self._command(f"port sip {free_port()} udp")
            self._command("ipv6 disable")  # each of these has it look at the network anew
        except BaseException:
            self.stop()
            raise

    def dial(self, uri: str) -> None:
        """Call somebody; return when the call is answered."""
        self._wait_for(f"call {uri}", "Status: Ok")  # it can't until it has looked at the network
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Return when the call is up."""
        self._wait_for("call-status 1", "LinphoneCallStreamsRunning")

    def wait_until_over(self) -> None:
        """Return when the call is over."""
        self._wait_for("call-status 1", "Error")

    def hold(self) -> None:
        """Put the call on hold."""
        self._command("call-pause 1")

    def unhold(self) -> None:
        """Take it back."""
        self._command("call-resume 1")

    def press(self, keys: str) -> None:
        """Press some keys, one after the other."""
        for key in keys:
            self._command(f"dtmf {key}")

    def transfer(self, uri: str) -> None:
        """Send the other party to somebody else."""
        self._command(f"call-transfer 1 {uri}")

    def hang_up(self) -> None:
        """End the call."""
        self._command("terminate 1")

    def stop(self) -> None:
        """End the program."""
        self._process.terminate()
        wait_or_kill(self._process, STOP_S)
        if hasattr(self, "_control"):
            self._control.close()
        self._socket.unlink(missing_ok=True)

    def _connect(self) -> socket.socket:
        control = socket.socket(socket.AF_UNIX)
        control.settimeout(START_S)
        for _ in range(int(START_S / POLL_S)):
            try:
                control.connect(str(self._socket))
            except OSError:
                Event().wait(POLL_S)
            else:
                return control
        control.close()
        raise TimeoutError("linphone does not start")

    def _wait_for(self, command: str, text: str) -> None:
        said = ""
        for _ in range(int(STATE_S / POLL_S)):
            said = self._command(command)
            if text in said:
                return
            Event().wait(POLL_S)
        raise TimeoutError(f"linphone, {command}: no {text} after {STATE_S} s, but {said!r}")

    def _command(self, command: str) -> str:
        """What it answers: a status, and after it what was asked."""
        self._control.sendall(f"{command}\n".encode())
        said = self._control.recv(65_536).decode()
        self._control.settimeout(POLL_S)
        try:
            while more := self._control.recv(65_536).decode():
                said += more
        except TimeoutError:
            pass
        finally:
            self._control.settimeout(START_S)
        return said


def is_installed() -> bool:
    """Whether it can be started here."""
    return shutil.which(PROGRAM) is not None
