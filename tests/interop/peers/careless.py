"""pyVoIP as a telephone, steered by JSON lines as :mod:`pjsua` is: a program of its own, run by ``.venv-interop``.

It is the careless peer: its ACK has the wrong tag and no route, its clock is slow, its sound has 8 bits. It speaks UDP
only, and knows neither hold nor transfer nor keys of its own.
"""

import json
import sys
import threading
import time
import wave
from pathlib import Path

from pyVoIP.VoIP import CallState, PhoneStatus, VoIPPhone

FRAME = 160
POLL_S = 0.05
SILENCE = b"\x80"

_lock = threading.Lock()


def tell(**fields):
    with _lock:
        print(json.dumps(fields), flush=True)


class Phone:
    """pyVoIP's phone, and its commands."""

    def __init__(self, settings):
        self.folder = Path(settings["folder"])
        self.speech = b""
        if settings.get("says"):
            with wave.open(settings["says"]) as file:  # 8 bits, unsigned: as pyVoIP has it
                self.speech = file.readframes(file.getnframes())
        self.calls = []
        low = settings["media_port"]
        self.phone = VoIPPhone(
            settings["server"][0], settings["server"][1], settings["user"], settings.get("password", ""),
            myIP=settings["host"], sipPort=settings["port"], rtpPortLow=low, rtpPortHigh=low + 20,
            callCallback=self._ring,
        )  # fmt: skip
        if not settings.get("register"):
            self.phone.sip.register = lambda: True
            self.phone.sip.deregister = lambda: True
        self.phone.start()

    def _ring(self, call):
        number = self._keep(call)
        tell(event="incoming", call=number, from_=call.request.headers["From"]["raw"])
        call.answer()
        self._talk(call, number)

    def _keep(self, call):
        self.calls.append(call)
        return len(self.calls) - 1

    def _talk(self, call, number):
        tell(event="state", call=number, state="CONFIRMED", status=200)
        call.write_audio(self.speech)
        heard = bytearray()
        while call.state is CallState.ANSWERED:
            heard += call.read_audio(FRAME, blocking=False)
            digits = call.get_dtmf(1)
            if digits:
                tell(event="digit", call=number, digit=digits)
            time.sleep(FRAME / 8000)
        with wave.open(str(self.folder / f"heard-{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)
            file.setframerate(8000)
            file.writeframes(bytes(heard))
        tell(event="state", call=number, state="DISCONNECTED", status=200)

    def _wait_and_talk(self, call, number):
        while call.state is CallState.DIALING:
            time.sleep(POLL_S)
        if call.state is CallState.ANSWERED:
            self._talk(call, number)
        else:
            tell(event="state", call=number, state="DISCONNECTED", status=0)

    def do_call(self, uri):
        call = self.phone.call(uri)
        number = self._keep(call)
        threading.Thread(target=self._wait_and_talk, args=(call, number), daemon=True).start()
        return {"call": number}

    def do_hang_up(self, call=0):
        self.calls[call].hangup()

    def run(self):
        tell(event="ready")
        if self.phone.get_status() is PhoneStatus.REGISTERED:
            tell(event="registration", status=200, is_registered=True)
        for line in sys.stdin:
            command = json.loads(line)
            identifier, name = command.pop("id"), command.pop("do")
            try:
                tell(id=identifier, **(getattr(self, f"do_{name}")(**command) or {}))
            except Exception as error:  # whatever pyVoIP says goes to the test
                tell(id=identifier, error=repr(error))


def main():
    phone = Phone(json.loads(sys.stdin.readline()))
    try:
        phone.run()
    finally:
        phone.phone.stop()


if __name__ == "__main__":
    main()
