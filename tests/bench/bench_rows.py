"""The measurements, a function for each row of the table. Each starts what it needs, and ends it."""

import contextlib
import json
import random
import statistics
import threading
import time

import bench_programs as programs
from bench_figures import measured, plain
from bench_programs import CREATE, GENERATIONS

LIST = f"{GENERATIONS}?limit=20"


class started:
    """An upstream, and on demand the proxy and relays before it."""

    def __init__(self, b, replies, config=None, folder=None):
        self._b, self._replies, self._config, self._folder = b, replies, config, folder
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        b = self._b
        with contextlib.ExitStack() as stack:
            self.upstream = stack.enter_context(programs.upstream(b.dir, self._replies, b.upstream_workers))
            self.proxy = stack.enter_context(programs.proxy(b.dir, self.upstream.port))
            folder = self._folder or b.new_folder()
            self.relay = stack.enter_context(programs.relay(b.bin_dir, folder, self.upstream.port, self._config))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()


# --- nginx and the relay in turn


def one_run(b, server, upstream, load, **options):
    """What bench_load says, with `cpu_us` of the process under test for each request."""
    before, upstream_before, at = server.cpu(), upstream.cpu(), time.monotonic()
    said = load.run(server.port, seconds=b.seconds, warm_up=b.warm_up, **options)
    said["cpu_us"] = (server.cpu() - before) * 1e6 / said["all_requests"]
    b.saw_upstream((upstream.cpu() - upstream_before) / (time.monotonic() - at))
    return said


def in_turn(b, what, s, load, **options):
    """A list of (nginx, relay), a pair for each round."""
    pairs = []
    for number in range(b.rounds):
        n = one_run(b, s.proxy, s.upstream, load, **options)
        r = one_run(b, s.relay, s.upstream, load, **options)
        pairs.append((n, r))
        b.say(f"{what}, round {number + 1}: nginx {n['per_second']:,.0f}/s p99 {n['p99_us'] / 1000:.2f} ms "
              f"{n['cpu_us']:.0f} µs; relay {r['per_second']:,.0f}/s p99 {r['p99_us'] / 1000:.2f} ms "
              f"{r['cpu_us']:.0f} µs; ratio {r['per_second'] / n['per_second']:.2f}")
    return pairs


def median_of(pairs, which, key):
    return statistics.median(pair[which][key] for pair in pairs)


def ratio(pairs, key="per_second", unit="/s", scale=1):
    values = [r[key] / n[key] for n, r in pairs]
    nginx, relay = (f"{plain(median_of(pairs, which, key) * scale)}{unit}" for which in (0, 1))
    cpu = f"{plain(median_of(pairs, 0, 'cpu_us'))} / {plain(median_of(pairs, 1, 'cpu_us'))}"
    return measured(values, nginx, relay, cpu)


def p99_ratio(pairs):
    return ratio(pairs, "p99_us", " ms", 0.001)


# --- Creates


def create_load(b, token):
    return programs.load(b.bin_dir, b.dir, [("POST", GENERATIONS, CREATE)], token)


# More connections than one address has by default, and as many creates under way to the upstream, which may have three
# quarters of its connections: else a create above them is answered before it is submitted, and the same work is not done.
MANY = {"server": {"max_connections_per_address": 100_000}, "upstream": {"max_connections": 1400}}


def creates_in_turn(b, what, config=None, **options):
    """Pairs of runs of creates. Each must have been submitted, as nginx does: answered alone is half of the work."""
    with started(b, programs.creates(), config) as s:
        load = create_load(b, s.relay.token)
        # Of an upstream that it does not know the relay learns first how many it takes at once.
        learned = load.run(s.relay.port, connections=32, count=20_000)
        pairs = in_turn(b, what, s, load, **options)
        responses = learned["all_requests"] + sum(r["all_requests"] for _, r in pairs)
        waiting = s.relay.tasks("pending", "submitting")
        accepted = s.relay.calls("create", "accepted")
    if waiting > responses * 0.001 or accepted < responses * 0.999:
        raise programs.cannot_measure(f"{what}: of {responses:,} creates {accepted:,} were submitted, {waiting:,} wait")
    return pairs


