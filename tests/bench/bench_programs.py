"""The programs a benchmark runs, each a process of its own on 127.0.0.1: upstream and proxy (nginx), the relay, the
load generator. All are context managers: what was started is ended, whatever happens."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

GENERATIONS = "/dream-machine/v1/generations"
CREATE = (
    '{"prompt":"A tiger walking in snow","model":"ray-2","aspect_ratio":"16:9","loop":false,"resolution":"720p",'
    '"duration":"5s"}'
)
JOB = (
    '"generation_type":"video","failure_reason":null,"created_at":"2025-05-19T13:51:42.302000Z","model":"ray-2",'
    '"request":{"generation_type":"video","prompt":"A tiger walking in snow","aspect_ratio":"16:9","loop":false,'
    '"keyframes":null,"callback_url":null,"model":"ray-2","resolution":"720p","duration":"5s","concepts":null}'
)
ASSETS = (
    '{"video":"https://cdn.example/video.mp4","image":"https://cdn.example/thumb.jpg","progress_video":null}'
)
TICKS = os.sysconf("SC_CLK_TCK")
LONG = 600  # seconds after which a step is given up


class cannot_measure(Exception):
    """A program is missing, does not start, or does what makes the figure worthless; the text says what."""


@contextlib.contextmanager
def folder(parent=None):
    with tempfile.TemporaryDirectory(prefix="relay-bench-", dir=parent) as path:
        yield pathlib.Path(path)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def get(port, path, token="", timeout=60):
    """Status and body."""
    return send(port, "GET", path, token=token, timeout=timeout)


def send(port, method, path, body=None, token="", timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def wait_until(holds, what, seconds=60, pause=0.02, alive=lambda: True):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end or not alive():
            raise cannot_measure(f"{what}: not after {seconds} s" if alive() else f"{what}: the program has ended")
        time.sleep(pause)


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid):
    """User and system time of all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def io_of(pid):
    return {k: int(v) for k, v in re.findall(r"(\w+): (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text())}


def anonymous_memory(pid):
    """Bytes; what is mapped from files is not the connections'."""
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


# --- nginx

NGINX = """
daemon off;
{user}
pid {dir}/nginx.pid;
error_log {dir}/error.log crit;
worker_processes {workers};
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=100;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  default_type application/json;
{http}
}}
"""

# Large responses stay in memory: a temporary file would flatter the relay.
PROXY = """
  proxy_buffers 32 16k;
  proxy_max_temp_file_size 0;
  upstream to {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://to; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
"""


class nginx:
    def __init__(self, parent, port, http, workers=1):
        self.port = port
        self.workers = workers
        self._dir = pathlib.Path(tempfile.mkdtemp(prefix="nginx-", dir=parent))
        # As root its workers would be another user, who may not read the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        self._config = self._dir / "nginx.conf"
        self._config.write_text(NGINX.format(user=user, dir=self._dir, workers=workers, http=http))

    def __enter__(self):
        self._process = subprocess.Popen(["nginx", "-c", self._config, "-p", self._dir, "-e", self._dir / "error.log"])
        try:
            wait_until(self._is_open, "nginx listens", 20, alive=lambda: self._process.poll() is None)
        except BaseException:
            end(self._process)
            raise
        return self

    def __exit__(self, *_):
        end(self._process)

    def _is_open(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return len(self._children()) >= self.workers
        return False

    def _children(self):
        pid = self._process.pid
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def cpu(self):
        return sum(cpu_seconds(pid) for pid in self._children())


def upstream(parent, replies, workers=1, port=None):
    """An nginx that answers from its configuration. `replies`: "METHOD PATH" -> (status, body); a path that ends with /
    is a prefix. In bodies $job is the last part of the path, $request_id a new id."""
    port = port or free_port()
    by_path = {}
    for name, reply in replies.items():
        method, path = name.split()
        by_path.setdefault(path, {})[method] = reply
    locations = [location(parent, path, methods) for path, methods in by_path.items()]
    lines = "\n".join(f"    {line}" for line in locations)
    maps = '  map $uri $job { "~([^/]+)$" $1; }\n'
    return nginx(parent, port, f"{maps}  server {{\n    listen 127.0.0.1:{port} backlog=4096;\n{lines}\n  }}", workers)


def location(parent, path, methods):
    kind = "" if path.endswith("/") else "= "
    answers, others = [], []
    for method, (status, body) in methods.items():
        one, other = answer(parent, status, body)
        answers.append(one if len(methods) == 1 else f"if ($request_method = {method}) {{ {one} }}")
        others.append(other)
    return f"location {kind}{path} {{ {' '.join(answers)} }} {' '.join(others)}"


def answer(parent, status, body):
    """What answers, and a location that it may need."""
    if len(body) < 3500:
        return f"return {status} '{body.replace(chr(39), chr(92) + chr(39))}';", ""
    # A word of the configuration has at most 4,096 bytes, so this is a file. Files refuse POST, hence the error page.
    file = pathlib.Path(tempfile.mkdtemp(prefix="body-", dir=parent), "body")
    file.write_text(body)
    name = f"/{file.parent.name}/body"
    return f"rewrite ^ {name} last;", f"location = {name} {{ root {parent}; error_page 405 =200 {name}; }}"


def creates(state="queued"):
    body = f'{{"id":"$request_id","state":"{state}","assets":null,{JOB}}}'
    return {f"POST {GENERATIONS}": (201, body)}


def polls(state):
    assets = ASSETS if state == "completed" else "null"
    return {f"GET {GENERATIONS}/": (200, f'{{"id":"$job","state":"{state}","assets":{assets},{JOB}}}')}


def proxy(parent, upstream_port):
    port = free_port()
    return nginx(parent, port, PROXY.format(port=port, upstream=upstream_port))


# --- The relay


class relay:
    """`config`: section -> key -> value, added to addresses and paths. The database is in `folder` and stays there: a
    second relay on the same folder finds it."""

    def __init__(self, bin_dir, folder, upstream_port, config=None):
        self._program = pathlib.Path(bin_dir, "luma-relay").resolve()
        self.dir = pathlib.Path(folder)
        self.port, self.admin_port = free_port(), free_port()
        self.database = self.dir / "relay.db"
        self.config = self.dir / "relay.toml"
        sections = {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "storage": {"path": str(self.database)},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "log": {"file": str(self.dir / "relay.log")},
            "poll": {"interval_ms": 3_600_000},  # beyond the run
        }
        up = {"name": "bench", "url": f"http://127.0.0.1:{upstream_port}", "key": "k"}
        for section, values in (config or {}).items():
            (up if section == "upstream" else sections.setdefault(section, {})).update(values)
        lines = [line for name, values in sections.items() for line in (f"[{name}]", *toml(values))]
        self.config.write_text("\n".join([*lines, "[[upstream]]", *toml(up)]) + "\n")

    def __enter__(self):
        self.token = self._token()
        self._output = open(self.dir / "output", "w")
        self._process = subprocess.Popen([self._program, "serve", "--config", self.config], stdout=self._output,
                                         stderr=self._output)
        self.pid = self._process.pid
        try:
            wait_until(self._is_ready, "the relay is ready", LONG, alive=lambda: self._process.poll() is None)
        except BaseException as why:
            self.__exit__()
            if isinstance(why, cannot_measure):
                raise cannot_measure(f"{why}\n{(self.dir / 'output').read_text()[-2000:]}") from None
            raise
        return self

    def __exit__(self, *_):
        end(self._process)
        self._output.close()

    def _token(self):
        kept = self.dir / "token"
        if not kept.exists():
            kept.write_text(self.command("token", "create", "--name", "bench").split()[-1])
        return kept.read_text()

    def command(self, *words):
        done = subprocess.run([self._program, *words, "--config", self.config], capture_output=True, text=True,
                              timeout=LONG)
        if done.returncode:
            raise cannot_measure(f"luma-relay {' '.join(words)}: {done.stderr}")
        return done.stdout

    def _is_ready(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return get(self.port, "/readyz")[0] == 200
        return False

    def cpu(self):
        return cpu_seconds(self.pid)

    def metrics(self):
        status, text = get(self.admin_port, "/metrics")
        if status != 200:
            raise cannot_measure(f"/metrics responds with {status}")
        return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.M)}

    def tasks(self, *states):
        found = self.metrics()
        return sum(int(found.get(f'luma_relay_tasks{{state="{state}"}}', 0)) for state in states)

    def calls(self, call, outcome):
        name = f'luma_relay_upstream_calls_total{{call="{call}",outcome="{outcome}",upstream="bench"}}'
        return int(self.metrics().get(name, 0))


def toml(values):
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


# --- The load generator


class load:
    """bench_load with a list of requests: (method, target, body or "")."""

    def __init__(self, bin_dir, folder, requests, token="", headers=()):
        self._file = pathlib.Path(tempfile.mkdtemp(prefix="load-", dir=folder), "requests")
        self._file.write_text("".join(f"{m} {t} {b}".rstrip() + "\n" for m, t, b in requests))
        self._command = [pathlib.Path(bin_dir, "bench_load").resolve(), "--requests", self._file]
        implied = ["Content-Type: application/json"] if any(b for _, _, b in requests) else []
        implied += [f"Authorization: Bearer {token}"] if token else []
        for header in [*implied, *headers]:
            self._command += ["--header", header]

    def command(self, port, **options):
        words = [*self._command, "--to", f"127.0.0.1:{port}"]
        for name, value in options.items():
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words.append(str(value))
        return words

    def run(self, port, **options):
        """What bench_load says. Anything but 2xx, and any error, ends the measurement."""
        done = subprocess.run(self.command(port, **options), capture_output=True, text=True, timeout=LONG)
        if done.returncode:
            raise cannot_measure(done.stderr.strip())
        said = json.loads(done.stdout)
        if said["non_2xx"] or said["errors"]:
            raise cannot_measure(f"{said['non_2xx']} responses were not 2xx (first: {said['first_non_2xx']}), "
                                 f"{said['errors']} errors (first: {said['first_error'] or 'none'})")
        return said

    @contextlib.contextmanager
    def held(self, port, connections, seconds=LONG):
        """So many idle connections, from when all are open."""
        command = self.command(port, hold=True, connections=connections, seconds=seconds)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if not process.stdout.readline():
                raise cannot_measure(process.stderr.read().strip())
            yield
        finally:
            end(process)


def end_on_signals():
    """SIGTERM ends like SIGINT: through the context managers."""

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
