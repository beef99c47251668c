-- The history of one workflow: what its steps did, and for how long, from the events that are kept; where these were removed,
-- from what the steps and their jobs still say.

-- What a step does from each change on: rows in the order of a step's changes, first its wait for what it depends on (number 0).
-- phase: dependencies, time (of its start, or asked for by its worker), queue, signal, work, rescue (its executor has sent its
-- last heartbeat), retry; NULL: it has ended. until: when the phase ended; NULL: it goes on. kept: the change is an event, else a
-- column of the step. generation: which run of the step, from 1. names: NULL for all steps. After the start of an attempt whose
-- executor was lost, a row with the change 'lost', as of its last heartbeat: what follows was nobody's work.
-- Index: the primary keys, rescues_job; executors are few.
-- Long: one pass gives every phase and what ended it; taken apart, each part would read the events again.
CREATE OR REPLACE FUNCTION powertools.step_phases_v2(of_workflow bigint, names text[])
RETURNS TABLE (
  step text, "position" int, number int, kept bool, at timestamptz, change text, state text, attempt int, job_id bigint,
  node text, error text, phase text, until timestamptz, generation int
)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
DECLARE
  whole CONSTANT bool := coalesce((
    SELECT e.number = 1 FROM powertools.events e WHERE e.workflow_id = of_workflow ORDER BY e.number LIMIT 1
  ), false);
