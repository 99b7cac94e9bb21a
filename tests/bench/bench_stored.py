"""Databases with many ended jobs, each made once in a run. The first jobs are made by the relay itself; a million are
copies of their rows."""

import contextlib
import os
import shutil
import sqlite3
import time

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


def spread_over_a_month(folder, accounts=200, days=30):
    """Counts and ledger rows of all jobs of the database in `folder`, as of so many accounts and days."""
    today = int(time.time() // 86_400)
    with contextlib.closing(sqlite3.connect(folder / "relay.db", isolation_level=None)) as db:
        db.executescript("PRAGMA synchronous=OFF; PRAGMA foreign_keys=OFF; BEGIN; DELETE FROM usage")
        (jobs,) = db.execute("SELECT count(*) FROM task").fetchone()
        for number in range(accounts):
            db.execute(
                "INSERT INTO account(name,note,contact,enabled,webhook_secret,created_at,revision) "
                "VALUES(?,'','',1,x'00',1,1)",
                (f"customer-{number}",),
            )
        first = db.execute("SELECT max(id) FROM account").fetchone()[0] - accounts + 1
        kinds = [
            (action, model, outcome)
            for action, model in (("video", "ray-2"), ("image", "photon-1"))
            for outcome in ("completed", "failed")
        ]
        rows = accounts * days * len(kinds)
        db.executemany(
            "INSERT INTO usage(account,day,token,action,model,upstream,outcome,jobs,amount,cost,wait_ms,run_ms) "
            "VALUES(?,?,?,?,?,'luma',?,?,400000,100000,900,60000)",
            (
                (first + account, today - day, account, action, model, outcome, max(1, jobs // rows))
                for account in range(accounts)
                for day in range(days)
                for action, model, outcome in kinds
            ),
        )
        for kind, amount, held in (("hold", 0, 400_000), ("charge", -400_000, -400_000)):
            db.execute(
                "INSERT INTO ledger(account,kind,amount,held,cost,balance_after,held_after,task_id,token,upstream,"
                "upstream_id,request_id,note,made_by,created_at) SELECT ?+id%?,?,?,?,0,0,0,task_id,0,'luma',"
                "upstream_id,'','','',created_at FROM task",
                (first, accounts, kind, amount, held),
            )
        db.execute("COMMIT")
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
