"""The program under test: ``sipagent run`` as a process of its own, with settings written for the bench."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence, Set
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from shutil import which
from types import TracebackType
from typing import Self

from sipagent.aio.udp import Address
from sipagent.bench.certificate import Certificate
from sipagent.bench.generator import Target
from sipagent.bench.plan import HOST, MAX_CALLS, PRIORITY, Plan
from sipagent.bench.process import Usage, read_usage
from sipagent.bench.stall import Staller
from sipagent.errors import SipagentError

START_S = 20.0
LOOK_EVERY_S = 0.1
ASK_S = 2.0
STOP_S = 5.0
"""How long the program may take after SIGTERM, with no call left, and again after a second one, before it is killed."""
LOG_LINES = 15
"""How much of its log is shown when it does not start."""

CONFIG = """\
sip: {{listen: ["udp:{host}:{sip_port}"], max_calls: {max_calls}}}
rtp: {{ports: 20000-29999}}
{more}lines: [{{name: bench, agent: bench, codecs: [PCMU]}}]
agents:
  bench:
    engine: bench
    instructions: Talk.
    greeting: Talk.
    turn: {{detection: {detection}, vad: {vad}}}
engines:
  bench: {{url: "{scheme}://{host}:{model_port}/v1/realtime", api_key: bench, without_key: fail, connect_timeout_s: 10}}
control: {{listen: "{host}:{control_port}"}}
log: {{level: info, format: json}}
"""


def write_config(plan: Plan, *, sip_port: int, control_port: int, model_port: int) -> str:
    """Write the settings of the program for a plan."""
    return CONFIG.format(
        host=HOST,
        max_calls=MAX_CALLS,
        sip_port=sip_port,
        control_port=control_port,
        model_port=model_port,
        detection=plan.detection,
        vad=plan.vad,
        scheme="wss" if plan.tls else "ws",
        more="" if plan.workers is None else f"workers: {plan.workers}\n",
    )


class Program:
    """Use it as ``with``: it starts, waits until calls are welcome, and ends it whatever happens.

    :param folder: where its settings and its log are written.
    :param certificate: what it is to trust besides nobody.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        model_port: int,
        folder: Path,
        processors: Set[int],
        certificate: Certificate | None = None,
    ) -> None:
        self.address: Address = (HOST, _free_port(socket.SOCK_DGRAM))
        self._control_port = _free_port(socket.SOCK_STREAM)
        self._processors = processors
        self._is_realtime = plan.is_realtime
        self._stalls = plan.stalls
        self._config = folder / f"bench-{plan.detection}.yaml"
        self._log = folder / f"bench-{plan.detection}.log"
        self._holding = ExitStack()
        self._environment = os.environ | ({"SSL_CERT_FILE": str(certificate.chain)} if certificate else {})
        ports = {"sip_port": self.address[1], "control_port": self._control_port, "model_port": model_port}
        self._config.write_text(write_config(plan, **ports))

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "sipagent", "run", str(self._config)]
        if which("setpriv"):  # of util-linux: when the bench itself is killed, the kernel ends the program
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        staller = self._holding.enter_context(Staller(self._log)) if self._stalls else None
        with ExitStack() as opened:
            log = staller.sink if staller else opened.enter_context(self._log.open("wb"))
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=self._environment
            )
        try:
            os.sched_setaffinity(self._process.pid, self._processors)
            if self._is_realtime:
                self._prefer()
            self._wait_until_ready()
            if staller is not None:
                staller.begin(self._control_port)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def target(self) -> Target:
        """Whom to call."""
        return Target(self.address, host=HOST)

    @property
    def pid(self) -> int:
        """For a profiler."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it lives.

        :raises SipagentError: with the end of its log.
        """
        if self._process.poll() is not None:
            status = self._process.returncode
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise SipagentError(f"the program ended with status {status}; the end of {self._log}:\n{tail}")

    def usage(self, *, with_descriptors: bool = False) -> Usage:
        """What it has taken so far, with all that it started.

        :raises SipagentError: when it is gone.
        """
        self.check()
        return read_usage(self._process.pid, with_descriptors=with_descriptors)

    def counters(self) -> dict[str, float]:
        """What its metrics say now, by their names with labels.

        :raises SipagentError: when it does not answer.
        """
        try:
            status, page = self._ask("/metrics")
        except (OSError, HTTPException) as error:
            raise SipagentError(f"the program's metrics can't be had: {error}") from error
        if status != HTTPStatus.OK:
            raise SipagentError(f"the program's metrics can't be had: {status}")
        pairs = (line.rsplit(" ", 1) for line in page.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def _prefer(self) -> None:
        try:
            os.sched_setscheduler(self._process.pid, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except PermissionError as error:
            raise SipagentError("real-time priority needs root, or the capability SYS_NICE") from error

    def _wait_until_ready(self) -> None:
        for _ in range(round(START_S / LOOK_EVERY_S)):
            try:
                self._process.wait(LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                if self._is_ready():
                    return
            else:
                self.check()
        raise SipagentError(f"the program is not ready after {START_S:g} s; see {self._log}")

    def _is_ready(self) -> bool:
        try:
            return self._ask("/ready")[0] == HTTPStatus.OK
        except (OSError, HTTPException):
            return False

    def _ask(self, page: str) -> tuple[int, str]:
        connection = HTTPConnection(HOST, self._control_port, timeout=ASK_S)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _stop(self) -> None:
        with self._holding:
            self._end()

    def _end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                continue
            return


def _free_port(kind: int) -> int:
    """A port that is free now; nobody else is likely to take it within the second."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str]) -> int:
    """Print settings, for other generators than ours: ``python -m sipagent.bench.program SIP CONTROL MODEL server``."""
    sip, control, model, detection = arguments
    plan = Plan(detection="local" if detection == "local" else "server", vad="energy")
    sys.stdout.write(write_config(plan, sip_port=int(sip), control_port=int(control), model_port=int(model)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
