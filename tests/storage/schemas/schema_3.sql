-- A database of the third release: its schema, and a job in every state.
CREATE TABLE token (
  id          INTEGER PRIMARY KEY,
  name        TEXT    NOT NULL,
  digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  hint        TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  revoked_at  INTEGER NOT NULL DEFAULT 0
, webhook_secret BLOB NOT NULL DEFAULT x'') STRICT;
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
CREATE TABLE task (
  id               INTEGER PRIMARY KEY,
  task_id          TEXT    NOT NULL UNIQUE,
  owner            INTEGER NOT NULL REFERENCES token(id),
  dialect          TEXT    NOT NULL,
  action         TEXT    NOT NULL,
  platform         TEXT    NOT NULL,
  envelope_action           TEXT    NOT NULL,
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
, marker            TEXT    NOT NULL DEFAULT '', attempted_at      INTEGER NOT NULL DEFAULT 0, ambiguous_at      INTEGER NOT NULL DEFAULT 0, next_reconcile_at INTEGER NOT NULL DEFAULT 0, pending_callbacks              TEXT    NOT NULL DEFAULT '', callbacks_done    INTEGER NOT NULL DEFAULT 0, callback_attempts INTEGER NOT NULL DEFAULT 0, callback_stopped  INTEGER NOT NULL DEFAULT 0, callback_problem  TEXT    NOT NULL DEFAULT '', attempt_id TEXT NOT NULL DEFAULT '', submitter  TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "token" VALUES(1,'a',X'0000000000000000000000000000000000000000000000000000000000000000','hint',1,0,X'0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO "task" VALUES(1,'01936e4f-a1b2-7000-8000-000000000001',1,'dream-machine','generations','luma','LUMA_VIDEO','pending',-1,'{"prompt":"job 1"}','https://e.x/hook','',0,'','','',0,0,0,0,1795275219000000,0,0,1795276119000000,1795275219000000,0,0,1795275219000000,1795275219000000,2,'',0,0,0,'',0,0,0,'','','');
INSERT INTO "task" VALUES(2,'01936e4f-a1b2-7000-8000-000000000002',1,'dream-machine','video','luma','LUMA_VIDEO','submitting',-1,'{"prompt":"job 2"}','https://e.x/hook','up',0,'','','',0,1,0,0,0,0,0,1795276119000000,1795275219000000,0,0,1795275219000000,1795275219000000,2,'m2',1795275219000000,0,0,'',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a2','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(3,'01936e4f-a1b2-7000-8000-000000000003',1,'dream-machine','video','luma','LUMA_VIDEO','submitting',-1,'{"prompt":"job 3"}','https://e.x/hook','up',0,'','','',0,1,0,0,0,0,0,1795276119000000,1795275219000000,0,0,1795275219000000,1795275219000000,2,'m3',1795275219000000,1795275219000001,1795275219000002,'',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a3','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(4,'01936e4f-a1b2-7000-8000-000000000004',1,'dream-machine','image','luma','LUMA_IMAGE','queued',-1,'{"prompt":"job 4"}','https://e.x/hook','up',0,'u-4','{"id":"u-4","state":"queued"}','',0,1,0,0,0,1795275219000003,0,1795276119000000,1795275219000000,1795275219000000,0,1795275219000000,1795275219000000,2,'m4',1795275219000000,0,0,'',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a4','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(5,'01936e4f-a1b2-7000-8000-000000000005',1,'dream-machine','generations','luma','LUMA_VIDEO','running',-1,'{"prompt":"job 5"}','https://e.x/hook','up',0,'u-5','{"id":"u-5","state":"queued"}','',0,1,0,0,0,1795275219000004,1795275219000005,1795276119000000,1795275219000000,1795275219000000,0,1795275219000000,1795275219000000,2,'m5',1795275219000000,0,0,'r',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a5','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(6,'01936e4f-a1b2-7000-8000-000000000006',1,'dream-machine','generations','luma','LUMA_VIDEO','completed',-1,'{"prompt":"job 6"}','https://e.x/hook','up',0,'u-6','{"id":"u-6","state":"queued"}','',0,1,0,0,0,0,1795275219000007,1795276119000000,1795275219000000,0,1795275219000006,1795275219000000,1795275219000000,2,'m6',1795275219000000,0,0,'rc',4,0,0,'','01936e4f-a1b2-7000-8000-0000000000a6','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(7,'01936e4f-a1b2-7000-8000-000000000007',1,'dream-machine','generations','luma','LUMA_VIDEO','failed',-1,'{"prompt":"job 7"}','https://e.x/hook','up',0,'u-7','{"id":"u-7","state":"queued"}','no',0,1,0,0,0,0,1795275219000008,1795276119000000,1795275219000000,0,1795275219000006,1795275219000000,1795275219000000,2,'m7',1795275219000000,0,0,'f',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a7','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "task" VALUES(8,'01936e4f-a1b2-7000-8000-000000000008',1,'dream-machine','generations','luma','LUMA_VIDEO','failed',-1,'{"prompt":"job 8"}','https://e.x/hook','up',0,'u-8','{"id":"u-8","state":"queued"}','The job did not end within the time allowed',0,1,0,0,0,1795275219000009,0,1795276119000000,1795275219000000,0,1795275219000006,1795275219000000,1795275219000000,2,'m8',1795275219000000,0,0,'',0,0,0,'','01936e4f-a1b2-7000-8000-0000000000a8','01936e4f-a1b2-7000-8000-0000000000f1');
INSERT INTO "idempotency" VALUES(1,1,'key',X'1111111111111111111111111111111111111111111111111111111111111111',X'2222222222222222222222222222222222222222222222222222222222222222','01936e4f-a1b2-7000-8000-000000000004',0,1795275219000000);
INSERT INTO "idempotency" VALUES(2,1,'retry',X'3333333333333333333333333333333333333333333333333333333333333333',X'3333333333333333333333333333333333333333333333333333333333333333','01936e4f-a1b2-7000-8000-000000000005',1,1795275219000000);
CREATE UNIQUE INDEX token_name ON token(name) WHERE revoked_at = 0;
CREATE INDEX task_owner ON task(owner, id);
CREATE INDEX task_status ON task(status, upstream);
CREATE INDEX task_poll ON task(upstream, next_poll_at) WHERE next_poll_at > 0;
CREATE INDEX task_submit ON task(next_submit_at, task_id) WHERE next_submit_at > 0;
CREATE INDEX task_reconcile ON task(next_reconcile_at, task_id) WHERE next_reconcile_at > 0;
CREATE INDEX task_callback ON task(next_callback_at, task_id) WHERE next_callback_at > 0;
CREATE UNIQUE INDEX idempotency_key ON idempotency(owner, digest) WHERE kind = 'key';
CREATE INDEX idempotency_retry ON idempotency(owner, digest, created_at) WHERE kind = 'retry';
CREATE INDEX idempotency_age ON idempotency(created_at);
PRAGMA user_version=3;
