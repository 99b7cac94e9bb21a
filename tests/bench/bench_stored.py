"""Databases with many ended jobs, each made once in a run. The first jobs are made by the relay itself; a million are
copies of their rows."""

import contextlib
import os
import shutil
import sqlite3

import bench_programs as programs

# An id is a UUID of version 7. A copy keeps the time in it and gets other random bits, so that copies lie in the index
# as if they had been made in the same time.
NEW_ID = (
    "substr(task_id,1,15)||substr(lower(hex(randomblob(2))),1,3)||substr(task_id,19,2)||"
    "substr(lower(hex(randomblob(2))),1,3)||'-'||lower(hex(randomblob(6)))"
)
COPIED_ANEW = {"task_id": NEW_ID, "upstream_id": "lower(hex(randomblob(16)))"}
ROWS_AT_ONCE = 100_000


def make(bin_dir, folder, count):
    """Fills a new database in `folder` with `count` completed jobs."""
    folder.mkdir()
    fast = {
        "poll": {"interval_ms": 500, "concurrency": 256},
        "upstream": {"polls_per_second": 1_000_000},
        "log": {"level": "warn"},
    }
    replies = programs.creates() | programs.polls("completed")
    with contextlib.ExitStack() as running:
        up = running.enter_context(programs.upstream(folder, replies))
        relay = running.enter_context(programs.relay(bin_dir, folder, up.port, fast))
        create = programs.load(bin_dir, folder, [("POST", programs.GENERATIONS, programs.CREATE)], relay.token)
        create.run(relay.port, connections=64, count=count, seconds=programs.LONG)
        all_done = f"{count} jobs are completed"
        programs.wait_until(lambda: relay.tasks("completed") == count, all_done, programs.LONG, 0.5)


def multiply(source, folder, count):
    """A copy of the database in `source`, with `count` jobs."""
    folder.mkdir()
    for name in ("relay.db", "token"):
        shutil.copy(source / name, folder / name)
    with contextlib.closing(sqlite3.connect(folder / "relay.db", isolation_level=None)) as db:
        db.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-500000; PRAGMA foreign_keys=OFF")
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(task)") if name != "id"]
        values = ",".join(COPIED_ANEW.get(name, name) for name in columns)
        (present,) = db.execute("SELECT count(*) FROM task").fetchone()
        originals = present
        while present < count:
            more = min(originals, ROWS_AT_ONCE, count - present)
            db.execute(f"INSERT INTO task({','.join(columns)}) SELECT {values} FROM task ORDER BY id LIMIT ?", (more,))
            present += more
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def ids(folder):
    """Of all jobs, newest first."""
    with contextlib.closing(sqlite3.connect(folder / "relay.db")) as db:
        return [id for (id,) in db.execute("SELECT task_id FROM task ORDER BY id DESC")]


def newest(folder):
    """The id of the newest job."""
    with contextlib.closing(sqlite3.connect(folder / "relay.db")) as db:
        return db.execute("SELECT task_id FROM task ORDER BY id DESC LIMIT 1").fetchone()[0]


def forget_cache(folder):
    """The database is read from the disk next time, as far as this system lets us say so."""
    for file in folder.glob("relay.db*"):
        if not file.is_file():
            continue
        with open(file, "rb+") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with contextlib.suppress(OSError), open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("1")
