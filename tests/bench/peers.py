#!/usr/bin/env python3
"""Measures LiteLLM and Portkey beside nginx and the relay: the same POST to the same upstream, in turn, on 127.0.0.1.

peers.py BIN_DIR. LiteLLM comes from PyPI, Portkey's gateway from npm, both below build/peers; one that cannot be had is
skipped. Both only pass the request through: neither keeps a job, nor polls for it.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the sources stay as they are

import bench_programs as programs
from bench import prepare
from bench_figures import plain
from bench_programs import CREATE, GENERATIONS

BELOW = pathlib.Path(__file__).resolve().parents[2] / "build" / "peers"
LITELLM = "1.108.7"
PORTKEY = "1.15.2"
# With newer ones each request that Portkey passes through ends in 500: its issue 1389.
NODE_SERVER = "1.13.8"


class skipped(Exception):
    """The peer cannot be had; the text says why, in a word or two."""


def install(command, folder, seconds=600):
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise skipped("installing it took too long") from None
    except OSError as why:
        raise skipped(str(why)) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "npm error"))]
        raise skipped(f"not installed: {said[0] if said else 'it does not say why'}")


class peer:
    """A server that is started with `command`, and is ready when it listens."""

    target = GENERATIONS
    headers = ()
    token = ""

    def __init__(self, folder, upstream_port):
        self.dir = folder / type(self).__name__
        self.dir.mkdir()
        self.upstream_port = upstream_port
        self.port = programs.free_port()

    def __enter__(self):
        self._output = open(self.dir / "output", "w")
        environment = os.environ | self.environment() | {"NO_PROXY": "127.0.0.1"}
        self._process = subprocess.Popen(self.command(), cwd=self.dir, env=environment, stdin=subprocess.DEVNULL,
                                         stdout=self._output, stderr=self._output)
        try:
            programs.wait_until(self._is_open, f"{self.name} listens", 120, 0.3,
                                alive=lambda: self._process.poll() is None)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        programs.end(self._process)
        self._output.close()

    def _is_open(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def cpu(self):
        pid = self._process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(programs.cpu_seconds(p) for p in [pid, *children])


class litellm(peer):
    name = f"LiteLLM {LITELLM}"
    lacks = "passes through; nothing is stored or polled, a failure is the client's to repeat"
    token = "sk-bench"

    @staticmethod
    def obtain(below):
        venv = below / "litellm"
        if (venv / "installed").exists():
            return
        install([sys.executable, "-m", "venv", venv], below)
        install([venv / "bin" / "pip", "install", "--quiet", "--retries", "1", f"litellm[proxy]=={LITELLM}"], below)
        (venv / "installed").touch()

    def command(self):
        target = f"http://127.0.0.1:{self.upstream_port}{GENERATIONS}"
        endpoint = {"path": GENERATIONS, "target": target, "headers": {"Authorization": "Bearer k"}}
        general = {"master_key": self.token, "pass_through_endpoints": [endpoint]}
        config = {"model_list": [], "general_settings": general}
        (self.dir / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
        program = self.below / "litellm" / "bin" / "litellm"
        return [program, "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self.port)]

    def environment(self):
        # Its price list comes with it; its log says only what went wrong.
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}


class portkey(peer):
    name = f"Portkey gateway {PORTKEY}"
    lacks = "passes through; nothing is stored or polled, and clients bring the upstream's key"
    token = "k"
    target = f"/v1/proxy{GENERATIONS}"

    @staticmethod
    def obtain(below):
        if not shutil.which("npm"):
            raise skipped("no npm")
        folder = below / "portkey"
        if (folder / "installed").exists():
            return
        folder.mkdir(exist_ok=True)
        package = {"private": True, "dependencies": {"@portkey-ai/gateway": PORTKEY},
                   "overrides": {"@hono/node-server": NODE_SERVER}}
        (folder / "package.json").write_text(json.dumps(package))
        install(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder, 300)
        (folder / "installed").touch()

    @property
    def headers(self):
        return ["x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{self.upstream_port}"]

    def command(self):
        start = self.below / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
        return ["node", start, "--headless", f"--port={self.port}"]

    def environment(self):
        return {"NODE_ENV": "production"}


class candidate:
    """Something that takes the POST: a running server, and a load made for it."""

    def __init__(self, name, server, load, lacks):
        self.name, self.server, self.load, self.lacks = name, server, load, lacks
        self.runs = []

    def run(self, seconds, connections):
        before = self.server.cpu()
        said = self.load.run(self.server.port, connections=connections, seconds=seconds, warm_up=0.5, grace=30)
        said["cpu_us"] = (self.server.cpu() - before) * 1e6 / said["all_requests"]
        self.runs.append(said)
        print(f"{self.name}: {said['per_second']:,.0f}/s, p99 {said['p99_us'] / 1000:.1f} ms, "
              f"{said['cpu_us']:.0f} µs CPU", flush=True)

    def median(self, key):
        return statistics.median(r[key] for r in self.runs)


def candidates(given, folder, running):
    """All that can be had, started. `running` ends them."""
    up = running.enter_context(programs.upstream(folder, programs.creates()))
    proxy = running.enter_context(programs.proxy(folder, up.port))
    (folder / "relay").mkdir()
    relay = running.enter_context(programs.relay(given.bin_dir, folder / "relay", up.port))

    def load(target, token, headers=()):
        return programs.load(given.bin_dir, folder, [("POST", target, CREATE)], token, headers)

    yield candidate("nginx `proxy_pass`", proxy, load(GENERATIONS, "k"), "passes through")
    yield candidate("luma-relay", relay, load(GENERATIONS, relay.token), "two durable commits, then follows the job")
    for kind in (litellm, portkey):
        try:
            kind.below = given.below
            kind.obtain(given.below)
            server = running.enter_context(kind(folder, up.port))
            yield candidate(kind.name, server, load(kind.target, kind.token, server.headers), kind.lacks)
        except (skipped, programs.cannot_measure) as why:
            print(f"{kind.name}: skipped ({why})", flush=True)


def measure(given, all_of_them):
    """Rounds in turn. One that fails is left out from then on."""
    left = list(all_of_them)
    for one in left:  # a first one, not counted: connections, caches, compilers
        one.load.run(one.server.port, connections=given.connections, seconds=1, grace=30)
    for _ in range(given.rounds):
        for one in list(left):
            try:
                one.run(given.seconds, given.connections)
            except programs.cannot_measure as why:
                print(f"{one.name}: FAILED: {why}", flush=True)
                left.remove(one)
    return left


def table(found, relay):
    lines = ["| | POST/s: median (min–max) | p99 | CPU µs/request | the relay is | what it does |",
             "| --- | --- | --- | --- | --- | --- |"]
    for c in found:
        each = [r["per_second"] for r in c.runs]
        times = statistics.median(r["per_second"] / o["per_second"] for r, o in zip(relay.runs, c.runs))
        lines.append(f"| {c.name} | {plain(c.median('per_second'))} ({plain(min(each))}–{plain(max(each))}) "
                     f"| {plain(c.median('p99_us') / 1000)} ms | {plain(c.median('cpu_us'))} "
                     f"| {'' if c is relay else plain(times) + ' ×'} | {c.lacks} |")
    return "\n".join(lines)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", type=pathlib.Path, help="the folder with luma-relay and bench_load")
    parser.add_argument("--seconds", type=float, default=4, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--below", type=pathlib.Path, default=BELOW, help="where the peers are installed")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="write the table there too")
    return parser.parse_args()


def main():
    given = arguments()
    prepare(given.bin_dir)
    programs.end_on_signals()
    given.below.mkdir(parents=True, exist_ok=True)
    given.below = given.below.resolve()
    begin = time.monotonic()
    try:
        with programs.folder() as folder, contextlib.ExitStack() as running:
            found = measure(given, list(candidates(given, folder, running)))
    except KeyboardInterrupt:
        return 130
    relay = next((c for c in found if c.name == "luma-relay"), None)
    if relay is None:
        return 1
    text = (f"{datetime.date.today()}, {os.cpu_count()} cores, c = {given.connections}, {given.rounds} rounds of "
            f"{given.seconds:g} s in turn, one process of each.\n\n{table(found, relay)}\n")
    print(f"\n{text}\nIn {time.monotonic() - begin:.0f} s.")
    if given.markdown:
        given.markdown.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
