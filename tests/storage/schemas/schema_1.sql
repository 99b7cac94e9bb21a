-- A database of the first release: its schema, a token and a job.
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
PRAGMA user_version=1;
INSERT INTO token(name,digest,hint,created_at) VALUES('a',zeroblob(32),'h',1);
INSERT INTO task VALUES(1,'t-1',1,'luma','generations','luma','LUMA_VIDEO','queued',10,'{}','https://e.x/','up',0,'u-1','{}','',0,1,0,0,0,5,0,9,1,2,0,1,2,3);
