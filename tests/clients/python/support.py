"""What the client tests share: a relay and a simulator as programs, with a token."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import urllib.request

BIN = pathlib.Path(os.environ.get("RELAY_BIN", "build/release/bin")).resolve()


class pair:
    """A relay with the simulator as its upstream. Both end with the block."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._running = []
        self.simulator = self._start("luma-sim", ["--listen", "127.0.0.1:0", "--step-per-poll"],
                                     r"(http://127\.0\.0\.1:\d+)")
        config = pathlib.Path(self._folder.name, "relay.toml")
        config.write_text(f"""
[server]
listen = "127.0.0.1:0"
[storage]
path = "{self._folder.name}/relay.db"
[admin]
listen = ""
[poll]
interval_ms = 20
[[upstream]]
name = "sim"
url = "{self.simulator}/dream-machine/v1"
key = "luma-sim-key"
""")
        made = subprocess.run([BIN / "luma-relay", "token", "create", "--name", "client", "--config", config],
                              check=True, capture_output=True, text=True)
        self.token = made.stdout.strip()
        port = self._start("luma-relay", ["serve", "--config", config], r"listening on 127\.0\.0\.1:(\d+)")
        self.base = f"http://127.0.0.1:{port}/dream-machine/v1"
        return self

    def __exit__(self, *_):
        for process in reversed(self._running):
            process.terminate()
            process.wait(30)
            process.stdout.close()
        self._folder.cleanup()

    def log(self):
        """What the simulator was sent."""
        with urllib.request.urlopen(f"{self.simulator}/_sim/log", timeout=20) as answer:
            return json.load(answer)

    def _start(self, program, arguments, pattern):
        process = subprocess.Popen([BIN / program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True)
        self._running.append(process)
        seen = ""
        for line in process.stdout:
            seen += line
            if found := re.search(pattern, seen):
                # What comes later is read too, so that the program does not wait for its reader.
                threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
                return found[1]
        raise RuntimeError(f"{program} ended: {seen}")
