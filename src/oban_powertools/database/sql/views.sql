-- Views: the current text of each. They are applied after the functions, which some of them call.

CREATE OR REPLACE VIEW powertools.edges AS
SELECT s.workflow_id, p.parent, s.position AS child, 'cancel' AS policy
FROM powertools.steps s CROSS JOIN LATERAL unnest(s.parents) AS p (parent)
UNION ALL
SELECT s.workflow_id, p.parent, s.position AS child, 'continue' AS policy
FROM powertools.steps s CROSS JOIN LATERAL unnest(s.continue_parents) AS p (parent);

-- A step with its present state: until its job has ended, that of the job.
CREATE OR REPLACE VIEW powertools.step_states AS
SELECT
  s.workflow_id, s.position, s.name, s.kind, s.worker, s.queue, s.effects, s.generation, s.pending, s.cause, s.job_id,
  s.wait_id, s.child_id, s.cancel_requested_at, s.held_until, s.hold_reason,
  coalesce(j.state::text, s.state) AS state,
  coalesce(j.attempt, s.attempt) AS attempt,
  coalesce(j.max_attempts, s.max_attempts) AS max_attempts,
  s.state = 'available' AND j.id IS NULL AS job_missing,
  s.parents, s.continue_parents, s.children, s.continue_children, s.depth,
  coalesce(j.args, s.args) AS args, s.template, s.result, coalesce(j.errors -> -1, s.error) AS error,
  coalesce(j.inserted_at AT TIME ZONE 'UTC', s.released_at) AS released_at,
  j.scheduled_at AT TIME ZONE 'UTC' AS scheduled_at,
  coalesce(j.attempted_at AT TIME ZONE 'UTC', s.started_at) AS started_at,
  s.finished_at
FROM powertools.steps s
LEFT JOIN public.oban_jobs j
  ON s.state = 'available' AND j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position);

-- Events as readers get them: those that have their place in the log.
CREATE OR REPLACE VIEW powertools.placed_events AS
SELECT e.workflow_id, e.number, b.last_cursor - b.events + e.place AS cursor, e.at, e.position, s.name AS step_name,
  s.worker, coalesce(w.context ->> 'label', w.name) AS workflow_label, w.name AS workflow_name, e.change, e.state,
  e.job_id, e.attempt, e.has_result, e.published, e.error, e.generation, e.failed_steps
FROM powertools.events e
JOIN powertools.event_batches b ON b.id = e.batch_id AND b.last_cursor IS NOT NULL
LEFT JOIN powertools.workflows w ON w.id = e.workflow_id
LEFT JOIN powertools.steps s ON s.workflow_id = e.workflow_id AND s.position = e.position;

-- The attempts of jobs that are left to an operator, with the instant as Oban has it.
CREATE OR REPLACE VIEW powertools.left_attempts AS
SELECT r.job_id, r.attempted_at AT TIME ZONE 'UTC' AS attempted_at FROM powertools.rescues r WHERE r.action = 'left';

-- Executors of which something is dated in the future: written before the clock was set back (executors/R6).
CREATE OR REPLACE VIEW powertools.executors_dated_ahead AS
SELECT e.executor_id FROM powertools.executors e
WHERE greatest(e.started_at, e.beat_at, e.loop_beat_at, e.beating_since, e.stopped_at) > clock_timestamp() + interval '1 s';

-- executors/R2. The witness must have sent heartbeats since the server started. When the two executors have different
-- values of gone_after, the longer one counts. The witnesses are found once, not for each silent executor.
CREATE OR REPLACE VIEW powertools.gone_executors AS
WITH witnesses AS MATERIALIZED (
  SELECT w.gone_after, w.beating_since FROM powertools.executors w
  WHERE w.stopped_at IS NULL AND w.beat_at > greatest(clock_timestamp() - w.gone_after / 2, powertools.server_started_at())
)
SELECT e.executor_id, e.node, e.producer, e.relieved_at,
  CASE WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END AS why, coalesce(e.stopped_at, e.beat_at) AS seen_at
FROM powertools.executors e
WHERE e.stopped_at IS NOT NULL OR e.died_at IS NOT NULL OR e.beat_at < clock_timestamp() - e.gone_after AND EXISTS (
  SELECT FROM witnesses w
  WHERE greatest(e.beat_at, w.beating_since) < clock_timestamp() - greatest(e.gone_after, w.gone_after)
);

-- executors/R7. Executors that have ended, or have sent no heartbeat for their gone_after: judged by whoever reads, against
-- the last heartbeat, whether or not a process lives that could witness it. For what people are shown, and no evidence that
-- they are gone (executors/R2), which they are only if they are among these.
CREATE OR REPLACE VIEW powertools.silent_executors AS
SELECT e.executor_id, e.node, e.producer, e.producer_scope
FROM powertools.executors e
CROSS JOIN (SELECT powertools.watched_since(statement_timestamp()) AS since OFFSET 0) AS c
WHERE num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) > 0
  OR greatest(e.beat_at, c.since) < statement_timestamp() - e.gone_after;

-- Oban's producers that work on their queue, as far as the database knows: refreshed within a minute, and not silent.
CREATE OR REPLACE VIEW powertools.producers_at_work AS
SELECT o.uuid, o.name, o.node, o.queue, o.meta, o.started_at, o.updated_at
FROM public.oban_producers o
WHERE o.updated_at > timezone('UTC', now()) - interval '60 seconds'
  AND NOT EXISTS (SELECT FROM powertools.silent_executors e WHERE e.node = o.node AND e.producer = o.uuid::text);

-- The commands on workflows, carried out or refused, of operators and of the host's program; read from the audit.
CREATE OR REPLACE VIEW powertools.commands AS
SELECT a.id, a.workflow_id, a.step, a.action, a.actor_id AS actor, a.surface AS source, a.reason,
  CASE a.outcome WHEN 'executed' THEN 'accepted' ELSE 'rejected' END AS outcome, a.details ->> 'code' AS reason_code,
  -- the host's display policy may turn details into anything, also into a value that is no object
  ARRAY(SELECT jsonb_array_elements_text(
    CASE jsonb_typeof(a.details -> 'legal_next_steps') WHEN 'array' THEN a.details -> 'legal_next_steps' ELSE '[]' END
  )) AS legal_next_steps,
  CASE jsonb_typeof(a.details) WHEN 'object'
    THEN jsonb_strip_nulls(jsonb_build_object('preview_id', a.preview_id)) || (a.details - '{code,legal_next_steps}'::text[])
    ELSE a.details
  END AS details,
  a.at AS inserted_at
FROM powertools.audit a
WHERE a.workflow_id IS NOT NULL AND a.outcome <> 'failed' AND a.action <> 'preview_repair';
