#include "storage/migrations.hpp"

namespace relay {
namespace {

// Times are microseconds since the epoch, 0 when not set; the envelope's whole seconds are made when it is
// rendered. `data` is the upstream's last reply, whole.
constexpr migration table[] = {
    {1, R"sql(
CREATE TABLE token (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL,
  digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint        TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  revoked_at  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX token_name ON token(name) WHERE revoked_at = 0;

CREATE TABLE task (
  id               INTEGER PRIMARY KEY,
  task_id          TEXT    NOT NULL UNIQUE,
  owner            INTEGER NOT NULL REFERENCES token(id),
  dialect          TEXT    NOT NULL,
  endpoint         TEXT    NOT NULL,
  platform         TEXT    NOT NULL,
  action           TEXT    NOT NULL,
  status           TEXT    NOT NULL,
  progress         INTEGER NOT NULL,
  request          TEXT    NOT NULL,
  callback_url     TEXT    NOT NULL,
  upstream         TEXT    NOT NULL,
  pinned           INTEGER NOT NULL,
  upstream_id      TEXT    NOT NULL,
  data             TEXT    NOT NULL,
  fail_reason      TEXT    NOT NULL,
  fail_status      INTEGER NOT NULL,
  attempts         INTEGER NOT NULL,
  misses           INTEGER NOT NULL,
  not_found        INTEGER NOT NULL,
  next_submit_at   INTEGER NOT NULL,
  next_poll_at     INTEGER NOT NULL,
  next_callback_at INTEGER NOT NULL,
  deadline         INTEGER NOT NULL,
  submit_time      INTEGER NOT NULL,
  start_time       INTEGER NOT NULL,
  finish_time      INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  revision         INTEGER NOT NULL
) STRICT;
CREATE INDEX task_owner ON task(owner, id);
CREATE INDEX task_submit ON task(next_submit_at) WHERE next_submit_at > 0;
CREATE INDEX task_poll ON task(next_poll_at) WHERE next_poll_at > 0;
CREATE INDEX task_callback ON task(next_callback_at) WHERE next_callback_at > 0;
CREATE INDEX task_status ON task(status, upstream);
)sql"},
    // Submissions whose outcome is unknown, callbacks to clients, repeated creates.
    {2, R"sql(
ALTER TABLE token ADD COLUMN webhook_secret BLOB NOT NULL DEFAULT x'';
UPDATE token SET webhook_secret = randomblob(32);

ALTER TABLE task ADD COLUMN marker            TEXT    NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN attempted_at      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN ambiguous_at      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN next_reconcile_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN owed              TEXT    NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN callbacks_done    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN callback_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN callback_stopped  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN callback_problem  TEXT    NOT NULL DEFAULT '';
CREATE INDEX task_reconcile ON task(next_reconcile_at) WHERE next_reconcile_at > 0;
DROP INDEX task_poll;
CREATE INDEX task_poll ON task(upstream, next_poll_at) WHERE next_poll_at > 0;

CREATE TABLE claim (
  id         INTEGER PRIMARY KEY,
  owner      INTEGER NOT NULL REFERENCES token(id),
  kind       TEXT    NOT NULL CHECK (kind IN ('key', 'repeat')),
  digest     BLOB    NOT NULL CHECK (length(digest) = 32),
  request    BLOB    NOT NULL CHECK (length(request) = 32),
  task_id    TEXT    NOT NULL,
  repeats    INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX claim_key ON claim(owner, digest) WHERE kind = 'key';
CREATE INDEX claim_repeat ON claim(owner, digest, repeats) WHERE kind = 'repeat';
CREATE INDEX claim_age ON claim(created_at);
)sql"},
    // Words of any family of jobs, ids of attempts, cursors without row numbers.
    {3, R"sql(
ALTER TABLE task RENAME COLUMN action TO envelope_action;
ALTER TABLE task RENAME COLUMN endpoint TO action;
ALTER TABLE task RENAME COLUMN owed TO pending_callbacks;
ALTER TABLE task ADD COLUMN attempt_id TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN submitter  TEXT NOT NULL DEFAULT '';
UPDATE task SET status = 'running' WHERE status = 'dreaming';
UPDATE task SET pending_callbacks = replace(pending_callbacks, 'd', 'r') WHERE next_callback_at > 0;
DROP INDEX task_submit;
CREATE INDEX task_submit ON task(next_submit_at, task_id) WHERE next_submit_at > 0;
DROP INDEX task_reconcile;
CREATE INDEX task_reconcile ON task(next_reconcile_at, task_id) WHERE next_reconcile_at > 0;
DROP INDEX task_callback;
CREATE INDEX task_callback ON task(next_callback_at, task_id) WHERE next_callback_at > 0;

CREATE TABLE idempotency (
  id         INTEGER PRIMARY KEY,
  owner      INTEGER NOT NULL REFERENCES token(id),
  kind       TEXT    NOT NULL CHECK (kind IN ('key', 'retry')),
  digest     BLOB    NOT NULL CHECK (length(digest) = 32),
  request    BLOB    NOT NULL CHECK (length(request) = 32),
  task_id    TEXT    NOT NULL,
  retries    INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
INSERT INTO idempotency SELECT id, owner, CASE kind WHEN 'key' THEN 'key' ELSE 'retry' END, digest, request, task_id, repeats,
  created_at FROM claim;
DROP TABLE claim;
CREATE UNIQUE INDEX idempotency_key ON idempotency(owner, digest) WHERE kind = 'key';
CREATE INDEX idempotency_retry ON idempotency(owner, digest, created_at) WHERE kind = 'retry';
CREATE INDEX idempotency_age ON idempotency(created_at);
)sql"},
    // Proof that a job is not there takes two readings of the list, proof that it is gone takes time. When a
    // process last lived: time in which none did counts against no deadline.
    {4, R"sql(
ALTER TABLE task ADD COLUMN absent_at    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN not_found_at INTEGER NOT NULL DEFAULT 0;

CREATE TABLE process (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  alive_at INTEGER NOT NULL
) STRICT;
)sql"},
    // Whose file it is, and which log belongs to it.
    {5, R"sql(
PRAGMA application_id = 1282764129;
ALTER TABLE process ADD COLUMN database_id TEXT NOT NULL DEFAULT '';
ALTER TABLE process ADD COLUMN log_number INTEGER NOT NULL DEFAULT 0;
INSERT INTO process(id, alive_at) VALUES(1, 0) ON CONFLICT DO NOTHING;
UPDATE process SET database_id = lower(hex(randomblob(16)));
)sql"},
    // What waits is one queue for each customer and place, and its deadlines are one for all. The secret that
    // a token had before its last rotation.
    {6, R"sql(
DROP INDEX task_submit;
CREATE INDEX task_submit ON task(owner, CASE WHEN pinned THEN upstream ELSE '' END, next_submit_at, task_id)
  WHERE next_submit_at > 0;
CREATE INDEX task_expiry ON task(deadline, task_id) WHERE next_submit_at > 0;

ALTER TABLE token ADD COLUMN old_digest  BLOB    NOT NULL DEFAULT x'';
ALTER TABLE token ADD COLUMN old_ends_at INTEGER NOT NULL DEFAULT 0;
)sql"},
    // What waited in a backup that was restored; the time of that backup while its jobs are looked up.
    {7, R"sql(
ALTER TABLE task ADD COLUMN held_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_held ON task(held_at) WHERE held_at > 0;
ALTER TABLE process ADD COLUMN restored_from INTEGER NOT NULL DEFAULT 0;
)sql"},
    // The count of logs once more, so that a page which a power cut left half written is told from a count.
    {8, R"sql(
ALTER TABLE process ADD COLUMN log_check TEXT NOT NULL DEFAULT '';
UPDATE process SET log_check = database_id || ' ' || log_number;
)sql"},
    // Jobs that have not ended have an index that only their beginning and their end change; polls are
    // scheduled in memory. What is cancelled while it is being submitted. Deletions are
    // counted: where pages of a list began is true until the next.
    {9, R"sql(
ALTER TABLE task ADD COLUMN cancelled_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE process ADD COLUMN deletions INTEGER NOT NULL DEFAULT 0;
DROP INDEX task_status;
DROP INDEX task_poll;
CREATE INDEX task_open ON task(id) WHERE finish_time = 0;
CREATE INDEX task_failed ON task(next_poll_at) WHERE status = 'failed';
)sql"},
    // What its client has deleted is on none of its pages.
    {10, R"sql(
ALTER TABLE task ADD COLUMN deleted_at INTEGER NOT NULL DEFAULT 0;
DROP INDEX task_owner;
CREATE INDEX task_owner ON task(owner, id) WHERE deleted_at = 0;
)sql"},
    // And may be deleted at its upstream too.
    {11, R"sql(
ALTER TABLE task ADD COLUMN next_remove_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_remove ON task(next_remove_at, task_id) WHERE next_remove_at > 0;
)sql"},
    // What is known of upstreams, by key: what an operator said, and limits learned from their refusals. The
    // time until which the links of a result work.
    {12, R"sql(
CREATE TABLE upstream (
  name      TEXT    PRIMARY KEY,
  mode      TEXT    NOT NULL,
  at_once   INTEGER NOT NULL,
  in_minute INTEGER NOT NULL
) STRICT;
ALTER TABLE task ADD COLUMN links_until   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN links_lost_at INTEGER NOT NULL DEFAULT 0;
)sql"},
    // Customers are accounts, and tokens belong to them. Each token becomes an account with the same number,
    // so that its jobs are the account's. Of several with one name, one keeps it: the one in force, else the
    // newest; "~" is in no name that was given. Renaming the old table makes all that refers to it refer to
    // `account`. A limit that is NULL is as the configuration says; lists are words with spaces between.
    {13, R"sql(
ALTER TABLE token RENAME TO account;
CREATE TABLE new_account (
  id             INTEGER PRIMARY KEY,
  name           TEXT    NOT NULL UNIQUE,
  note           TEXT    NOT NULL,
  contact        TEXT    NOT NULL,
  enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  webhook_secret BLOB    NOT NULL,
  weight         INTEGER NOT NULL DEFAULT 1,
  actions        TEXT    NOT NULL DEFAULT '',
  pending_limit  INTEGER,
  open_limit     INTEGER,
  creates_per_minute INTEGER,
  requests_per_minute INTEGER,
  batch_limit    INTEGER,
  created_at     INTEGER NOT NULL,
  revision       INTEGER NOT NULL
) STRICT;
INSERT INTO new_account(id, name, note, contact, enabled, webhook_secret, created_at, revision)
  SELECT id,
    CASE row_number() OVER (PARTITION BY name ORDER BY revoked_at = 0 DESC, id DESC) WHEN 1 THEN name
      ELSE name || '~' || id END,
    '', '', revoked_at = 0, webhook_secret, created_at, 1 FROM account;
CREATE TABLE new_token (
  id          INTEGER PRIMARY KEY,
  account     INTEGER NOT NULL REFERENCES account(id),
  name        TEXT    NOT NULL,
  digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint        TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL DEFAULT 0,
  revoked_at  INTEGER NOT NULL DEFAULT 0,
  old_digest  BLOB    NOT NULL DEFAULT x'',
  old_ends_at INTEGER NOT NULL DEFAULT 0,
  addresses   TEXT    NOT NULL DEFAULT '',
  pending_limit INTEGER,
  open_limit    INTEGER,
  creates_per_minute  INTEGER,
  requests_per_minute INTEGER,
  batch_limit   INTEGER
) STRICT;
INSERT INTO new_token(id, account, name, digest, hint, created_at, revoked_at, old_digest, old_ends_at)
  SELECT id, id, name, digest, hint, created_at, revoked_at, old_digest, old_ends_at FROM account;
DROP TABLE account;
ALTER TABLE new_account RENAME TO account;
ALTER TABLE new_token RENAME TO token;
CREATE UNIQUE INDEX token_name ON token(account, name) WHERE revoked_at = 0;
ALTER TABLE task ADD COLUMN token INTEGER NOT NULL DEFAULT 0;
)sql",
     true},
    // What accounts have, and each change of it: rows are added and stay. A job has at most one of a kind.
    // What was done, counted; it stays when jobs are deleted. Amounts are millionths, times microseconds but
    // for those that end in _ms, days counted since 1970-01-01.
    {14, R"sql(
ALTER TABLE account ADD COLUMN models      TEXT    NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN last_used     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN prepaid     INTEGER NOT NULL DEFAULT 0 CHECK (prepaid IN (0, 1));
ALTER TABLE account ADD COLUMN price_group TEXT    NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN balance     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN held        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN price INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';

CREATE TABLE ledger (
  id            INTEGER PRIMARY KEY,
  account       INTEGER NOT NULL REFERENCES account(id),
  kind          TEXT    NOT NULL CHECK (kind IN ('topup', 'hold', 'charge', 'release', 'adjust')),
  amount        INTEGER NOT NULL,
  held          INTEGER NOT NULL,
  cost          INTEGER NOT NULL,
  balance_after INTEGER NOT NULL,
  held_after    INTEGER NOT NULL,
  task_id       TEXT    NOT NULL,
  token         INTEGER NOT NULL,
  upstream      TEXT    NOT NULL,
  upstream_id   TEXT    NOT NULL,
  request_id    TEXT    NOT NULL,
  note          TEXT    NOT NULL,
  made_by       TEXT    NOT NULL,
  created_at    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX ledger_job ON ledger(task_id, kind) WHERE task_id <> '';
CREATE INDEX ledger_account ON ledger(account, id);
CREATE TRIGGER ledger_rows_stay BEFORE DELETE ON ledger BEGIN
  SELECT RAISE(ABORT, 'rows of the ledger are never deleted');
END;
CREATE TRIGGER ledger_rows_are_as_they_were BEFORE UPDATE ON ledger BEGIN
  SELECT RAISE(ABORT, 'rows of the ledger are never changed');
END;

CREATE TABLE usage (
  account  INTEGER NOT NULL REFERENCES account(id),
  day      INTEGER NOT NULL,
  token    INTEGER NOT NULL,
  action   TEXT    NOT NULL,
  model    TEXT    NOT NULL,
  upstream TEXT    NOT NULL,
  outcome  TEXT    NOT NULL CHECK (outcome IN ('completed', 'failed', 'refused')),
  jobs     INTEGER NOT NULL,
  amount   INTEGER NOT NULL,
  cost     INTEGER NOT NULL,
  wait_ms  INTEGER NOT NULL,
  run_ms   INTEGER NOT NULL,
  PRIMARY KEY (account, day, token, action, model, upstream, outcome)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_day ON usage(day);
)sql"},
    // Who may call the admin API, what was changed through it, and what became of a job: a line for each
    // problem.
    {15, R"sql(
CREATE TABLE admin_token (
  id         INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  role       TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'owner')),
  digest     BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint       TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX admin_token_name ON admin_token(name) WHERE revoked_at = 0;

CREATE TABLE audit (
  id              INTEGER PRIMARY KEY,
  made_by         TEXT    NOT NULL,
  operation       TEXT    NOT NULL,
  target          TEXT    NOT NULL,
  before          TEXT    NOT NULL,
  after           TEXT    NOT NULL,
  request_id      TEXT    NOT NULL,
  idempotency_key TEXT    NOT NULL,
  request         BLOB    NOT NULL,
  created_at      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_key ON audit(made_by, idempotency_key) WHERE idempotency_key <> '';
CREATE TRIGGER audit_rows_stay BEFORE DELETE ON audit BEGIN
  SELECT RAISE(ABORT, 'rows of the audit table are never deleted');
END;
CREATE TRIGGER audit_rows_are_as_they_were BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'rows of the audit table are never changed');
END;
CREATE TABLE admin_response (
  audit    INTEGER PRIMARY KEY REFERENCES audit(id),
  status   INTEGER NOT NULL,
  body     TEXT    NOT NULL,
  etag     TEXT    NOT NULL,
  location TEXT    NOT NULL
) STRICT;
ALTER TABLE task ADD COLUMN story TEXT NOT NULL DEFAULT '';
CREATE INDEX task_undelivered ON task(id) WHERE callback_problem <> '';
)sql"}};

}  // namespace

std::span<const migration> migrations() {
  return table;
}

}  // namespace relay