def post(b):
    for connections in (64, 256, 1000):
        pairs = creates_in_turn(b, f"POST, c = {connections}", MANY, connections=connections)
        b.record(f"post_{connections}", ratio(pairs))
        if connections == 64:
            cpu = [plain(median_of(pairs, which, "cpu_us")) for which in (0, 1)]
            b.record("post_cpu", measured([r["cpu_us"] for _, r in pairs], f"{cpu[0]} µs", f"{cpu[1]} µs"))
        if connections <= 256:
            b.record(f"post_p99_{connections}", p99_ratio(pairs))


def open_loop(b):
    for rate in (500, 2000):
        pairs = creates_in_turn(b, f"POST, open loop {rate}/s", connections=64, rate=rate)
        # The share of a core is the CPU of a request, as often as they come.
        shares = [[pair[which]["cpu_us"] * rate / 1e4 for pair in pairs] for which in (0, 1)]
        shown = [f"{plain(statistics.median(share))} %" for share in shares]
        cpu = " / ".join(plain(median_of(pairs, which, "cpu_us")) for which in (0, 1))
        b.record(f"open_{rate}_cpu", measured(shares[1], *shown, cpu))
        tails = [[pair[which]["p99_9_us"] / 1000 for pair in pairs] for which in (0, 1)]
        both = [f"{plain(statistics.median(tails[which]))} ms (p99 {plain(median_of(pairs, which, 'p99_us') / 1000)})"
                for which in (0, 1)]
        b.record(f"open_{rate}_p999", measured(tails[1], *both))


def disk(b):
    """`wchar` is what files are given: sockets are sent to by other calls."""
    found = {"wchar": [], "write_bytes": [], "syscw": []}
    for number in range(b.rounds):
        with started(b, programs.creates()) as s:
            load = create_load(b, s.relay.token)
            load.run(s.relay.port, connections=64, count=2000)
            before = programs.io_of(s.relay.pid)
            said = load.run(s.relay.port, connections=64, seconds=b.seconds)
            after = programs.io_of(s.relay.pid)
        for name, values in found.items():
            values.append((after[name] - before[name]) / said["all_requests"])
        b.say(f"disk, round {number + 1}: " + ", ".join(f"{n} {plain(v[-1])}" for n, v in found.items()) + " per POST")
    b.record("disk_bytes", measured(found["wchar"]))
    b.record("disk_blocks", measured(found["write_bytes"]))
    b.record("disk_writes", measured(found["syscw"]))


# --- Reads


def reads(b, name, what, folder, requests, connections=64, order="turn"):
    """The same requests to the relay, which answers by itself, and to nginx, whose upstream answers with what the relay
    answered to the first of them."""
    method, target, body = requests[0]
    with programs.relay(b.bin_dir, folder, programs.free_port()) as relay:
        status, text = programs.send(relay.port, method, target, body or None, relay.token)
    if status != 200:
        raise programs.cannot_measure(f"{method} {target} responds with {status}: {text[:200]}")
    path = target.partition("?")[0]
    if len({t for _, t, _ in requests}) > 1:
        path = path.rpartition("/")[0] + "/"
    with started(b, {f"{method} {path}": (200, text)}, folder=folder) as s:
        load = programs.load(b.bin_dir, b.dir, requests, s.relay.token)
        pairs = in_turn(b, f"{what}, {len(text):,} bytes", s, load, connections=connections, order=order)
    b.record(name, ratio(pairs))


def get_recent(b):
    folder = b.stored(300)
    newest = b.ids(300)[0]
    for connections in (64, 256):
        reads(b, f"get_recent_{connections}", f"GET one recent job, c = {connections}", folder,
              [("GET", f"{GENERATIONS}/{newest}", "")], connections)


def get_random(b):
    requests = [("GET", f"{GENERATIONS}/{id}", "") for id in b.ids(b.sizes.stored)]
    reads(b, "get_random", f"GET random of {b.sizes.stored:,}", b.stored(b.sizes.stored), requests, order="random")


