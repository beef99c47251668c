-- Executors, and the rescue of jobs whose executor is gone. Locks: none to install (new tables only).

CREATE TABLE powertools.executors (
  -- one start of one producer in one process, such as app:oban:default:node-a:0b5c...
  executor_id text PRIMARY KEY,
  -- what jobs carry in attempted_by
  node text NOT NULL,
  producer text NOT NULL,
  -- the queue, for a producer of Oban's
  producer_scope text NOT NULL,
  started_at timestamptz NOT NULL,
  -- the process was alive; its event loop answered
  beat_at timestamptz NOT NULL,
  loop_beat_at timestamptz NOT NULL,
  -- since when there was no gap between beats
  beating_since timestamptz NOT NULL,
  -- what it promises: it beats well within this time, or it is gone
  gone_after interval NOT NULL,
  -- from these ages of its last beat people see it as late, and as missing
  late_after interval NOT NULL DEFAULT '45 s',
  missing_after interval NOT NULL DEFAULT '2 min',
  -- the shared settings that its process was started with: name -> value, as in powertools.settings
  started_with jsonb NOT NULL DEFAULT '{}',
  -- how many outcomes it holds because the database does not take them now, and since when the oldest; 0 and NULL: none
  aside int NOT NULL DEFAULT 0,
  aside_since timestamptz,
  stopped_at timestamptz,
  -- it stopped because its process ended, though nobody had asked it to
  abrupt bool NOT NULL DEFAULT false,
  -- its process as its own host knows it (lifeline/processes.py), and the server's process of the session that beats;
  -- NULL: it does not say
  host text,
  pid int,
  ticks bigint,
  session_pid int,
  -- its process was seen to have ended, by which executor's process
  died_at timestamptz,
  died_seen_by text,
  -- since when it is known to be missing, so that a restart of the server makes it no healthier
  missing_at timestamptz,
  -- its state in executor_health_v1 as it was last told
  told_as text NOT NULL DEFAULT 'healthy',
  -- what its hung tasks, and its blocked event loop, are doing: [{"job_id", "stack": [line], "blocks_loop"}]; NULL: none
  stacks jsonb,
  -- since it is gone, no executing job was found any more that it had in hand
  relieved_at timestamptz,
  CONSTRAINT executor_process CHECK (num_nonnulls(host, pid, ticks) IN (0, 3)),
  CONSTRAINT executor_died CHECK ((died_at IS NULL) = (died_seen_by IS NULL)),
  CONSTRAINT executor_named CHECK (executor_id <> '' AND producer <> ''),
  CONSTRAINT executor_gone_after CHECK (gone_after > interval '0'),
  CONSTRAINT executor_late_after CHECK (interval '0' < late_after AND late_after <= missing_after),
  CONSTRAINT executor_aside CHECK (aside >= 0 AND (aside = 0) = (aside_since IS NULL))
) WITH (fillfactor = 50);  -- no index on what a beat changes: beats stay heap-only

CREATE TABLE powertools.rescues (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint NOT NULL,
  -- a snooze takes an attempt's number back: which one it was, attempted_at tells
  attempt int NOT NULL,
  attempted_at timestamptz NOT NULL,
  -- NULL: not one that we know
  executor_id text,
  attempted_by text[] NOT NULL,
  why text NOT NULL,
  action text NOT NULL,
  -- on how many executors that died this job was running, since it was last let out of quarantine
  crashes int NOT NULL,
  queue text NOT NULL,
  worker text NOT NULL,
  workflow_id bigint,
  position int,
  CONSTRAINT rescue_why CHECK (why IN ('gone', 'ended', 'stopped', 'unknown', 'lost')),
  CONSTRAINT rescue_action CHECK (action IN ('retried', 'isolated', 'quarantined', 'discarded', 'left'))
);

CREATE INDEX rescues_job ON powertools.rescues (job_id, attempted_at);

-- What an attempt came to that had been taken from its executor before.
CREATE TABLE powertools.late_results (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint NOT NULL,
  attempt int NOT NULL,
  attempted_at timestamptz NOT NULL,
  attempted_by text[] NOT NULL,
  -- what its worker made of it: {"json": value} and so on, as in settle_faults
  state text NOT NULL,
  result jsonb,
  error jsonb,
  queue text NOT NULL,
  worker text NOT NULL,
  workflow_id bigint,
  position int,
  adopted_at timestamptz,
  dismissed_at timestamptz,
  decided_by text,
  CONSTRAINT late_result_once UNIQUE (job_id, attempted_at),
  CONSTRAINT late_result_decided CHECK (
    num_nonnulls(adopted_at, dismissed_at) = (decided_by IS NOT NULL)::int
  )
);

CREATE INDEX late_results_open ON powertools.late_results (id) WHERE adopted_at IS NULL AND dismissed_at IS NULL;

-- An executing job, locked by the caller, that nobody works on.
CREATE TYPE powertools.orphan AS (job_id bigint, executor_id text, why text);
