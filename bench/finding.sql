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
RESET session_replication_role
