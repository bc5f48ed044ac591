"""The zygote, forked from a process of its own: one without threads, as it wants to be."""

import subprocess
import sys

from program import ROOT

PROGRAM = """
import os, select, signal, socket
from sipagent.aio.zygote import News, Zygote

secret = object()  # nobody can send it

def work(link, number):
    link.sendall(f"{number} {os.getpid()} {id(secret)}".encode())
    while data := link.recv(100):
        if data == b"die":
            os.abort()
        if data == b"fail":
            raise ZeroDivisionError("a bug")

def news(zygote, count):
    found = []
    while len(found) < count:
        select.select([zygote], [], [], 10)
        found += zygote.receive()
    return found

with Zygote.start(work) as zygote:
    links = [zygote.fork(number) for number in (1, 2, 3)]
    said = [link.recv(100).decode().split() for link in links]
    assert [each[0] for each in said] == ["1", "2", "3"], said
    assert {each[2] for each in said} == {str(id(secret))}
    pids = [int(each[1]) for each in said]
    assert len({*pids, os.getpid(), zygote.pid}) == 5
    assert news(zygote, 3) == [News(number, pid, None) for number, pid in zip((1, 2, 3), pids)]
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as a terminal or a service manager sends them
        for pid in (zygote.pid, *pids):
            os.kill(pid, name)
    os.kill(pids[0], signal.SIGKILL)
    (death,) = news(zygote, 1)
    assert (death.number, death.pid, death.words) == (1, pids[0], "SIGKILL"), death
    assert links[0].recv(100) == b"", "nobody else holds the other end"
    links[1].sendall(b"fail")
    (death,) = news(zygote, 1)
    assert (death.number, death.words) == (2, "exit status 1"), death
    links[1].close()
    links[1] = zygote.fork(2)
    assert links[1].recv(100).split()[0] == b"2"
    links[2].close()
    assert {(each.number, each.words) for each in news(zygote, 2)} == {(2, "born"), (3, "exit status 0")}
    links[0].close()
    links[1].close()
for pid in (zygote.pid, *pids):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        continue
    raise SystemExit(f"{pid} is still there")
zygote.close()
print("done")
"""


def test_it_makes_workers_tells_of_them_and_ends_with_us() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
    assert done.stderr.count("Traceback") == 1, "that of the worker that failed"
    assert "ZeroDivisionError: a bug" in done.stderr


def test_threads_come_too_early() -> None:
    """In this process there may be some of others', so it is one of its own."""
    program = """
import threading
from sipagent.aio.zygote import Zygote
end = threading.Event()
threading.Thread(target=end.wait, name="of the user").start()
try:
    Zygote.start(print)
finally:
    end.set()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "SipagentError: more than one worker can't be made beside threads (of the user)" in done.stderr


ORPHANS = """
import os, signal, socket, sys
from sipagent.aio import zygote

zygote.LEAVE_S = 0.1

def work(link, number):
    link.sendall(str(os.getpid()).encode())
    while True:  # it is stuck, and hears nothing
        signal.pause()

ours = zygote.Zygote.start(work)
link = ours.fork(1)
print(link.recv(100).decode(), ours.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nobody_outlives_us_when_we_are_killed() -> None:
    started = subprocess.Popen([sys.executable, "-c", ORPHANS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    with started.stdout:
        pids = started.stdout.readline().split()
        assert len(pids) == 2
        assert started.stdout.read() == "", "the pipe's end comes when the last of them is gone"
    assert started.wait(10) == -9
