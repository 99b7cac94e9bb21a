#!/usr/bin/env python3
"""Checks bench_load against servers whose behaviour is known, and against wrk where that is installed.
load_check.py BENCH_LOAD. Loopback only, about 15 s."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # the sources stay as they are

import bench_programs as programs


class scripted_server:
    """Answers request number n of a connection with the pieces that `script(n)` yields: bytes are sent, numbers are
    seconds to wait, None closes the connection."""

    def __init__(self, script):
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            number = 0
            while connection.recv(65536):
                for piece in self._script(number):
                    if piece is None:
                        return
                    if isinstance(piece, bytes):
                        connection.sendall(piece)
                    else:
                        time.sleep(piece)
                number += 1


def response(body, status=200):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n"


class checks:
    def __init__(self, program, folder):
        self._program = program
        self._file = pathlib.Path(folder, "requests")
        self._file.write_text("GET /one\nPOST /two {\"a\": 1}\n")
        self.failed = False

    def load(self, port, **options):
        command = [self._program, "--to", f"127.0.0.1:{port}", "--requests", self._file]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def that(self, what, holds, seen):
        print(f"{'ok  ' if holds else 'FAIL'} {what}: {seen}")
        self.failed |= not holds

    def statuses(self):
        server = scripted_server(lambda n: [response("x", 503 if n % 5 == 4 else 200)])
        r = self.load(server.port, connections=1, count=100)
        self.that("every fifth response is 503", r["non_2xx"] == 20 and r["first_non_2xx"] == 503, r["status"])

    def split_chunks(self):
        pieces = [CHUNKED[i:i + 7] for i in range(0, len(CHUNKED), 7)]
        slow = [p for piece in pieces for p in (piece, 0.001)]
        server = scripted_server(lambda n: slow if n % 2 else [b"HTTP/1.1 100 Continue\r\n\r\n", CHUNKED])
        r = self.load(server.port, connections=2, count=40)
        self.that("chunks, whole and in pieces of 7 bytes, after 100", r["status"]["2xx"] == 40 and not r["errors"],
                  (r["status"]["2xx"], r["errors"], r["first_error"]))

    def cut_connections(self):
        cut = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", None]
        server = scripted_server(lambda n: cut if n == 9 else [response("x")])
        r = self.load(server.port, connections=1, count=100)
        self.that("the tenth response of each connection is cut", r["errors"] == 10 and r["all_requests"] == 90,
                  (r["errors"], r["first_error"]))

    def garbage(self):
        server = scripted_server(lambda n: [response("x") + b"more"] if n == 4 else [response("x")])
        r = self.load(server.port, connections=1, count=20)
        self.that("bytes after a response are an error", r["errors"] == 4, (r["errors"], r["first_error"]))

    def delay(self):
        server = scripted_server(lambda n: [0.02, response("x")])
        r = self.load(server.port, connections=4, seconds=1, warm_up=0.1)
        self.that("20 ms delay, 4 connections: about 195/s", 150 < r["per_second"] <= 200, r["per_second"])
        self.that("20 ms delay: median", 20_000 <= r["p50_us"] < 23_000, f"{r['p50_us']} us")

    def stall(self):
        stalled = threading.Event()

        def script(n):
            if n == 100 and not stalled.is_set():
                stalled.set()
                yield 0.5
            yield response("x")

        server = scripted_server(script)
        r = self.load(server.port, connections=1, seconds=2, rate=200)
        # 100 of 400 requests were planned during the stall: a quarter waited, evenly from 0 to 500 ms.
        self.that("a stall of 500 ms at 200/s: all arrivals wait",
                  r["timed"] == 400 and 470_000 < r["p99_us"] < 530_000, f"{r['timed']} timed, p99 {r['p99_us']} us")
        self.that("the median is not touched", r["p50_us"] < 5_000, f"{r['p50_us']} us")

    def unanswered(self):
        server = scripted_server(lambda n: [response("x")] if n < 50 else [30])
        r = self.load(server.port, connections=1, seconds=1, rate=100, grace=0.5)
        self.that("a server that falls silent: 50 errors", r["errors"] == 50 and r["max_us"] > 900_000,
                  (r["errors"], r["first_error"], r["max_us"]))

    def like_wrk(self):
        if not shutil.which("wrk"):
            print("skipped: wrk is not installed")
            return
        with programs.folder() as here, programs.upstream(here, {"GET /": (200, "x" * 500)}) as server:
            ours, theirs = [], []
            for _ in range(3):
                ours.append(self.load(server.port, connections=64, seconds=1, warm_up=0.2)["per_second"])
                done = subprocess.run(["wrk", "-t1", "-c64", "-d1s", f"http://127.0.0.1:{server.port}/one"],
                                      capture_output=True, text=True, timeout=60, check=True)
                theirs.append(float(re.search(r"Requests/sec: +([\d.]+)", done.stdout)[1]))
        ratio = sorted(ours)[1] / sorted(theirs)[1]
        self.that("throughput as wrk's or better", ratio > 0.85,
                  f"{sorted(ours)[1]:.0f}/s, wrk {sorted(theirs)[1]:.0f}/s")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.environ["PATH"] += ":/usr/sbin"
    with tempfile.TemporaryDirectory() as folder:
        check = checks(pathlib.Path(sys.argv[1]).resolve(), folder)
        for one in (check.statuses, check.split_chunks, check.cut_connections, check.garbage, check.delay, check.stall,
                    check.unanswered, check.like_wrk):
            one()
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
