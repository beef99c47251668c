-- name: export_workflow
-- Args: workflow_id (bigint).
-- Rows: one, with an array (jsonb) of whole rows for each table: workflows, steps, waits, signals, callbacks, jobs,
--   events; of the whole family, by their keys, events by their instants; and exported_at. None when there is no such workflow. Instants of Oban's are in UTC
--   without a zone. Index: the primary keys, workflows_parent, signals_for_workflow.
WITH RECURSIVE family AS (
  SELECT r.* FROM powertools.workflows w JOIN powertools.workflows r ON r.id = w.root_id
  WHERE w.id = %(workflow_id)s::bigint
  UNION ALL
  SELECT n.* FROM family f JOIN powertools.workflows n ON n.parent_id = f.id
), members AS (
  SELECT s.* FROM family f JOIN powertools.steps s ON s.workflow_id = f.id
), calls AS (
  SELECT c.* FROM family f JOIN powertools.callbacks c ON c.workflow_id = f.id
), waiting AS (
  SELECT a.* FROM members m JOIN powertools.waits a ON a.id = m.wait_id
)
SELECT
  (SELECT jsonb_agg(to_jsonb(f) ORDER BY f.id) FROM family f) AS workflows,
  (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.workflow_id, m.position) FROM members m) AS steps,
  (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.id), '[]') FROM waiting a) AS waits,
  (
    SELECT coalesce(jsonb_agg(to_jsonb(g) ORDER BY g.id), '[]') FROM powertools.signals g
    WHERE g.id IN (
      SELECT k.id FROM waiting a JOIN powertools.signals k
      ON k.signal = a.signal AND k.correlation_key = a.correlation_key AND k.wait_id = a.id
      UNION
      SELECT k.id FROM family f JOIN powertools.signals k ON k.workflow_id = f.id AND k.status = 'stored'
    )
  ) AS signals,
  (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.workflow_id, c.generation), '[]') FROM calls c) AS callbacks,
  (
    SELECT coalesce(jsonb_agg(to_jsonb(j) ORDER BY j.id), '[]') FROM public.oban_jobs j
    WHERE j.id IN (SELECT m.job_id FROM members m UNION SELECT c.job_id FROM calls c)
  ) AS jobs,
  (
    SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.at, e.workflow_id, e.number), '[]')
    FROM family f JOIN powertools.events e ON e.workflow_id = f.id
  ) AS events,
  clock_timestamp() AS exported_at
WHERE EXISTS (SELECT FROM family);