BEGIN
  RETURN QUERY
  WITH steps AS MATERIALIZED (
    SELECT s.position, s.name, s.kind, s.job_id, s.generation, j.attempt AS job_attempt, s.attempt, s.state, s.error,
      coalesce(s.released_at, timezone('UTC', j.inserted_at)) AS released_at,
      coalesce(s.started_at, timezone('UTC', j.attempted_at)) AS started_at, s.finished_at, w.inserted_at
    FROM powertools.workflows w
    JOIN powertools.steps s ON s.workflow_id = w.id AND (names IS NULL OR s.name = ANY (names))
    LEFT JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
    WHERE w.id = of_workflow
  ), told AS MATERIALIZED (
    SELECT e.position, e.number, e.at, e.change, e.state, e.attempt, e.job_id, e.error
    FROM powertools.events e JOIN steps s ON s.position = e.position
    WHERE e.workflow_id = of_workflow
    UNION ALL
    -- starts that no reader has numbered yet: the last that happened
    SELECT s.position, 2147483647, d.at, 'started', 'executing', d.attempt, d.job_id, NULL
    FROM steps s JOIN powertools.deferred_starts d ON d.job_id = s.job_id
    WHERE s.state = 'available' AND d.workflow_id = of_workflow
  ), remembered AS (
    -- of its last run, and only what no event says
    SELECT s.position, -3 AS number, s.released_at AS at, 'released' AS change, 'available' AS state, 0 AS attempt
    FROM steps s WHERE s.released_at IS NOT NULL AND s.kind <> 'signal'
    UNION ALL
    SELECT s.position, -2, s.started_at, 'started', 'executing', coalesce(s.job_attempt, s.attempt)
    FROM steps s WHERE s.started_at IS NOT NULL AND s.kind <> 'signal'
    UNION ALL
    SELECT s.position, -1, s.finished_at, s.state, s.state, coalesce(s.job_attempt, s.attempt) FROM steps s WHERE s.finished_at IS NOT NULL
  ), changes AS (
    SELECT t.position, t.number, true AS kept, t.at, t.change, t.state, t.attempt, t.job_id, t.error FROM told t
    UNION ALL
    SELECT r.position, r.number, false, r.at, r.change, r.state, r.attempt, s.job_id,
      CASE WHEN r.number = -1 AND s.error IS NOT NULL THEN powertools.error_summary_v1(s.error) END
    FROM remembered r JOIN steps s ON s.position = r.position
    WHERE NOT whole AND NOT EXISTS (
      SELECT FROM told t WHERE t.position = r.position AND (t.change = r.change OR t.at <= r.at)
    )
    UNION ALL
    SELECT s.position, 0, false, s.inserted_at, NULL, 'pending', NULL, NULL, NULL FROM steps s
  ), ordered AS (
    -- events by their number; what is only remembered came before them
    SELECT c.*, row_number() OVER (
      PARTITION BY c.position ORDER BY c.change IS NOT NULL, c.kept, CASE WHEN c.kept THEN c.number END, c.at, c.number
    ) AS nth, count(*) OVER (PARTITION BY c.position) AS changes
    FROM changes c
  ), phased AS MATERIALIZED (
    SELECT s.name, o.*, s.generation - count(*) FILTER (WHERE o.change = 'recovered') OVER (PARTITION BY o.position)::int
        + count(*) FILTER (WHERE o.change = 'recovered') OVER (PARTITION BY o.position ORDER BY o.nth)::int AS generation,
      CASE
        WHEN o.change IS NULL OR o.change = 'recovered' AND o.state = 'pending' THEN 'dependencies'
        WHEN o.change = 'snoozed' OR o.state = 'scheduled' THEN 'time'
        -- one that was rescued is due at once: it waits in its queue
        WHEN o.change = 'retrying' AND o.state <> 'available' THEN 'retry'
        WHEN o.state = 'executing' THEN 'work'
        WHEN o.change = 'awaiting' OR o.state = 'awaiting_signal' THEN 'signal'
        WHEN o.state IN ('completed', 'discarded', 'cancelled', 'expired') THEN NULL
        WHEN o.state = 'pending' THEN 'dependencies'
        ELSE 'queue'
      END AS phase,
      CASE WHEN o.nth < o.changes THEN greatest(lead(o.at) OVER (PARTITION BY o.position ORDER BY o.nth), o.at) END AS until
    FROM ordered o
    JOIN steps s ON s.position = o.position
  ), attempts AS MATERIALIZED (
    -- who made each attempt that is known, and how long it lived
    SELECT p.position, p.nth, b.attempted_by[1] AS node, powertools.lost_since(b.attempted_by, p.until, r.id IS NOT NULL) AS lost_at
    FROM phased p
    LEFT JOIN LATERAL (
      SELECT r.id, r.attempted_by FROM powertools.rescues r
      WHERE r.job_id = p.job_id AND r.attempt = p.attempt AND r.action <> 'left'
        AND r.attempted_at BETWEEN p.at - interval '1 s' AND coalesce(p.until, 'infinity')
      ORDER BY r.id LIMIT 1
    ) AS r ON true
    LEFT JOIN public.oban_jobs j
      ON j.id = p.job_id AND j.attempt = p.attempt AND powertools.is_job_of_v1(j.meta, of_workflow, p.position)
    CROSS JOIN LATERAL (SELECT coalesce(r.attempted_by, j.attempted_by) AS attempted_by) AS b
    WHERE p.change = 'started'
  )
  SELECT p.name, p.position, p.number, p.kept, p.at, p.change, p.state, p.attempt, p.job_id, a.node, p.error, p.phase,
    CASE WHEN a.lost_at < coalesce(p.until, 'infinity') THEN greatest(a.lost_at, p.at) ELSE p.until END, p.generation
  FROM phased p
  LEFT JOIN attempts a ON a.position = p.position AND a.nth = p.nth
  UNION ALL
  SELECT p.name, p.position, p.number, p.kept, greatest(a.lost_at, p.at), 'lost', p.state, p.attempt, p.job_id, a.node, NULL, 'rescue',
    p.until, p.generation
  FROM phased p
  JOIN attempts a ON a.position = p.position AND a.nth = p.nth AND a.lost_at < coalesce(p.until, 'infinity');
END $$;

-- When the executor of an attempt was seen for the last time, where it was lost before the attempt ended (until; NULL: it has
-- not): it was rescued, or its executor had stopped or died by then, or had been silent for longer than it promised. NULL: it
-- was not lost, or nobody knows its executor.
CREATE OR REPLACE FUNCTION powertools.lost_since(attempted_by text[], until timestamptz, rescued bool) RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  SELECT coalesce(e.stopped_at, e.beat_at)
  FROM powertools.executors e
  WHERE e.node = attempted_by[1] AND e.producer = attempted_by[2] AND (
    rescued OR least(e.stopped_at, e.died_at) < until
    OR until IS NOT NULL AND e.beat_at < until - e.gone_after
    OR until IS NULL AND EXISTS (SELECT FROM powertools.silent_executors s WHERE s.executor_id = e.executor_id)
  )
$$;

