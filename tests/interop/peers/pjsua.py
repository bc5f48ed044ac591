"""PJSIP as a telephone, steered by JSON lines: a program of its own, run by the interpreter of ``.venv-interop``.

It reads commands from its standard input, ``{"id": 1, "do": "call", ...}``, answers each with ``{"id": 1, ...}`` on its
standard output, and writes ``{"event": ...}`` there when something happens. It has no sound card: what it says comes
from a WAV file, from the moment its call is up, and what it hears is written to another.
"""

import json
import queue
import sys
import threading
from pathlib import Path

import pjsua2 as pj

RATE = 8000
TURN_MS = 10
INFO = 1  # PJSUA_DTMF_METHOD_SIP_INFO


def tell(**fields):
    print(json.dumps(fields), flush=True)


class Call(pj.Call):
    """A call, with its player and its recorder."""

    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        super().__init__(phone.account, call_id)
        self.phone = phone
        self.player = self.recorder = None
        phone.calls.append(self)
        self.number = len(phone.calls) - 1

    def onCallState(self, _):
        info = self.getInfo()
        tell(event="state", call=self.number, state=info.stateText, status=info.lastStatusCode, reason=info.lastReason)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.player = self.recorder = None  # whose file is complete only now

    def onCallMediaState(self, _):
        info = self.getInfo()  # which owns its list of media
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO or media.status == pj.PJSUA_CALL_MEDIA_NONE:
                continue
            tell(event="media", call=self.number, status=media.status, direction=media.dir)
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                self._connect(self.getAudioMedia(index))

    def onDtmfDigit(self, event):
        tell(event="digit", call=self.number, digit=event.digit)

    def onCallTransferRequest(self, event):
        tell(event="transfer", call=self.number, target=event.dstUri)
        event.statusCode = 202
        event.newCall = Call(self.phone)

    def onCallReplaceRequest(self, event):
        tell(event="replace", call=self.number)

    def onCallReplaced(self, event):
        tell(event="replaced", call=self.number)
        self.phone.adopt(event.newCallId)

    def onCallTransferStatus(self, event):
        tell(event="transferred", call=self.number, status=event.statusCode, is_final=event.finalNotify)

    def _connect(self, media):
        if self.player is None and self.phone.says:
            self.player = pj.AudioMediaPlayer()
            self.player.createPlayer(self.phone.says, pj.PJMEDIA_FILE_NO_LOOP)
        if self.recorder is None:
            self.recorder = pj.AudioMediaRecorder()
            self.recorder.createRecorder(str(self.phone.folder / f"heard-{self.number}.wav"))
        if self.player is not None:
            self.player.startTransmit(media)
        media.startTransmit(self.recorder)


class Account(pj.Account):
    """Who we are."""

    def __init__(self, phone):
        super().__init__()
        self.phone = phone

    def onRegState(self, event):
        tell(event="registration", status=event.code, reason=event.reason, is_registered=self.getInfo().regIsActive)

    def onIncomingCall(self, event):
        call = Call(self.phone, event.callId)
        tell(event="incoming", call=call.number, from_=call.getInfo().remoteUri)
        if self.phone.answers:
            call.answer(_status(200))


def _read_commands(commands):
    for line in sys.stdin:
        commands.put(line)
    commands.put(None)


def _status(code, flags=0):
    parameters = pj.CallOpParam(True)
    parameters.statusCode = code
    if flags:
        parameters.opt.flag = flags
    return parameters


