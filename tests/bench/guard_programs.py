"""The programs a measurement runs: an upstream that answers from its configuration, and the relay. Loopback only."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

JOB = (
    '"generation_type":"video","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","model":"ray-2",'
    '"request":{"generation_type":"video","prompt":"A tiger walking in snow","aspect_ratio":"16:9","loop":false,'
    '"keyframes":null,"callback_url":null,"model":"ray-2","resolution":"720p","duration":"5s","concepts":null}'
)

NGINX = """
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    location = /dream-machine/v1/generations {{
      return 201 '{{"id":"$request_id","state":"queued","assets":null,{job}}}';
    }}
  }}
}}
"""

# Polls are put off beyond the run: what is counted is the requests.
RELAY = """
[server]
listen = "127.0.0.1:{port}"
[storage]
path = "{dir}/relay.db"
[admin]
listen = ""
[poll]
interval_ms = 3600000
[log]
file = "{dir}/relay.log"
[[upstream]]
name = "guard"
url = "http://127.0.0.1:{upstream}"
key = "k"
"""


# Each job is held, in its own transaction, from what its account has.
PRICES = """
[[price]]
price = "0.40"
"""


class cannot_measure(Exception):
    """Something outside the relay is missing or failed; the text says what."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(port, path, process, seconds=60):
    """Until a GET is answered with 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n".encode())
            if s.recv(64).startswith(b"HTTP/1.1 2"):
                return
        time.sleep(0.05)
    raise cannot_measure(f"nothing is ready on port {port} after {seconds} s: {' '.join(map(str, process.args))}")


def end(process, pid=None):
    """Ends a child, or with `pid` the program that the child watches, and waits for the child."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or process.pid, 15)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def upstream():
    """Its port."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(NGINX.format(dir=folder, port=port, job=JOB))
        path = os.environ["PATH"] + ":/usr/sbin"
        process = subprocess.Popen(["nginx", "-c", config, "-p", folder], stderr=subprocess.DEVNULL,
                                   env=os.environ | {"PATH": path})
        try:
            wait_until_open(port, process)
            yield port
        finally:
            end(process)


def wait_until_open(port, process):
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise cannot_measure("nginx does not start")


class relay:
    """A relay on a new file; `under` is the command that watches it, in which {dir} is the relay's folder.
    `pid` is the relay's own. `with_prices`: jobs have a price, and the account pays in advance."""

    def __init__(self, bin_dir, upstream_port, under=(), with_prices=False):
        self._folder = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self._folder.name)
        self.port = free_port()
        self._config = self.dir / "relay.toml"
        settings = RELAY.format(dir=self.dir, port=self.port, upstream=upstream_port)
        self._config.write_text(settings + (PRICES if with_prices else ""))
        self._with_prices = with_prices
        self._program = pathlib.Path(bin_dir, "luma-relay").resolve()
        self._under = [word.format(dir=self.dir) for word in under]
        self.pid = None

    def __enter__(self):
        self.token = self._run("token", "create", "--name", "guard").split()[-1]
        if self._with_prices:
            self._run("account", "set", "guard", "--prepaid")
            self._run("account", "topup", "guard", "1000000")
        command = [*self._under, self._program, "serve", "--config", self._config]
        with open(self.dir / "output", "w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_for(self.port, "/readyz", self._process)
        except cannot_measure as why:
            self.__exit__()
            raise cannot_measure(f"{why}\n{self.output}") from None
        self.pid = self._own_pid()
        return self

    def _run(self, *command):
        done = subprocess.run([self._program, *command, "--config", self._config], capture_output=True, text=True)
        if done.returncode:
            raise cannot_measure(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def __exit__(self, *_):
        end(self._process, self.pid or self._own_pid())
        self.output = (self.dir / "output").read_text()[-2000:]
        self._folder.cleanup()

    def _own_pid(self):
        # valgrind becomes the relay; strace is its parent, and would leave it running.
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        found = re.findall(r"\d+", children.read_text()) if children.exists() else []
        return int(found[0]) if found else self._process.pid
