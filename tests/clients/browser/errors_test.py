#!/usr/bin/env python3
"""Every kind of error of the relay, as a page of another origin reads it in a real browser (Fetch standard §3.2). Each
group of rows has a relay of its own, with the simulator behind it.

RELAY_BIN=build/release/bin errors_test.py

Exit code 0: every row as expected; 1: not; 77: there is no Chromium here."""

import contextlib
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from browser import browser, gate, page_server, reasons
from rows import ROWS

BIN = pathlib.Path(os.environ.get("RELAY_BIN", "build/release/bin"))
LIMIT = 90  # seconds for a group

# Settings of [server], those of other sections, and whether there is an upstream.
RELAYS = {
    "plain": ("", "", True),
    "narrow": ("body_timeout_ms = 1000\nbody_memory_bytes = 1048576\nmax_body_bytes = 4194304",
               "[assets]\nreceive_timeout_ms = 1000\nmax_bytes_per_account = 65536\nmax_file_bytes = 65536\n"
               "[limits]\ncreates_per_minute_per_account = 2", True),
    "busy": ('when_busy = "reject"\nsubmit_wait_ms = 2000', "[submit]\nretry_ms = 60000\nretry_max_ms = 60000", False),
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def start(stack, *command, says):
    """The program, once it says that it listens."""
    p = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    stack.callback(p.terminate)
    for line in p.stdout:
        if re.search(says, line):
            return
        print(line, end="")
    sys.exit(f"{command[0]} has ended")


def start_relay(stack, kind):
    """Its address, and a token of it."""
    server, others, has_upstream = RELAYS[kind]
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    sim, port = free_port(), free_port()
    config = pathlib.Path(folder, "relay.toml")
    config.write_text(f"""
[server]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
{server}
[storage]
path = "{folder}/relay.db"
[admin]
listen = ""
{others}
[[upstream]]
name = "sim"
url = "http://127.0.0.1:{sim if has_upstream else 1}"
key = "luma-sim-key"
""")
    token = subprocess.run([BIN / "luma-relay", "token", "create", "--name", "page", "--config", config],
                           capture_output=True, text=True, check=True).stdout.strip()
    start(stack, str(BIN / "luma-sim"), "--listen", f"127.0.0.1:{sim}", says="http://")
    start(stack, str(BIN / "luma-relay"), "serve", "--config", str(config), says="listening on")
    return port, token


def verdict(row, saw):
    if saw is None:
        return "not reached"
    if "error" in saw:
        return None if row["status"] == "blocked" and saw["error"].startswith("TypeError") else saw["error"]
    if saw["status"] != row["status"]:
        return f"status {saw['status']}"
    missing = [h for h in row.get("sees", []) if h not in saw["headers"]]
    if "x-request-id" not in saw["headers"]:
        missing.append("x-request-id")
    return f"cannot read {', '.join(missing)}" if missing else None


def check(kind, program):
    """How many rows are not as they should be."""
    with contextlib.ExitStack() as stack:
        port, token = start_relay(stack, kind)
        held_back = gate(("127.0.0.1", port))
        rows = []
        for r in ROWS[kind]:
            base = held_back.base if r.get("gate") else f"http://127.0.0.1:{port}"
            headers = {k: v.replace("{token}", token) for k, v in r["headers"].items()}
            rows.append(r | {"url": base + r["path"], "headers": headers, "limit_ms": 20_000})
        saw, about, log = watch(rows, program)
    failed = 0
    why = reasons(log)
    for r in rows:
        wrong = verdict(r, saw.get(r["name"]))
        if wrong is None:
            continue
        failed += 1
        print(f"FAIL {r['name']}: {wrong}")
        for line in why.get(r["name"], []):
            print("     the browser says: " + line[:400])
    if about is None:
        print(f"the page did not get to its end; the browser's log:\n{log[-3000:]}")
        failed += 1
    print(f"{kind}: {len(rows) - failed} of {len(rows)} rows as they should be")
    return failed


def watch(rows, program):
    """What the page saw of each row, what it says of itself (None: it did not get to its end), the browser's log."""
    server = page_server("127.0.0.1", 0, rows)
    until, saw, about = time.monotonic() + LIMIT, {}, None
    with browser(program, server.origin + "/") as b:
        while about is None and time.monotonic() < until and b.process.poll() is None:
            try:
                path, said = server.saw.get(timeout=0.5)
            except queue.Empty:
                continue
            if path == "/saw":
                saw[said["name"]] = said
            else:
                about = said
        return saw, about, b.log()


def main():
    program = shutil.which("chromium")
    if program is None:
        print("skipped: there is no chromium here; ./dev test installs it")
        return 77
    return 1 if sum(check(kind, program) for kind in RELAYS) else 0


if __name__ == "__main__":
    sys.exit(main())
