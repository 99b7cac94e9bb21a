"""The measurements. Each group starts one relay and returns figures by the names they have in guard.toml."""

import contextlib
import pathlib
import re
import subprocess
import time

from guard_load import CREATE, GENERATIONS, connections, request
from guard_programs import cannot_measure, relay

# What a client of the allocator calls. One of these that calls another, or a function of mimalloc, is counted once.
ALLOCATION = re.compile(r"malloc|calloc|realloc|reallocarray|aligned_alloc|memalign|posix_memalign|valloc|pvalloc|"
                        r"operator new(\[\])?\(.*")
INSIDE_ALLOCATOR = re.compile(r"_?mi_\w+")


def allocations_in(lines):
    """Calls of the allocator in a dump of callgrind, which names a function once and numbers it afterwards."""
    names, caller, callee, total = {}, "", "", 0
    for line in lines:
        if match := re.match(r"(c?)fn=\((\d+)\)(?: (.*))?", line):
            if match[3]:
                names[match[2]] = re.sub(r"'\d+$", "", match[3].strip())
            if match[1]:
                callee = names[match[2]]
            else:
                caller = names[match[2]]
        elif line.startswith("calls=") and ALLOCATION.fullmatch(callee):
            if not ALLOCATION.fullmatch(caller) and not INSIDE_ALLOCATOR.fullmatch(caller):
                total += int(line[6:].split()[0])
    return total


class counter:
    """Callgrind's counts of a running relay, between `zero` and `read`."""

    def __init__(self, watched):
        self._relay = watched
        self._dumps = 0

    def _tell(self, command):
        # The last response is out before the relay has done with it: its access log, its connection.
        time.sleep(0.2)
        done = subprocess.run(["vgdb", f"--pid={self._relay.pid}", f"--vgdb-prefix={self._relay.dir}/vgdb", command],
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise cannot_measure(f"vgdb {command}: {done.stderr}")

    def zero(self):
        self._tell("zero")

    def read(self):
        """Instructions and allocations."""
        self._tell("dump")
        self._dumps += 1
        text = pathlib.Path(self._relay.dir, f"counts.{self._dumps}").read_text()
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1]), allocations_in(text.splitlines())


# Creates that are sent before those that are counted. With an upstream that it does not know the relay is careful: how
# many creates wait then in its queue, which costs a write of each, is a matter of the machine's moment. After so many
# none does, and all connections to the upstream are there.
LEARNING = 2000


def kinds_of(token, ids):
    """Name, connections, requests that are not counted, requests, bytes. The creates come last: they change what the
    others read."""
    create = request(token, "POST", GENERATIONS, CREATE)
    return [
        ("get", 1, 32, 1500, request(token, "GET", f"{GENERATIONS}/{ids[0]}")),
        ("batch", 1, 32, 400, request(token, "POST", "/luma/tasks", {"ids": ids})),
        ("list", 1, 32, 800, request(token, "GET", f"{GENERATIONS}?limit=20")),
        ("post_alone", 1, 32, 600, create),
        ("post", 32, LEARNING, 1600, create),
    ]


def create_hundred(port, token):
    """Their ids, oldest first."""
    with connections(port, 1) as c:
        create = request(token, "POST", GENERATIONS, CREATE)
        return [re.search(rb'"id":"([^"]+)"', c.send(create, 1))[1].decode() for _ in range(100)]


CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file={dir}/counts", "--vgdb-prefix={dir}/vgdb"]


def instructions(bin_dir, upstream_port, times):
    """User instructions and allocations of each kind, without start, stop and first requests."""
    out = {}
    with relay(bin_dir, upstream_port, CALLGRIND) as r:
        count = counter(r)
        ids = create_hundred(r.port, r.token)
        for name, at_once, first, requests, data in kinds_of(r.token, ids):
            requests *= times
            with connections(r.port, at_once) as c:
                c.send(data, first)
                count.zero()
                c.send(data, requests)
                counts = count.read()
            out[f"{name}_instructions"], out[f"{name}_allocations"] = (n / requests for n in counts)
    return out


def priced(bin_dir, upstream_port, times):
    """The same of creates that have a price."""
    with relay(bin_dir, upstream_port, CALLGRIND, with_prices=True) as r:
        count = counter(r)
        create_hundred(r.port, r.token)
        data = request(r.token, "POST", GENERATIONS, CREATE)
        requests = 1600 * times
        with connections(r.port, 32) as c:
            c.send(data, LEARNING)
            count.zero()
            c.send(data, requests)
            counts = count.read()
    names = ("priced_post_instructions", "priced_post_allocations")
    return dict(zip(names, (n / requests for n in counts), strict=True))


def system_calls(bin_dir, upstream_port, times):
    under = ["strace", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o", "{dir}/calls"]
    out = {}
    with relay(bin_dir, upstream_port, under) as r:
        ids = create_hundred(r.port, r.token)
        for name, at_once, first, requests, data in kinds_of(r.token, ids):
            if name in ("batch", "list"):
                continue
            requests *= times
            with connections(r.port, at_once) as c:
                c.send(data, first)
                before = calls_in(r.dir / "calls")
                c.send(data, requests)
                out[f"{name}_calls"] = (calls_in(r.dir / "calls") - before) / requests
    return out


def calls_in(log):
    """A call that another thread interrupts has two lines, of which the second says "resumed"."""
    time.sleep(0.2)
    with open(log, "rb") as lines:
        return sum(1 for line in lines if re.match(rb"\d+ +\w+\(", line))


def bytes_written(bin_dir, upstream_port, times):
    """Bytes given to write(2) and its like, to files: sockets are sent to by other calls. What reaches the disk depends
    on the moments of write-back; with many connections it depends on the disk how many share a commit, so there is
    one."""
    with relay(bin_dir, upstream_port) as r:
        create = request(r.token, "POST", GENERATIONS, CREATE)
        with connections(r.port, 1) as c:
            c.send(create, 300)
            return {"post_alone_bytes": written_during(r.pid, c, create, 2000 * times)}


def written_during(pid, over, data, requests):
    before = written_by(pid)
    over.send(data, requests)
    time.sleep(0.2)
    return (written_by(pid) - before) / requests


def written_by(pid):
    return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{pid}/io").read_text())[1])


def idle_connections(bin_dir, upstream_port, times):
    """The relay's memory for a connection that made one request and stays open; the kernel's is not in it."""
    with relay(bin_dir, upstream_port) as r, contextlib.ExitStack() as held:
        get = request(r.token, "GET", f"{GENERATIONS}/{create_hundred(r.port, r.token)[0]}")

        # One after the other: what many requests at once need is not what idle connections hold.
        def hold(count):
            for _ in range(count):
                held.enter_context(connections(r.port, 1)).send(get, 1)
            time.sleep(0.5)
            return memory_of(r.pid)

        before = hold(300)
        more = 1000 * times
        return {"connection_bytes": (hold(more) - before) / more}


def memory_of(pid):
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


GROUPS = (instructions, priced, system_calls, bytes_written, idle_connections)
