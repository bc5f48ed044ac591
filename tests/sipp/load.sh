#!/usr/bin/env bash
# A second opinion on `sipagent bench capacity`: SIPp's calls, step by step, against `sipagent run` on the bench's model.
#
#     tests/sipp/load.sh [CALLS ...]            (50 100 200 300)
#     HOLD_S=20 TURNS=local tests/sipp/load.sh 100
#
# Of every step is printed how many calls went well, and the processor time of the program for each second of each call,
# from /proc, while all of them talk. SIPp sends sound but does not measure what it receives: for that there is the bench.
# The program has the first processor to itself; SIPp and the model share the others. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
HOLD_S="${HOLD_S:-10}"
TURNS="${TURNS:-server}"
RAMP_S=5
SETTLE_S=3
steps=("$@")
[ $# -gt 0 ] || steps=(50 100 200 300)

command -v sipp >/dev/null || { echo "SIPp is not installed: make tools" >&2; exit 2; }

ours=0 others=0
[ "$(nproc)" -lt 2 ] || others="1-$(($(nproc) - 1))"

folder="$(mktemp -d)"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

free_ports() { # HOW_MANY: ports that nobody has now, for UDP and TCP
    "$PYTHON" - "$1" <<'PYTHON'
import socket, sys
held, ports = [], []
while len(ports) < int(sys.argv[1]):
    tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    held += [tcp, udp]
    tcp.bind(("127.0.0.1", 0))
    try:
        udp.bind(tcp.getsockname())
    except OSError:
        continue
    ports.append(tcp.getsockname()[1])
print(*ports)
PYTHON
}

read -r sip control model sipp sipp_control <<<"$(free_ports 5)"

taskset -c "$others" "$PYTHON" -m sipagent.bench.model "$model" &
pids+=($!)

"$PYTHON" -m sipagent.bench.program "$sip" "$control" "$model" "$TURNS" >"$folder/config.yaml"
taskset -c "$ours" "$PYTHON" -m sipagent run "$folder/config.yaml" >"$folder/program.log" 2>&1 &
program=$!
pids+=("$program")

is_ready() { # asks the control port
    "$PYTHON" - "$control" <<'PYTHON' 2>/dev/null
import sys
from http.client import HTTPConnection
connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=1)
connection.request("GET", "/ready")
sys.exit(connection.getresponse().status != 200)
PYTHON
}
for _ in $(seq 40); do
    is_ready && break
    kill -0 "$program" 2>/dev/null || { tail -n 15 "$folder/program.log" >&2; exit 2; }
    sleep 0.5
done
is_ready || { echo "the program is not ready" >&2; exit 2; }

used() { # the program's processor time so far, in ticks
    sed 's/.*) //' "/proc/$program/stat" | awk '{ print $12 + $13 }'
}

status=0
printf '%8s %8s %8s %16s\n' calls well failed 'µs a call-second'
for calls in "${steps[@]}"; do
    rate=$(((calls + RAMP_S - 1) / RAMP_S))
    stay_s=$((RAMP_S + SETTLE_S + HOLD_S + 2))
    taskset -c "$others" sipp "127.0.0.1:$sip" -sf tests/sipp/load/talk.xml -s load -i 127.0.0.1 -p "$sipp" \
        -ci 127.0.0.1 -cp "$sipp_control" -mi 127.0.0.1 -mp 30000 \
        -m "$calls" -l "$calls" -r "$rate" -d "$((stay_s * 1000))" -nostdin -skip_rlimit \
        -timeout "$((stay_s + RAMP_S + 40))s" -timeout_error \
        -trace_stat -stf "$folder/$calls.csv" -fd 1 -trace_err -error_file "$folder/$calls.errors" >"$folder/$calls.log" 2>&1 &
    load=$!
    pids+=("$load")
    sleep $((RAMP_S + SETTLE_S))
    before=$(used)
    sleep "$HOLD_S"
    after=$(used)
    wait "$load" || true
    [ -e "$folder/$calls.csv" ] || { tail -n 5 "$folder/$calls.log" >&2; exit 2; }
    well=$("$PYTHON" - "$folder/$calls.csv" <<'PYTHON'
import csv, sys
with open(sys.argv[1], newline="") as file:
    print(list(csv.DictReader(file, delimiter=";"))[-1]["SuccessfulCall(C)"])
PYTHON
    )
    printf '%8d %8d %8d %16.0f\n' "$calls" "$well" "$((calls - well))" \
        "$(awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n=$((calls * HOLD_S)) 'BEGIN { print t / hz / n * 1e6 }')"
    if [ "$well" -ne "$calls" ]; then
        status=1
        head -c 500 "$folder/$calls.errors" 2>/dev/null || true
    fi
done
exit "$status"