-- The phases of incidents that concern a workflow, or one of its steps, now or then; a phase begins when the incident is opened or
-- reopened, and is counted by the times that it was reopened. Those that named it, its jobs or its waits as evidence, among the
-- 1,000 incidents that were opened last while it lived; the last one of the open ones that concern it, of 200 of its steps at most;
-- and those in which somebody acted for it. Index: incidents_opened, incident_entries_incident, audit_workflow, the primary keys.
CREATE OR REPLACE FUNCTION powertools.incidents_of_v2(of_workflow bigint, of_step text)
RETURNS TABLE (incident_id bigint, phase bigint)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH workflow AS MATERIALIZED (
    SELECT w.id, w.inserted_at, coalesce(w.finished_at + interval '1 h', now()) AS until FROM powertools.workflows w WHERE w.id = of_workflow
  ), steps AS MATERIALIZED (
    SELECT s.position, s.job_id, s.wait_id, s.finished_at, s.state FROM powertools.steps s
    WHERE s.workflow_id = of_workflow AND (of_step IS NULL OR s.name = of_step)
  ), ids AS MATERIALIZED (
    SELECT 'job' AS of, s.job_id AS id FROM steps s WHERE s.job_id IS NOT NULL
    UNION
    SELECT 'job', e.job_id FROM powertools.events e JOIN steps s ON s.position = e.position
    WHERE e.workflow_id = of_workflow AND e.job_id IS NOT NULL
    UNION
    SELECT 'wait', v.id FROM powertools.waits v JOIN steps s ON s.position = v.position WHERE v.workflow_id = of_workflow
    UNION
    SELECT 'workflow', of_workflow
    UNION
    SELECT 'job', c.job_id FROM powertools.callbacks c WHERE c.workflow_id = of_workflow AND of_step IS NULL
  ), lately AS MATERIALIZED (
    SELECT i.id, i.evidence, i.subject_type, i.subject_id
    FROM powertools.incidents i, workflow w
    WHERE i.last_detected_at >= w.inserted_at AND i.first_detected_at <= w.until
    ORDER BY i.opened_at DESC LIMIT 1000
  ), phases AS MATERIALIZED (
    SELECT e.incident_id, e.detail -> 'evidence' AS evidence,
      count(*) FILTER (WHERE e.kind = 'reopened') OVER (PARTITION BY e.incident_id ORDER BY e.id) AS phase
    FROM lately l JOIN powertools.incident_entries e ON e.incident_id = l.id AND e.kind IN ('detected', 'changed', 'reopened')
  ), named AS (
    SELECT p.incident_id, p.phase, p.evidence ->> 'id_type' AS of, p.evidence -> 'ids' AS ids FROM phases p
    UNION ALL
    SELECT l.id, coalesce((SELECT max(p.phase) FROM phases p WHERE p.incident_id = l.id), 0), l.evidence ->> 'id_type', l.evidence -> 'ids'
    FROM lately l
  )
  SELECT n.incident_id, n.phase
  FROM named n
  CROSS JOIN LATERAL jsonb_array_elements_text(CASE jsonb_typeof(n.ids) WHEN 'array' THEN n.ids ELSE '[]' END) AS e (id)
  JOIN ids u ON u.of = n.of AND u.id::text = e.id
  UNION
  -- one about this workflow, in each of its phases
  SELECT n.incident_id, n.phase FROM named n
  JOIN lately l ON l.id = n.incident_id AND l.subject_type = 'workflow' AND l.subject_id = of_workflow::text
  UNION
  SELECT c.incident_id, powertools.phase_at(c.incident_id, 'infinity')
  FROM (
    SELECT coalesce(array_agg(p.id), '{}') AS ids, coalesce(array_agg(p.position), '{}') AS positions FROM (
      (
        SELECT of_workflow AS id, s.position FROM steps s
        WHERE s.finished_at IS NULL AND s.state <> 'pending' OR s.state = 'discarded' ORDER BY s.position LIMIT 200
      )
      UNION ALL
      SELECT of_workflow, NULL WHERE of_step IS NULL
    ) AS p
  ) AS a
  CROSS JOIN LATERAL powertools.incidents_concerning_v1(a.ids, a.positions, array_fill(NULL::bigint, ARRAY[cardinality(a.ids)])) AS c
  UNION
  SELECT a.incident_id, powertools.phase_at(a.incident_id, a.at) FROM powertools.audit a
  WHERE a.workflow_id = of_workflow AND a.incident_id IS NOT NULL AND (of_step IS NULL OR a.step = of_step);
END $$;

-- How often an incident had been reopened by then.
CREATE OR REPLACE FUNCTION powertools.phase_at(of_incident bigint, by timestamptz) RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT count(*) FROM powertools.incident_entries e WHERE e.incident_id = of_incident AND e.kind = 'reopened' AND e.at <= by
$$;
