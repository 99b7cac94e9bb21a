"""A real browser for tests: a page of ours in headless Chromium, which asks for rows and tells what it saw. Standard
library only."""

import http.server
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

PAGE = """<!doctype html><meta charset="utf-8"><title>browser check</title><script type="module">
const tell = (path, what) => fetch(path, {method: "POST", body: JSON.stringify(what)});
function filled(n) {
  const start = '{"prompt": "', end = '"}';
  return start + "a".repeat(n - start.length - end.length) + end;
}
function form(n) {
  const bytes = new Uint8Array(n);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
  const out = new FormData();
  out.append("file", new Blob([bytes], {type: "image/png"}), "a.png");
  return out;
}
async function ask(row) {
  let body = row.body ?? undefined;
  if (body?.filled) body = filled(body.filled);
  if (body?.form) body = form(body.form);
  console.log("row: " + row.name);  // in the browser's log, before the reasons
  const started = performance.now();
  const saw = {name: row.name};
  try {
    const answer = await fetch(row.url, {method: row.method, headers: row.headers, body, cache: "no-store",
                                         signal: AbortSignal.timeout(row.limit_ms)});
    saw.status = answer.status;
    saw.headers = Object.fromEntries(answer.headers);
    saw.body = await answer.text();
  } catch (e) {
    saw.error = e.name + ": " + e.message;
  }
  saw.ms = Math.round(performance.now() - started);
  return saw;
}
for (const row of await (await fetch("/rows")).json()) await tell("/saw", await ask(row));
await tell("/done", {agent: navigator.userAgent, origin: location.origin, secure: isSecureContext});
</script>"""


class page_server(http.server.ThreadingHTTPServer):
    """The page, its rows, and what it saw."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host, port, rows):
        super().__init__((host, port), page_handler)
        self.rows, self.saw = rows, queue.Queue()
        self.origin = f"http://{host}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # the browser was killed


class page_handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            self.answer("text/html", PAGE)
        elif self.path == "/rows":
            self.answer("application/json", json.dumps(self.server.rows))
        else:
            self.send_error(404)

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.saw.put((self.path, said))
        self.answer("application/json", "{}")

    def answer(self, kind, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class gate:
    """In front of the relay: passes heads of requests on and answers back; of a body only its first bytes."""

    def __init__(self, to):
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client):
        relay = socket.create_connection(self._to)
        threading.Thread(target=self._back, args=(relay, client), daemon=True).start()
        try:
            seen, passed_on = b"", 0
            while part := client.recv(50_000):
                # A preflight passes whole; of the first POST the head and ten bytes more do.
                seen += part
                found = re.search(rb"POST /[^\r]* HTTP/1.1\r\n.*?\r\n\r\n", seen, re.S)
                upto = min(len(seen), found.end() + 10) if found else len(seen)
                if upto > passed_on:
                    relay.sendall(seen[passed_on:upto])
                    passed_on = upto
        except OSError:
            pass  # the relay, or the browser, ended it
        client.close()
        relay.close()

    @staticmethod
    def _back(relay, client):
        try:
            while part := relay.recv(65536):
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class browser:
    """Headless Chromium with a profile of its own. It ends with the block, with all its processes."""

    FLAGS = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-breakpad",
        # It talks to nobody but this machine.
        "--no-proxy-server", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-default-apps", "--no-pings",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        "--enable-logging=stderr",
    ]

    def __init__(self, program, url, flags=()):
        self._command = [program, *self.FLAGS, *flags]
        self._url = url

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="browser-check-", ignore_cleanup_errors=True)
        self._log = pathlib.Path(self._folder.name, "log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._command, f"--user-data-dir={self._folder.name}/profile", self._url],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"HOME": self._folder.name})
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # Its children are init's now; they are gone in a moment, and then the profile is nobody's.
        for _ in range(100):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        self._folder.cleanup()

    def log(self):
        return self._log.read_text(errors="replace")


def reasons(log):
    """What the browser's log says of each row: CORS refusals stand there, and console messages."""
    out, name = {}, None
    for line in log.splitlines():
        found = re.search(r'CONSOLE:?\(?\d*\)?\] "(.*)", source:', line)
        if not found:
            continue
        if found[1].startswith("row: "):
            name = found[1][5:]
        elif name:
            out.setdefault(name, []).append(found[1])
    return out