def batch(b):
    folder, ids = b.stored(b.sizes.stored), b.ids(b.sizes.stored)

    def request(some):
        return ("POST", "/luma/tasks", json.dumps({"ids": some}, separators=(",", ":")))

    reads(b, "batch_memory", "100 ids in memory", folder, [request(ids[:100])])
    seeded = random.Random(1)
    requests = [request(seeded.sample(ids, 100)) for _ in range(5000)]
    reads(b, "batch_random", f"100 ids random of {b.sizes.stored:,}", folder, requests)


def lists(b):
    folder = b.stored(b.sizes.stored)
    reads(b, "list_first", "list, first page", folder, [("GET", LIST, "")])
    reads(b, "list_far", f"list, offset {b.sizes.offset:,}", folder, [("GET", f"{LIST}&offset={b.sizes.offset}", "")])


# --- A million stored jobs


def million(b):
    folder = b.multiplied(b.sizes.stored, b.sizes.million)
    nowhere = programs.free_port()  # an upstream that nothing needs
    starts = []
    while not starts or (len(starts) < b.rounds and sum(starts) < 20):
        b.forget_cache(folder)
        begin = time.monotonic()
        with programs.relay(b.bin_dir, folder, nowhere):
            starts.append(time.monotonic() - begin)
        b.say(f"{b.sizes.million:,} stored: ready after {starts[-1]:.2f} s with a cold cache")
    b.record("million_start", measured(starts))
    with programs.relay(b.bin_dir, folder, nowhere) as relay:
        if (found := relay.tasks("completed")) != b.sizes.million:
            raise programs.cannot_measure(f"the relay finds {found:,} jobs in a file with {b.sizes.million:,}")
        times = [time_of(lambda: programs.get(relay.admin_port, "/metrics")) * 1000 for _ in range(21)][1:]
        b.say(f"{b.sizes.million:,} stored: /metrics in {min(times):.2f} to {max(times):.2f} ms")
        b.record("million_metrics", measured([statistics.median(times)]))
        million_gets(b, relay, b.newest(folder))


def time_of(act):
    begin = time.monotonic()
    act()
    return time.monotonic() - begin


def million_gets(b, relay, id):
    """GETs at a rate that leaves free time, so that what is seen is what holds them up, not a full machine."""
    load = programs.load(b.bin_dir, b.dir, [("GET", f"{GENERATIONS}/{id}", "")], relay.token)
    run = {"connections": 16, "rate": 1000, "seconds": max(b.seconds, 3), "warm_up": 0.5}
    alone = load.run(relay.port, **run)
    found = []
    for number in range(b.rounds):
        with other_work(b, relay) as done:
            found.append(load.run(relay.port, **run))
        b.say(f"{b.sizes.million:,} stored, round {number + 1}: GET p99 {found[-1]['p99_us'] / 1000:.2f} ms, max "
              f"{found[-1]['max_us'] / 1000:.2f} ms (alone {alone['p99_us'] / 1000:.2f}, "
              f"{alone['max_us'] / 1000:.2f}), beside " + ", ".join(f"{n} {what}" for what, n in done.items()))
    # The worst round counts.
    worst = max(found, key=lambda r: r["p99_us"])
    b.record("million_p99", measured([worst["p99_us"] / 1000], "", f"max {plain(worst['max_us'] / 1000)} ms"))


@contextlib.contextmanager
def other_work(b, relay):
    """Metrics, list pages and operator queries, each in a loop of its own. Yields how often each was done."""
    seeded = random.Random(2)

    def pages():
        programs.get(relay.port, f"{LIST}&offset={seeded.choice((0, 20, 1000, b.sizes.offset))}", relay.token)

    work = {
        "/metrics": (lambda: programs.get(relay.admin_port, "/metrics"), 0.02),
        "list pages": (pages, 0.02),
        "newest jobs": (lambda: relay.command("task", "list", "--limit", "1000"), 0.1),
        "failed jobs": (lambda: relay.command("task", "list", "--state", "failed"), 0.1),
        "running jobs": (lambda: relay.command("task", "list", "--state", "running"), 0.1),
    }
    with in_loops(work) as done:
        yield done


