"""Chromium without a screen as the telephone at the other end: a page of ours, steered over HTTP.

What it says comes from a WAV file, which begins when the microphone is opened; what it hears, the page hands over.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ending import Stoppable, wait_or_kill
from interop.kamailio import Authority
from interop.sound import RATE, Samples, at_rate

from sipagent.audio.wav import write_wav

PROGRAM = shutil.which("chromium")
PAGE = Path(__file__).with_name("browser.html")

ANSWER_S = 30.0
"""For what a command begins; the page gives up after 20 s, and says why."""
POLL_S = 2.0
"""How long the page waits for a command before it asks again."""
STOP_S = 8.0
DIALLING_S = 1.0
"""From the opening of the microphone until the call is answered, and a little more."""
SILENCE_S = 60.0
"""After its last word, before its file begins anew."""
RECEIVED_S = 0.5
"""In which packets come, or they don't."""

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--no-default-browser-check", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-default-apps", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
)  # fmt: skip
"""It may be heard unasked, wants nothing of the network, and looks for ways over the loopback, too."""
PERMISSION = "--use-fake-ui-for-media-stream"


class Chromium(Stoppable):
    """A telephone; use it as ``with``.

    :param says: what it says after it is answered, 16-bit samples.
    :param codecs: the only ones that it offers, by their media types; without them, its own choice.
    :param authority: whose certificate it takes, and calls over TLS.
    :param opens_microphone: else it says a tone; and as nobody allowed it to listen, it hides its addresses (mDNS).
    :param shows_video: whether it offers to.
    """

    def __init__(
        self,
        folder: Path,
        says: Samples,
        *,
        codecs: tuple[str, ...] = (),
        authority: Authority | None = None,
        opens_microphone: bool = True,
        shows_video: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self._settings = {"codecs": codecs, "opens_microphone": opens_microphone, "shows_video": shows_video}
        self._scheme = "ws" if authority is None else "wss"
        self._statistics: dict[str, Any] = {}
        self._heard: Samples = np.zeros(0, np.int16)
        self._pages = PageServer()
        speech = folder / "speech.wav"
        before, after = (np.zeros(int(seconds * RATE), np.int16) for seconds in (DIALLING_S, SILENCE_S))
        speech.write_bytes(write_wav(RATE, np.concatenate((before, says, after))))
        options = [
            *OPTIONS, f"--user-data-dir={folder / 'profile'}", f"--use-file-for-fake-audio-capture={speech}",
            *([PERMISSION] if opens_microphone else ()),
            *([f"--ignore-certificate-errors-spki-list={_digest_of_key(authority)}"] if authority else ()),
        ]  # fmt: skip
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), *options, self._pages.url], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def dial(self, uri: str) -> None:
        """Call somebody; return when there is a way for sound."""
        authority = uri.partition("@")[2].partition(";")[0]
        self._do("dial", uri=uri, server=f"{self._scheme}://{authority}", **self._settings)

    def wait_until_up(self) -> None:
        """Return when the call is up, which :meth:`dial` waits for."""

    def wait_until_over(self) -> None:
        """Return when the other party has hung up."""
        self._do("wait_until_over")

    def hold(self) -> None:
        """Put the call on hold."""
        self._do("turn", direction="sendonly")

    def unhold(self) -> None:
        """Take it back."""
        self._do("turn", direction="sendrecv")

    def pause(self) -> None:
        """Neither speak nor listen."""
        self._do("turn", direction="inactive")

    def invite_empty(self) -> None:
        """Ask for an offer, and answer it."""
        self._do("invite_empty")

    def restart(self) -> None:
        """Offer other names for ICE, as after a change of the network."""
        self._do("restart")

    def press(self, keys: str) -> None:
        """Press some keys, one after the other."""
        self._do("press", keys=keys)

    def hang_up(self) -> None:
        """End the call."""
        self.statistics()
        self._do("hang_up")

    def leave(self) -> None:
        """Close the page, without a word of SIP."""
        self._do("leave")

    def statistics(self) -> Mapping[str, Any]:
        """What it says of the call, by the types of getStats; after the call, of its end."""
        self._statistics = self._do("statistics")
        return self._statistics

    @property
    def last(self) -> Mapping[str, Any]:
        """What it last said of the call."""
        return self._statistics

    def heard(self) -> Samples:
        """What came out of its loudspeaker."""
        return self._heard

    def receives(self) -> bool:
        """Whether packets come in."""
        before = self._received()
        threading.Event().wait(RECEIVED_S)
        return self._received() > before

    def stop(self) -> None:
        """End the program, and keep what it heard."""
        if self._process.returncode is not None:
            return
        try:
            if self._statistics:
                rate = self._do("heard")
                self._heard = at_rate(np.frombuffer(self._pages.heard, "<i2"), rate, RATE)
        finally:
            self._process.terminate()
            wait_or_kill(self._process, STOP_S)
            self._pages.close()

    def _received(self) -> int:
        return int(self.statistics().get("inbound-rtp", {}).get("packetsReceived", 0))

    def _do(self, name: str, **parameters: Any) -> Any:
        return self._pages.do({"name": name} | parameters)


class PageServer:
    """Serves the page, hands it commands and takes their results; a page of localhost may use the microphone."""

    def __init__(self) -> None:
        self._commands: Queue[Mapping[str, Any]] = Queue()
        self._results: Queue[Mapping[str, Any]] = Queue()
        self.heard = b""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://localhost:{self._server.server_port}/"

    def do(self, command: Mapping[str, Any]) -> Any:
        """Have the page do something, and return what came of it.

        :raises RuntimeError: when it did not do it.
        :raises TimeoutError: when it does not say.
        """
        self._commands.put(command)
        try:
            result = self._results.get(timeout=ANSWER_S)
        except Empty:
            raise TimeoutError(f"Chromium does not {command['name']}") from None
        if "error" in result:
            raise RuntimeError(f"Chromium does not {command['name']}: {result['error']}")
        return result["value"]

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        """Return a content's type and it."""
        match path:
            case "/command":
                return "application/json", json.dumps(self._next()).encode()
            case "/result":
                self._results.put(json.loads(body))
            case "/heard":
                self.heard = body
            case "/":
                return "text/html", PAGE.read_bytes()
        return "text/plain", b""

    def _next(self) -> Mapping[str, Any] | None:
        try:
            return self._commands.get(timeout=POLL_S)
        except Empty:
            return None


def _handler_of(pages: PageServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind, content = pages.answer(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            with suppress(ConnectionError):  # Chromium has ended
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Say nothing of it."""

    return Handler


def _digest_of_key(authority: Authority) -> str:
    """Of the key that is trusted whoever certifies it, as Chromium wants it."""
    certificate = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
