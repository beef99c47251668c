-- What a runner of tests asks a database, in a schema of its own that no application has. Made anew wherever a runner
-- is opened on a database that lacks it; a test's database gets it with its template.

CREATE SCHEMA IF NOT EXISTS powertools_testing;

-- What is now, in one question: queues with a job that may run (of them staged says whether one is scheduled until now,
-- so that it is to be made available first), how long until something is due (NULL when nothing ever is; overdue things
-- count as due now), and whether a run has got where it was to get: its workflow and what that nests have ended, with
-- their on_finished jobs, or the step has begun: its job ran or may run, its wait waits. In PL/pgSQL, which plans it once.
CREATE OR REPLACE FUNCTION powertools_testing.moment(
  workflow_id bigint, step text, OUT queues text[], OUT staged bool, OUT due_in interval, OUT reached bool
)
LANGUAGE plpgsql
AS $$
DECLARE
  now_at CONSTANT timestamptz := clock_timestamp();
  next_at timestamptz;
BEGIN
  SELECT
    coalesce(array_agg(DISTINCT j.queue ORDER BY j.queue) FILTER (WHERE j.state = 'available' OR j.scheduled_at <= timezone('UTC', now_at)), '{}'),
    coalesce(bool_or(j.state <> 'available' AND j.scheduled_at <= timezone('UTC', now_at)), false),
    min(j.scheduled_at) FILTER (WHERE j.state <> 'available') AT TIME ZONE 'UTC'
  INTO queues, staged, next_at
  FROM public.oban_jobs j
  WHERE j.state IN ('available', 'scheduled', 'retryable') AND j.attempt < j.max_attempts;

  next_at := least(
    next_at,
    (SELECT min(w.deadline_at) FROM powertools.waits w WHERE w.state = 'waiting'),
    (SELECT min(w.expires_at) FROM powertools.workflows w WHERE w.state = 'running'),
    (SELECT min(s.held_until) FROM powertools.steps s),
    (SELECT min(f.last_fault_at) + make_interval(secs => 62) FROM powertools.settle_faults f WHERE f.repaired_at IS NULL)
  );
  due_in := greatest(next_at - now_at, CASE WHEN next_at IS NOT NULL THEN interval '0' END);

  SELECT
    w.finished_at IS NOT NULL AND NOT EXISTS (
      SELECT FROM powertools.workflows f JOIN powertools.callbacks c ON c.workflow_id = f.id
      WHERE f.root_id = w.root_id AND c.ended_at IS NULL
    )
    OR EXISTS (
      SELECT FROM powertools.steps s
      WHERE s.workflow_id = w.id AND s.name = moment.step AND (s.state NOT IN ('pending', 'available') OR s.attempt > 0)
    )
  INTO reached
  FROM powertools.workflows w WHERE w.id = moment.workflow_id;
END $$;

-- The waits of a workflow and of what it nests that no signal has ended yet.
CREATE OR REPLACE FUNCTION powertools_testing.open_waits(workflow_id bigint)
RETURNS TABLE (step text, signal text, correlation_key text, waiting_id bigint)
LANGUAGE sql
AS $$
  SELECT s.name, a.signal, a.correlation_key, a.workflow_id
  FROM powertools.workflows w
  JOIN powertools.workflows f ON f.root_id = w.root_id
  JOIN powertools.waits a ON a.workflow_id = f.id AND a.state = 'waiting'
  JOIN powertools.steps s ON s.workflow_id = a.workflow_id AND s.position = a.position
  WHERE w.id = open_waits.workflow_id
  ORDER BY a.id
$$;

-- The steps of a workflow and of what it nests: name -> what it runs on.
CREATE OR REPLACE FUNCTION powertools_testing.step_kinds(workflow_id bigint) RETURNS jsonb
LANGUAGE sql
AS $$
  SELECT coalesce(jsonb_object_agg(s.name, s.kind), '{}')
  FROM powertools.workflows w
  JOIN powertools.workflows f ON f.root_id = w.root_id
  JOIN powertools.steps s ON s.workflow_id = f.id
  WHERE w.id = step_kinds.workflow_id
$$;

-- Lets time pass: let_pass(by) moves every stored instant back, so that what was 30 days ahead is due now and what
-- happened now is 30 days ago, by the clock of the database and by that of this process alike. Left out are the rows of
-- living processes, and the audit: its rows are chained by their hashes and cannot be changed. Made from the catalog, so
-- that no table is forgotten; steps before their jobs, whose triggers compare the two. An update of a table without
-- rows is not even planned.
DO $make$
DECLARE
  moves text;
BEGIN
  SELECT string_agg(
    format(E'  IF pg_relation_size(%L) > 0 THEN\n    UPDATE %s SET %s;\n  END IF;', t.name, t.name, t.moved),
    E'\n' ORDER BY t.name LIKE '%.oban%', t.name
  )
  INTO moves
  FROM (
    SELECT format('%I.%I', n.nspname, c.relname) AS name, string_agg(format('%1$I = %1$I - by', a.attname), ', ' ORDER BY a.attnum) AS moved
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    WHERE c.relkind = 'r' AND a.atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)
      AND (
        c.oid = 'public.oban_jobs'::regclass
        OR c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'powertools.workflows'::regclass)
      )
      AND c.relname !~ '^(audit|executors|gone_executors|migrations|settings|sweep_parts)'
    GROUP BY n.nspname, c.relname
  ) AS t;
  EXECUTE format(
    'CREATE OR REPLACE FUNCTION powertools_testing.let_pass(by interval) RETURNS void LANGUAGE plpgsql AS %L',
    E'BEGIN\n' || moves || E'\nEND'
  );
END $make$;