@contextlib.contextmanager
def in_loops(work):
    """Each act in a loop of its own, with a pause. Yields how often each was done."""
    done = dict.fromkeys(work, 0)
    over = threading.Event()

    def loop(what, act, pause):
        while not over.wait(pause):
            with contextlib.suppress(programs.cannot_measure):  # no such task
                act()
            done[what] += 1

    threads = [threading.Thread(target=loop, args=(what, *rest)) for what, rest in work.items()]
    for t in threads:
        t.start()
    try:
        yield done
    finally:
        over.set()
        for t in threads:
            t.join()


# --- A month's usage


def export(b):
    """What an operator exports at the end of a month, while clients read."""
    folder = b.month_of(b.sizes.stored)
    with programs.relay(b.bin_dir, folder, programs.free_port()) as relay:
        admin = relay.command("admin-token", "create", "--name", "bench", "--role", "viewer").strip()
        by = "day,account,token,action,model,upstream,outcome"
        sizes = []

        def usage():
            status, text = programs.get(relay.admin_port, f"/admin/v1/usage?by={by}&format=csv", admin)
            if status != 200:
                raise programs.cannot_measure(f"the export ends with {status}: {text[:200]}")
            sizes.append(text.count("\n") - 1)

        def ledger():
            programs.get(relay.admin_port, "/admin/v1/ledger?limit=1000", admin)

        times = [time_of(usage) * 1000 for _ in range(5)]
        b.say(f"{sizes[-1]:,} rows of usage exported in {min(times):.0f} to {max(times):.0f} ms")
        b.record("export_usage", measured(times, "", f"{sizes[-1]:,} rows"))
        load = programs.load(b.bin_dir, b.dir, [("GET", f"{GENERATIONS}/{b.newest(folder)}", "")], relay.token)
        run = {"connections": 16, "rate": 1000, "seconds": max(b.seconds, 3), "warm_up": 0.5}
        found = []
        for number in range(b.rounds):
            with in_loops({"exports": (usage, 0.01), "pages of the ledger": (ledger, 0.01)}) as done:
                found.append(load.run(relay.port, **run))
            b.say(f"round {number + 1}: GET p99 {found[-1]['p99_us'] / 1000:.2f} ms, max "
                  f"{found[-1]['max_us'] / 1000:.2f} ms, beside " + ", ".join(f"{n} {w}" for w, n in done.items()))
        worst = max(found, key=lambda r: r["p99_us"])
        b.record("export_p99", measured([worst["p99_us"] / 1000], "", f"max {plain(worst['max_us'] / 1000)} ms"))


# --- Open jobs, connections, pending jobs


def open_jobs(b):
    few = polls_of(b, b.sizes.few)
    b.record("open_few_cpu", measured([few["core"] * 100], cpu=f"{few['poll_us']:.0f} a poll"))
    b.record("open_few_polls", measured([few["per_second"]], "", f"each every {few['every']:.1f} s"))
    many = polls_of(b, b.sizes.many)
    b.record("open_many_poll", measured([many["poll_us"]], "", f"{many['core'] * 100:.0f} % of a core"))
    b.record("open_many_polls", measured([many["per_second"]], "", f"each every {many['every']:.1f} s"))


