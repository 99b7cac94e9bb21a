"""What is sent: the same bytes each time, over connections that stay open. Each connection sends its next request when
it has the response to its last, so that as many requests as connections are under way."""

import json
import re
import selectors
import socket

from guard_programs import cannot_measure

CREATE = {"prompt": "A tiger walking in snow", "model": "ray-2", "aspect_ratio": "16:9", "loop": False,
          "resolution": "720p", "duration": "5s"}
GENERATIONS = "/dream-machine/v1/generations"


def request(token, method, target, body=None):
    payload = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    head = (f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: guard\r\nAccept: */*\r\n"
            f"Authorization: Bearer {token}\r\n")
    if payload:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    return head.encode() + b"\r\n" + payload


class connections:
    def __init__(self, port, count):
        self._all = []
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port), timeout=120)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._all.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self._all:
            s.close()

    def send(self, data, requests):
        """Sends at least as many requests as there are connections. The body of the last response."""
        body = b""
        with selectors.DefaultSelector() as ready:
            for s in self._all:
                ready.register(s, selectors.EVENT_READ)
                s.sendall(data)
            unsent, awaited = requests - len(self._all), requests
            while awaited:
                for key, _ in ready.select():
                    body = read_response(key.fileobj)
                    awaited -= 1
                    if unsent > 0:
                        key.fileobj.sendall(data)
                        unsent -= 1
        return body


def read_response(s):
    """A body of known length. Anything but a 2xx ends the run: a refusal is cheaper than what is measured."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += receive(s)
    length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", data[:end])[1])
    while len(data) < end + 4 + length:
        data += receive(s)
    if not data.startswith(b"HTTP/1.1 2"):
        raise cannot_measure(f"the relay refused a request: {data[:300]!r}")
    return data[end + 4:]


def receive(s):
    data = s.recv(1 << 18)
    if not data:
        raise cannot_measure("the relay closed a connection in the middle")
    return data
