-- Workflows for bench.finding; %(n)s of them.
SET session_replication_role = replica;
CREATE TEMP TABLE plan AS
SELECT i AS id, CASE WHEN i % 100 = 0 THEN 'running' WHEN i % 100 = 1 THEN 'failed' ELSE 'completed' END AS state,
  CASE WHEN i % 100 = 0 THEN i / 100 % 5 END AS course, now() - interval '30 days' * (1 - i / %(n)s::float8) AS at
FROM generate_series(1, %(n)s) AS i;
INSERT INTO powertools.workflows (
  id, name, state, total, open, failed, context, tags, idempotency_key, definition_hash, inserted_at, finished_at,
  root_id
)
OVERRIDING SYSTEM VALUE
SELECT p.id, 'flow' || p.id % 20, p.state, 2, CASE p.state WHEN 'running' THEN 2 ELSE 0 END, (p.state = 'failed')::int,
  jsonb_build_object('account_id', p.id / 3, 'region', CASE p.id % 2 WHEN 0 THEN 'eu' ELSE 'us' END),
  CASE WHEN p.id % 1000 = 7 THEN '{vip}'::text[] ELSE '{}' END, 'key-' || p.id, 'h', p.at,
  CASE WHEN p.state <> 'running' THEN p.at + interval '5 min' END, p.id
FROM plan p;
INSERT INTO oban_jobs (id, state, queue, worker, args, meta, max_attempts, attempt, errors, scheduled_at, attempted_by)
OVERRIDING SYSTEM VALUE
SELECT p.id, (CASE p.course WHEN 1 THEN CASE WHEN p.id % 2500 = 100 THEN 'executing' ELSE 'available' END
    WHEN 2 THEN 'retryable' ELSE 'available' END)::oban_job_state,
  CASE p.course WHEN 3 THEN 'deserted' ELSE 'default' END, 'app.Fetch', '{}',
  jsonb_build_object('workflow_id', p.id::text, 'position', 0, 'uid', 'u'), 5, 1,
  CASE p.course WHEN 2 THEN '[{"class": "ConnectionError", "text": "no route to billing", "error": "x"}]' ELSE '[]' END::jsonb,
  now() + interval '1 h', '{node,00000000-0000-0000-0000-000000000001}'
FROM plan p WHERE p.course > 0;
INSERT INTO powertools.waits (id, workflow_id, position, generation, signal, correlation_key, swept)
OVERRIDING SYSTEM VALUE
SELECT p.id, p.id, 0, 1, 'approved', p.id::text, true FROM plan p WHERE p.course = 0;
INSERT INTO powertools.steps (
  workflow_id, position, pending, job_id, wait_id, state, kind, name, worker, queue, args, depth, parents, children, error,
  finished_at
)
SELECT p.id, s.position, CASE WHEN p.state = 'running' THEN s.position ELSE 0 END,
  CASE WHEN p.course > 0 AND s.position = 0 THEN p.id END, CASE WHEN p.course = 0 AND s.position = 0 THEN p.id END,
  CASE WHEN p.state = 'running' THEN CASE WHEN s.position = 1 THEN 'pending' WHEN p.course = 0 THEN 'awaiting_signal' ELSE 'available' END
    WHEN p.state = 'failed' AND s.position = 1 THEN 'discarded' ELSE 'completed' END,
  CASE WHEN p.course = 0 AND s.position = 0 THEN 'signal' ELSE 'job' END,
  CASE s.position WHEN 0 THEN 'fetch' ELSE CASE WHEN p.id % 5000 = 11 THEN 'rare' ELSE 'notify' END END,
  CASE WHEN p.course = 0 AND s.position = 0 THEN NULL WHEN p.id % 5000 = 11 THEN 'app.Rare' ELSE 'app.Fetch' END,
  CASE WHEN p.course = 0 AND s.position = 0 THEN NULL ELSE 'default' END,
  '{}', s.position, CASE s.position WHEN 1 THEN '{0}'::int[] ELSE '{}' END, CASE s.position WHEN 0 THEN '{1}'::int[] ELSE '{}' END,
  CASE WHEN p.state = 'failed' AND s.position = 1
    THEN jsonb_build_object('class', 'ValueError', 'text', 'no account ' || p.id, 'error', 'x') END,
  CASE WHEN p.state <> 'running' THEN p.at END
FROM plan p, generate_series(0, 1) AS s (position)
ORDER BY p.id, s.position;
INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'node', 'default', '{"local_limit": 1000, "paused": false}', timezone('UTC', now()) + interval '1 d');
-- what else is listed: jobs that completed, signals that nobody took, records of the audit, incidents that are over
INSERT INTO oban_jobs (id, state, queue, worker, args, max_attempts, attempt, inserted_at, completed_at, tags)
OVERRIDING SYSTEM VALUE
SELECT %(n)s + i, 'completed', 'bulk', 'app.Bulk' || i % 20, '{}', 5, 1, timezone('UTC', now()), timezone('UTC', now()), CASE WHEN i % 5000 = 7 THEN '{vip}'::text[] ELSE '{}' END
FROM generate_series(1, %(n)s) AS i;
INSERT INTO powertools.signals (signal, correlation_key, status, inserted_at, swept)
SELECT 'paid' || i % 10, i::text, 'stored', now() - interval '2 days', true FROM generate_series(1, %(n)s / 10) AS i;
INSERT INTO powertools.audit (at, actor_id, actor_type, action, target_type, target_id, workflow_id, reason, outcome, surface)
SELECT now() - interval '30 days' * (1 - i / (%(n)s / 5)::float8), 'ada' || i % 50, 'user', 'workflow_retry', 'workflow', (i * 5)::text, i * 5, 'again',
  CASE i % 100 WHEN 0 THEN 'refused' ELSE 'executed' END, 'cli'
FROM generate_series(1, %(n)s / 5) AS i;
INSERT INTO powertools.incidents (
  fingerprint, class, state, subject_type, subject_id, title, count, evidence, waiting_workflows, waiting_steps, first_detected_at,
  opened_at, last_detected_at, resolved_at
)
SELECT 'failing_jobs:app.W' || i || ':E', 'failing_jobs', CASE WHEN i % 100 = 0 THEN 'active' ELSE 'resolved' END, 'worker', 'app.W' || i, 'jobs fail', 1,
  '{"id_type": "job", "ids": []}', 0, 0, p.at, p.at, p.at, CASE WHEN i % 100 <> 0 THEN p.at END
FROM generate_series(1, %(n)s / 200) AS i, LATERAL (SELECT now() - interval '30 days' * (1 - i / (%(n)s / 200)::float8) AS at) AS p;
INSERT INTO powertools.executors (executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after)
SELECT 'app:' || i, 'node' || i, 'p' || i, 'default', now(), now(), now(), now(), '1 h' FROM generate_series(1, 200) AS i;
INSERT INTO powertools.events (workflow_id, number, position, batch_id, place, at, job_id, attempt, change, state)
SELECT i, e.number, 0, 0, 1, now(), i, 1, e.change, e.state
FROM generate_series(1, %(n)s, 1000) AS i,
  (VALUES (1, 'released', 'available'), (2, 'started', 'executing'), (3, 'completed', 'completed')) AS e (number, change, state);
SELECT setval(pg_get_serial_sequence('powertools.workflows', 'id'), %(n)s), setval(pg_get_serial_sequence('oban_jobs', 'id'), 2 * %(n)s),
  setval(pg_get_serial_sequence('powertools.waits', 'id'), %(n)s);
RESET session_replication_role
