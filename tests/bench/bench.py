#!/usr/bin/env python3
"""Measures the relay against nginx proxy_pass, and by itself, on 127.0.0.1: one table, with what each figure must be.

Upstream, proxy, relay and load generator are processes of their own. Rounds alternate between nginx and the relay; a
ratio is of two neighbours. Anything but 2xx, or an error, fails the row. Needs nginx (Debian: nginx-light) and Python
3.11; BIN_DIR has luma-relay and bench_load, release builds.
"""

import argparse
import dataclasses
import datetime
import os
import pathlib
import platform
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the sources stay as they are

import bench_figures
import bench_programs as programs
import bench_stored
from bench_rows import ROWS

DESCRIPTORS = 16_384


@dataclasses.dataclass(frozen=True)
class sizes:
    stored: int = 100_000
    million: int = 1_000_000
    few: int = 10_000  # open jobs
    many: int = 100_000
    idle: int = 5000
    drain: int = 20_000

    @property
    def offset(self):
        return self.stored // 2

    def shown(self):
        return {name: f"{value:,}" for name, value in dataclasses.asdict(self).items()} | {"offset": str(self.offset)}


QUICK = sizes(stored=20_000, million=100_000, many=20_000, drain=5000)


class bench:
    """What the rows share: where programs and files are, how long and how often, and what was found."""

    def __init__(self, given, folder):
        self.bin_dir, self.dir = given.bin_dir, folder
        self.sizes = QUICK if given.quick else sizes(drain=1_000_000) if given.long else sizes()
        self.seconds = given.seconds or (1.5 if given.quick else 4)
        self.rounds = given.rounds or (2 if given.quick else 3)
        self.warm_up = 0.3 if given.quick else 0.5
        self.polling_seconds = 4 if given.quick else 9
        self.upstream_workers = given.upstream_workers
        self.upstream_peak = 0
        self.found, self.failed = {}, {}
        self._made, self._ids = {}, {}
        self._folders = 0

    def say(self, text):
        print(text, flush=True)

    def record(self, name, what):
        self.found[name] = what

    def saw_upstream(self, share):
        self.upstream_peak = max(self.upstream_peak, share)

    def new_folder(self):
        self._folders += 1
        folder = self.dir / f"relay-{self._folders}"
        folder.mkdir()
        return folder

    def stored(self, count):
        """The folder of a database with so many completed jobs."""
        folder = self.dir / f"stored-{count}"
        if count not in self._made:
            begin = time.monotonic()
            bench_stored.make(self.bin_dir, folder, count)
            self._made[count] = folder
            self.say(f"{count:,} jobs made and completed in {time.monotonic() - begin:.0f} s")
        return folder

    def multiplied(self, count, to):
        folder, source = self.dir / f"stored-{to}", self.stored(count)
        if to not in self._made:
            begin = time.monotonic()
            bench_stored.multiply(source, folder, to)
            self._made[to] = folder
            size = (folder / "relay.db").stat().st_size
            self.say(f"{to:,} jobs, {size / 1e6:,.0f} MB, by copies in {time.monotonic() - begin:.0f} s")
        return folder

    def month_of(self, count):
        folder, source = self.dir / f"month-{count}", self.stored(count)
        if folder not in self._made:
            bench_stored.multiply(source, folder, count)
            bench_stored.spread_over_a_month(folder)
            self._made[folder] = folder
        return folder

    def ids(self, count):
        if count not in self._ids:
            self._ids[count] = bench_stored.ids(self.stored(count))
        return self._ids[count]

    def newest(self, folder):
        return bench_stored.newest(folder)

    def forget_cache(self, folder):
        bench_stored.forget_cache(folder)

    def run(self, name):
        begin = time.monotonic()
        try:
            ROWS[name](self)
        except (programs.cannot_measure, subprocess.TimeoutExpired, OSError) as why:
            self.failed[name] = str(why)
            self.say(f"{name} FAILED: {why}")
        self.say(f"({name}: {time.monotonic() - begin:.0f} s)")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", type=pathlib.Path, help="the folder with luma-relay and bench_load")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of: " + ", ".join(ROWS))
    parser.add_argument("--seconds", type=float, help="of each run")
    parser.add_argument("--rounds", type=int, help="of each row that alternates")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="smaller, about 3 minutes; no figures to quote")
    length.add_argument("--long", action="store_true", help="a million pending jobs instead of 20,000")
    parser.add_argument("--upstream-workers", type=int, default=1, help="if one would be the limit")
    parser.add_argument("--folder", type=pathlib.Path, help="where databases are made, on a real disk (3 GB)")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="write the table there too")
    given = parser.parse_args()
    given.rows = given.rows.split(",")
    if unknown := [row for row in given.rows if row not in ROWS]:
        parser.error(f"no such row: {', '.join(unknown)}")
    return given


def prepare(bin_dir):
    os.environ["PATH"] += ":/usr/sbin"
    for name in ("luma-relay", "bench_load"):
        if not (bin_dir / name).is_file():
            sys.exit(f"There is no {name} in {bin_dir}.")
    if not shutil.which("nginx"):
        sys.exit("nginx is missing: apt-get install nginx-light")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def machine(b):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.split("/")[-1].strip()
    relay = subprocess.run([b.bin_dir / "luma-relay", "version"], capture_output=True, text=True).stdout.strip()
    return (f"{datetime.date.today()}, {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
            f"Linux {platform.release()}, nginx {nginx}, {relay}, SQLite {sqlite3.sqlite_version}; "
            f"{b.rounds} rounds of {b.seconds:g} s. Workers of nginx: 1 as proxy, {b.upstream_workers} as upstream, "
            f"which took at most {b.upstream_peak * 100:.0f} % of a core.")


def report(b):
    lines = [machine(b), "", bench_figures.table(b.found, b.sizes.shown())]
    lines += [f"\n{name}: failed. {why.splitlines()[0]}" for name, why in b.failed.items()]
    return "\n".join(lines) + "\n"


def main():
    given = arguments()
    prepare(given.bin_dir)
    programs.end_on_signals()
    begin = time.monotonic()
    with programs.folder(given.folder) as folder:
        b = bench(given, folder)
        try:
            for row in given.rows:
                b.run(row)
        except KeyboardInterrupt:
            b.say("Ended by a signal.")
            return 130
    text = report(b)
    print(f"\n{text}\nIn {time.monotonic() - begin:.0f} s.")
    if given.markdown:
        given.markdown.write_text(text)
    return 1 if b.failed else 0


if __name__ == "__main__":
    sys.exit(main())