class Phone:
    """The endpoint, and its commands."""

    def __init__(self, settings):
        self.folder = Path(settings["folder"])
        self.says = settings.get("says")
        self.answers = settings.get("answers", False)
        self.calls = []
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.logConfig.level = 5
        config.logConfig.consoleLevel = 0
        config.logConfig.filename = str(self.folder / "pjsua.log")
        config.medConfig.clockRate = config.medConfig.sndClockRate = RATE
        config.medConfig.noVad = True
        config.medConfig.ecTailLen = 0
        self.endpoint.libInit(config)
        self._open(settings)
        self.endpoint.libStart()
        self.endpoint.audDevManager().setNullDev()
        for codec in self.endpoint.codecEnum2():
            order = settings.get("codecs", ["PCMU"])
            name = codec.codecId.partition("/")[0]
            self.endpoint.codecSetPriority(codec.codecId, 200 - order.index(name) if name in order else 0)
        self.account = Account(self)
        self.account.create(self._account(settings))

    def adopt(self, call_id):
        """A call that PJSIP made by itself, in place of another."""
        if all(call.getId() != call_id for call in self.calls):
            Call(self, call_id)

    def _open(self, settings):
        transport = pj.TransportConfig()
        transport.boundAddress = transport.publicAddress = settings["host"]
        transport.port = settings["port"]
        kind = settings["transport"]
        if kind == "tls":
            transport.tlsConfig.CaListFile = settings["ca"]
            transport.tlsConfig.certFile = settings["certificate"]
            transport.tlsConfig.privKeyFile = settings["key"]
            transport.tlsConfig.verifyServer = True
        kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
        self.endpoint.transportCreate(kinds[kind], transport)

    def _account(self, settings):
        config = pj.AccountConfig()
        config.idUri = settings["address"]
        config.regConfig.timeoutSec = settings.get("expires", 300)
        config.callConfig.timerUse = settings.get("session_timers", pj.PJSUA_SIP_TIMER_OPTIONAL)
        config.callConfig.prackUse = settings.get("prack", pj.PJSUA_100REL_OPTIONAL)
        config.mediaConfig.transportConfig.boundAddress = settings["host"]
        config.mediaConfig.transportConfig.publicAddress = settings["host"]
        config.mediaConfig.transportConfig.port = settings["media_port"]
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_DISABLED
        config.natConfig.contactRewriteUse = 0
        if "registrar" in settings:
            config.regConfig.registrarUri = settings["registrar"]
        if "proxy" in settings:
            config.sipConfig.proxies.append(settings["proxy"])
        if "password" in settings:
            user, password = settings["user"], settings["password"]
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, password))
        return config

    # Commands

    def do_call(self, uri, headers=None):
        call = Call(self)
        parameters = pj.CallOpParam(True)
        for name, value in (headers or {}).items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            parameters.txOption.headers.append(header)
        call.makeCall(uri, parameters)
        return {"call": call.number}

    def do_answer(self, call=0, status=200):
        self.calls[call].answer(_status(status))

    def do_hold(self, call=0):
        self.calls[call].setHold(pj.CallOpParam(True))

    def do_unhold(self, call=0):
        self.calls[call].reinvite(_status(0, pj.PJSUA_CALL_UNHOLD))

    def do_reinvite(self, call=0):
        self.calls[call].reinvite(pj.CallOpParam(True))

    def do_update(self, call=0):
        self.calls[call].update(pj.CallOpParam(True))

    def do_press(self, keys, call=0):
        self.calls[call].dialDtmf(keys)

    def do_press_by_info(self, keys, call=0):
        parameters = pj.CallSendDtmfParam()
        parameters.digits, parameters.method = keys, INFO
        self.calls[call].sendDtmf(parameters)

    def do_transfer(self, uri, call=0):
        self.calls[call].xfer(uri, pj.CallOpParam(True))

    def do_transfer_to_call(self, other, call=0):
        self.calls[call].xferReplaces(self.calls[other], pj.CallOpParam(True))

    def do_hang_up(self, call=0):
        self.calls[call].hangup(pj.CallOpParam(True))

    def do_unregister(self):
        self.account.setRegistration(False)

    def run(self):
        commands = queue.SimpleQueue()
        threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
        tell(event="ready")
        while True:
            self.endpoint.libHandleEvents(TURN_MS)
            try:
                line = commands.get_nowait()
            except queue.Empty:
                continue
            if line is None:
                return
            command = json.loads(line)
            identifier, name = command.pop("id"), command.pop("do")
            try:
                tell(id=identifier, **(getattr(self, f"do_{name}")(**command) or {}))
            except Exception as error:  # whatever PJSIP says goes to the test
                tell(id=identifier, error=str(getattr(error, "reason", error)))

    def close(self):
        self.endpoint.hangupAllCalls()
        for _ in range(20):
            self.endpoint.libHandleEvents(TURN_MS)
        while self.calls:  # before the endpoint, which they speak of as they go
            del self.calls[-1]
        self.account.shutdown()
        self.endpoint.libDestroy()


def main():
    phone = Phone(json.loads(sys.stdin.readline()))
    try:
        phone.run()
    finally:
        phone.close()


if __name__ == "__main__":
    main()
