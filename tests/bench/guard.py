#!/usr/bin/env python3
"""The performance guard: what a request costs, in figures that a busy machine does not change, compared with those
recorded in guard.toml. A figure more than 10 % above its recorded one fails.

Needs valgrind, strace and nginx (Debian 12: valgrind strace nginx-light). Loopback only.
"""

import argparse
import datetime
import os
import pathlib
import platform
import resource
import shutil
import signal
import sys

sys.dont_write_bytecode = True  # the sources stay as they are

import guard_check
import guard_figures as figures
import guard_measure
from guard_programs import cannot_measure, upstream

RECORDS = pathlib.Path(__file__).with_name("guard.toml")
SKIPPED = 77  # as ctest has it
DESCRIPTORS = 4096


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", nargs="?", help="the folder with luma-relay, a release build")
    parser.add_argument("--long", action="store_true", help="more requests, the least of three runs")
    parser.add_argument("--record", metavar="WHY", help="write the least of three runs into guard.toml")
    parser.add_argument("--check-itself", action="store_true", help="only compare made-up figures")
    given = parser.parse_args()
    if not given.bin_dir and not given.check_itself:
        parser.error("the folder with luma-relay is missing")
    if given.record is not None and (not given.record.strip() or given.long):
        parser.error("--record needs a reason, and goes without --long")
    return given


def prepare(bin_dir):
    os.environ["PATH"] += ":/usr/sbin"
    missing = [name for name in ("valgrind", "vgdb", "strace", "nginx") if not shutil.which(name)]
    if missing:
        raise cannot_measure(f"missing: {', '.join(missing)}; apt-get install valgrind strace nginx-light")
    if not pathlib.Path(bin_dir, "luma-relay").is_file():
        raise cannot_measure(f"no luma-relay in {bin_dir}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


class measurements:
    """The least that each figure was measured at: a run that takes a moment longer meets one more periodic task of
    the relay, none meets fewer than it must."""

    def __init__(self, bin_dir, upstream_port, times):
        self._with = (bin_dir, upstream_port, times)
        self._names = {}  # of the figures, by group
        self.least = {}

    def run(self, group):
        found = group(*self._with)
        self._names[group] = set(found)
        for name, number in found.items():
            self.least[name] = min(number, self.least.get(name, number))

    def groups_of(self, names):
        return [group for group, found in self._names.items() if found & names]


def measure(bin_dir, known, rounds, times):
    """All figures. One that looks worse is measured again, twice at most."""
    with upstream() as port:
        all_of_them = measurements(bin_dir, port, times)
        for _ in range(rounds):
            for group in guard_measure.GROUPS:
                all_of_them.run(group)
        for _ in range(2):
            least = all_of_them.least
            worse = {f.name for f in known if f.name in least and f.verdict(least[f.name]) == "worse"}
            for group in all_of_them.groups_of(worse):
                all_of_them.run(group)
        return all_of_them.least


def same_names(known, measured):
    names = {f.name for f in known}
    for name in sorted(names ^ measured.keys()):
        where = "guard.toml has no table for it" if name in measured else "it is in guard.toml, and nothing measures it"
        print(f"{name}: {where}.")
    return names == measured.keys()


def print_table(known, measured):
    print(f"{'figure':<24}{'measured':>10}{'recorded':>10}{'change':>10}{'must':>10}")
    for f in known:
        number = measured[f.name]
        past = " past its must" if f.must is not None and number > f.must else ""
        cells = (figures.shown(number), figures.shown(f.recorded), figures.change(number, f.recorded),
                 figures.shown(f.must))
        print(f"{f.name:<24}" + "".join(f"{cell:>10}" for cell in cells) + past)


def compare(known, measured):
    """The exit code."""
    verdicts = {f: f.verdict(measured[f.name]) for f in known}
    for f, verdict in verdicts.items():
        if verdict == "worse":
            print(f"{f.what}: {figures.shown(measured[f.name])}, more than 10 % above the recorded "
                  f"{figures.shown(f.recorded)}.")
    if "new" in verdicts.values():
        print("A figure has no recorded value yet: guard.py BIN_DIR --record WHY.")
    elif "better" in verdicts.values():
        print("Some figures are better than recorded. To keep them: guard.py BIN_DIR --record WHY.")
    return 1 if {"worse", "new"} & set(verdicts.values()) else 0


def record(text, known, measured, why):
    try:
        RECORDS.write_text(figures.with_recorded(text, known, measured, why, datetime.date.today()))
    except ValueError as refusal:
        print(f"Nothing is recorded.\n{refusal}")
        return 1
    print(f"Recorded in {RECORDS.name}.")
    return 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended
    given = arguments()
    guard_check.check_itself()
    if given.check_itself:
        print("The guard compares and records as it should.")
        return 0
    text = RECORDS.read_text()
    machine, known = figures.load(text)
    if machine != platform.machine():
        print(f"Skipped: the figures were recorded on {machine}, this is {platform.machine()}.")
        return SKIPPED
    try:
        prepare(given.bin_dir)
        # What is recorded is measured in the short form, which it will be compared with.
        recording = given.record is not None
        measured = measure(given.bin_dir, [] if recording else known, rounds=3 if recording or given.long else 1,
                           times=3 if given.long else 1)
    except (cannot_measure, OSError) as why:
        print(f"The guard cannot measure: {why}")
        return 2
    if not same_names(known, measured):
        return 1
    print_table(known, measured)
    return record(text, known, measured, given.record) if recording else compare(known, measured)


if __name__ == "__main__":
    sys.exit(main())