def polls_of(b, jobs):
    """The upstream says that nothing has changed, as it does for nearly all polls of a job that takes minutes."""
    config = {"poll": {"interval_ms": 3000}}
    replies = programs.creates() | programs.polls("queued")
    with started(b, replies, config) as s:
        create_load(b, s.relay.token).run(s.relay.port, connections=64, count=jobs, seconds=programs.LONG)
        programs.wait_until(lambda: s.relay.tasks("queued", "running") == jobs, f"{jobs} jobs are open", 120, 0.2)
        time.sleep(6)  # two intervals
        polls, cpu, begin = s.relay.calls("poll", "ok"), s.relay.cpu(), time.monotonic()
        time.sleep(b.polling_seconds)
        polls, cpu, took = s.relay.calls("poll", "ok") - polls, s.relay.cpu() - cpu, time.monotonic() - begin
    if polls == 0:
        raise programs.cannot_measure("nothing is polled")
    b.say(f"{jobs:,} open jobs: {polls / took:,.0f} polls/s, {cpu / took * 100:.1f} % of a core, "
          f"{cpu / polls * 1e6:.0f} µs a poll, each every {jobs * took / polls:.1f} s")
    return {"core": cpu / took, "poll_us": cpu / polls * 1e6, "per_second": polls / took, "every": jobs * took / polls}


def idle(b):
    folder = b.stored(300)
    values = []
    for number in range(min(b.rounds, 2)):
        with programs.relay(b.bin_dir, folder, programs.free_port(), MANY) as relay:
            load = programs.load(b.bin_dir, b.dir, [("GET", f"{GENERATIONS}/{b.ids(300)[0]}", "")], relay.token)
            with load.held(relay.port, 300):  # what the first ones need is not theirs
                time.sleep(0.5)
                before = programs.anonymous_memory(relay.pid)
                with load.held(relay.port, b.sizes.idle):
                    time.sleep(1)
                    open_now = relay.metrics()["luma_relay_connections"]
                    values.append((programs.anonymous_memory(relay.pid) - before) / b.sizes.idle)
        if open_now < 300 + b.sizes.idle:
            raise programs.cannot_measure(f"{open_now:.0f} connections are open, not {300 + b.sizes.idle}")
        b.say(f"{b.sizes.idle:,} idle connections, round {number + 1}: {values[-1]:,.0f} bytes each")
    b.record("idle", measured(values))


def drain(b):
    """Jobs are created while nothing listens at the upstream's address; then it is there."""
    port = programs.free_port()
    config = {"server": {"submit_wait_ms": 0}, "submit": {"retry_ms": 100, "retry_max_ms": 1000}}
    with contextlib.ExitStack() as running:
        relay = running.enter_context(programs.relay(b.bin_dir, b.new_folder(), port, config))
        create_load(b, relay.token).run(relay.port, connections=64, count=b.sizes.drain, seconds=programs.LONG)
        b.say(f"{relay.tasks('pending', 'submitting'):,} jobs are pending")
        running.enter_context(programs.upstream(b.dir, programs.creates(), b.upstream_workers, port))
        seen, cpu = accepted_over_time(relay, b.sizes.drain)
    # From the last reading before the first was accepted: the cool-down before it is not the drain.
    first = next(i for i, (_, count) in enumerate(seen) if count > 0)
    t0, (t1, n1) = seen[max(first - 1, 0)][0], seen[-1]
    rate = n1 / max(t1 - t0, 1e-3)
    each = cpu / n1 * 1e6
    b.say(f"drain: {n1:,} of {b.sizes.drain:,} submitted in {t1 - t0:.1f} s, {rate:,.0f}/s, {each:.0f} µs each")
    b.record("drain", measured([rate], cpu=plain(each)))


def accepted_over_time(relay, jobs):
    """(time, accepted so far) until all are, or a minute is over (ten for a million); and the CPU it took."""
    cpu, seen = relay.cpu(), []
    end = time.monotonic() + (60 if jobs < 1_000_000 else 600)
    while time.monotonic() < end:
        seen.append((time.monotonic(), relay.calls("create", "accepted")))
        if seen[-1][1] >= jobs:
            break
        time.sleep(0.05)
    if seen[-1][1] == 0:
        raise programs.cannot_measure("no pending job was submitted in time")
    return seen, relay.cpu() - cpu


ROWS = {
    "post": post,
    "open": open_loop,
    "get_recent": get_recent,
    "get_random": get_random,
    "batch": batch,
    "list": lists,
    "disk": disk,
    "million": million,
    "export": export,
    "open_jobs": open_jobs,
    "idle": idle,
    "drain": drain,
}
