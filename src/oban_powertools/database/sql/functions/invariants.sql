-- The invariants of a sound database, as queries for the tests and the doctor.

-- Rows: one per violation; empty when all hold. Reads everything: for tests and for the doctor, not for loops.
-- Long: one query per invariant, each to be read alone; the doctor runs the whole body on copies of the rows.
CREATE OR REPLACE FUNCTION powertools.check_invariants_v1()
RETURNS TABLE (invariant text, workflow_id bigint, step_position int, detail text)
LANGUAGE sql STABLE
AS $$
  WITH ends AS (
    SELECT e.workflow_id, e.parent, e.child, e.policy, p.state AS parent_state, p.position AS parent_position,
      p.generation AS parent_generation, p.depth AS parent_depth, c.state AS child_state,
      c.position AS child_position, c.depth AS child_depth
    FROM powertools.edges e
    LEFT JOIN powertools.steps p ON p.workflow_id = e.workflow_id AND p.position = e.parent
    LEFT JOIN powertools.steps c ON c.workflow_id = e.workflow_id AND c.position = e.child
  ), faulted AS (
    SELECT f.job_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
  )
  SELECT 'live_step_has_its_job', s.workflow_id, s.position, 'job ' || s.job_id || ' is missing'
  FROM powertools.steps s
  LEFT JOIN public.oban_jobs j ON j.id = s.job_id
  WHERE s.state = 'available' AND j.id IS NULL AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'live_step_has_its_own_job', s.workflow_id, s.position, 'job ' || s.job_id || ' says it is none of it'
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position) IS NOT TRUE
  WHERE s.state = 'available' AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'live_step_has_a_live_job', s.workflow_id, s.position, 'job ' || s.job_id || ' is ' || j.state
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE s.state = 'available' AND j.state IN ('completed', 'discarded', 'cancelled')
    AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'one_live_job_a_step', powertools.workflow_of_v1(j.meta), powertools.position_of_v1(j.meta), count(*) || ' live jobs'
  FROM public.oban_jobs j
  WHERE j.state NOT IN ('completed', 'discarded', 'cancelled')
    AND powertools.workflow_of_v1(j.meta) IS NOT NULL AND powertools.position_of_v1(j.meta) IS NOT NULL
  GROUP BY 2, 3, j.meta ->> 'generation' HAVING count(*) > 1
  UNION ALL
  SELECT 'pending_counts_open_parents', s.workflow_id, s.position, 'pending ' || s.pending || ', open parents ' || n.open
  FROM powertools.steps s
  CROSS JOIN LATERAL (
    SELECT count(*) AS open
    FROM unnest(s.parents || s.continue_parents) AS e (parent)
    JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
    WHERE p.finished_at IS NULL
  ) AS n
  WHERE s.state = 'pending' AND s.pending <> n.open + (s.depth = 0 AND EXISTS (
    SELECT FROM powertools.workflows w
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    WHERE w.id = s.workflow_id AND p.state = 'pending'
  ))::int
  UNION ALL
  SELECT 'ready_step_is_released', s.workflow_id, s.position, 'pending with no open parent'
  FROM powertools.steps s WHERE s.state = 'pending' AND s.pending = 0 AND s.held_until IS NULL
  UNION ALL
  SELECT 'released_after_its_parents', workflow_id, child, 'parent ' || parent || ' is ' || parent_state
  FROM ends
  WHERE child_state IN ('available', 'executing', 'awaiting_signal')
    AND CASE policy
      WHEN 'cancel' THEN parent_state <> 'completed'
      -- one that failed may run again, when its child went on without it
      ELSE parent_state NOT IN ('completed', 'discarded', 'cancelled', 'expired') AND parent_generation = 1
    END
  UNION ALL
  SELECT 'failure_cascades', workflow_id, child, 'parent ' || parent || ' is ' || parent_state
  FROM ends
  WHERE policy = 'cancel' AND parent_state IN ('discarded', 'cancelled', 'expired') AND child_state = 'pending'
  UNION ALL
  SELECT 'cancelled_for_a_reason', s.workflow_id, s.position, 'no failed parent on a cancel edge'
  FROM powertools.steps s
  WHERE s.cause = 'cancelled_by_dependency' AND NOT EXISTS (
    -- a subquery looks each parent up, whatever the statistics are
    SELECT FROM unnest(s.parents) AS e (parent)
    WHERE (SELECT p.state FROM powertools.steps p WHERE p.workflow_id = s.workflow_id AND p.position = e.parent)
      IN ('discarded', 'cancelled', 'expired')
  ) AND NOT EXISTS (
    -- a nested workflow that never starts goes with the step that would have run it
    SELECT FROM powertools.workflows w
    WHERE w.id = s.workflow_id AND w.parent_id IS NOT NULL AND NOT powertools.has_started(w.id)
  )
  UNION ALL
  SELECT 'edges_lead_forward_inside', workflow_id, child, 'edge from ' || parent
  FROM ends WHERE parent_position IS NULL OR child_position IS NULL OR parent_depth >= child_depth
  UNION ALL
  SELECT 'both_ends_know_an_edge', workflow_id, child, format('%s edge from %s', policy, parent)
  FROM (SELECT *, true AS incoming FROM powertools.edges) AS e
  FULL JOIN (
    SELECT s.workflow_id, s.position AS parent, c.child, 'cancel' AS policy, true AS outgoing
    FROM powertools.steps s CROSS JOIN LATERAL unnest(s.children) AS c (child)
    UNION ALL
    SELECT s.workflow_id, s.position, c.child, 'continue', true
    FROM powertools.steps s CROSS JOIN LATERAL unnest(s.continue_children) AS c (child)
  ) AS o USING (workflow_id, parent, child, policy)
  WHERE e.incoming IS NULL OR o.outgoing IS NULL
  UNION ALL
  SELECT 'counters_equal_rows', w.id, NULL,
    format('total %s/%s, open %s/%s, failed %s/%s, stopped %s/%s',
      w.total, n.total, w.open, n.open, w.failed, n.failed, w.stopped, n.stopped)
  FROM powertools.workflows w
  CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE s.finished_at IS NULL) AS open,
      count(*) FILTER (WHERE powertools.is_failure(s.state, s.cause)) AS failed,
      count(*) FILTER (WHERE s.cause IN ('cancel_requested', 'workflow_expired')) AS stopped
    FROM powertools.steps s WHERE s.workflow_id = w.id
  ) AS n
  WHERE (w.total, w.open, w.failed, w.stopped) IS DISTINCT FROM (n.total, n.open, n.failed, n.stopped)
  UNION ALL
  SELECT 'state_follows_the_steps', w.id, NULL,
    format('state %s, open %s, failed %s, handled %s', w.state, w.open, w.failed, w.failures_handled)
  FROM powertools.workflows w
  WHERE w.open = 0 AND w.state <> CASE
      WHEN w.stopped > 0 AND w.expired_at IS NOT NULL THEN 'expired'
      WHEN w.stopped > 0 THEN 'cancelled'
      WHEN w.failed > 0 THEN 'failed'
      ELSE 'completed'
    END
    OR w.open > 0 AND w.state <> CASE
      WHEN w.cancel_requested_at IS NOT NULL OR w.expired_at IS NOT NULL THEN 'cancel_requested'
      ELSE 'running'
    END
    OR (w.failures_handled IS NOT NULL) <> (w.open = 0 AND w.failed > 0)
  UNION ALL
  SELECT 'nothing_starts_while_stopping', s.workflow_id, s.position, 'step ' || s.state
  FROM powertools.workflows w
  JOIN powertools.steps s ON s.workflow_id = w.id
  WHERE w.state = 'cancel_requested' AND s.state IN ('pending', 'awaiting_signal')
  UNION ALL
  SELECT 'suspended_job_is_held', s.workflow_id, s.position, 'job ' || j.id || ' is suspended'
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE s.state = 'available' AND j.state = 'suspended' AND s.held_until IS NULL
    AND j.meta -> 'quarantined' IS DISTINCT FROM to_jsonb(j.attempt)
  UNION ALL
  SELECT 'nested_workflow_and_its_step_agree', s.workflow_id, s.position, format('step %s, workflow %s %s', s.state, c.id, c.state)
  FROM powertools.steps s
  LEFT JOIN powertools.workflows c ON c.id = s.child_id
  WHERE s.state = 'executing' AND (c.id IS NULL OR c.open = 0)
    OR s.finished_at IS NOT NULL AND c.open > 0
  UNION ALL
  SELECT 'wait_and_its_step_agree', w.workflow_id, w.position, format('wait %s %s', w.id, w.state)
  FROM powertools.waits w
  LEFT JOIN powertools.steps s ON s.workflow_id = w.workflow_id AND s.position = w.position AND s.wait_id = w.id
  WHERE (w.state = 'waiting') <> (s.state IS NOT DISTINCT FROM 'awaiting_signal')
  UNION ALL
  SELECT 'consumed_wait_has_one_signal', w.workflow_id, w.position, format('wait %s %s, %s signals', w.id, w.state, n.signals)
  FROM powertools.waits w
  CROSS JOIN LATERAL (SELECT count(*) AS signals FROM powertools.signals g WHERE g.wait_id = w.id) AS n
  WHERE n.signals <> (w.state = 'consumed')::int
  UNION ALL
  SELECT 'on_finished_once_a_generation', (j.meta ->> 'workflow_id')::bigint, NULL, count(*) || ' jobs'
  FROM public.oban_jobs j
  WHERE j.meta ? 'outcome' AND j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$'
  GROUP BY 2, j.meta ->> 'generation' HAVING count(*) > 1
  UNION ALL
  SELECT 'events_are_numbered_without_gap', e.workflow_id, NULL, format('%s events numbered %s to %s', count(*), min(e.number), max(e.number))
  FROM powertools.events e
  GROUP BY e.workflow_id
  HAVING count(*) <> max(e.number) - min(e.number) + 1 OR min(e.number) > 1 AND (SELECT l.pruned_to FROM powertools.event_log l) = 0
  UNION ALL
  SELECT 'last_event_tells_the_state', s.workflow_id, s.position,
    format('step %s, job %s, last event %s', s.state, j.state, l.change)
  FROM powertools.steps s
  LEFT JOIN public.oban_jobs j
    ON s.state = 'available' AND j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  LEFT JOIN (
    SELECT DISTINCT ON (e.workflow_id, e.position) e.workflow_id, e.position, e.change, e.job_id
    FROM powertools.events e
    WHERE e.position IS NOT NULL AND NOT e.published
    ORDER BY e.workflow_id, e.position, e.number DESC
  ) AS l ON l.workflow_id = s.workflow_id AND l.position = s.position
  -- retention may have removed the only one
  WHERE (l.change IS NULL AND (SELECT g.pruned_to FROM powertools.event_log g) = 0 OR CASE s.state
      WHEN 'pending' THEN l.change <> 'recovered'
      WHEN 'executing' THEN l.change NOT IN ('started', 'recovered')
      WHEN 'awaiting_signal' THEN l.change <> 'awaiting'
      WHEN 'available' THEN CASE j.state::text
        WHEN 'executing' THEN l.change <> 'started'
        WHEN 'retryable' THEN l.change <> 'retrying'
        ELSE l.change NOT IN ('released', 'retrying', 'snoozed')
      END OR l.job_id <> s.job_id
      ELSE l.change <> s.state
    END)
    AND (s.state <> 'pending' OR l.change IS NOT NULL)
    AND NOT EXISTS (SELECT FROM powertools.deferred_starts d WHERE d.job_id = s.job_id)
    AND NOT (s.state = 'available' AND (j.id IS NULL OR j.state IN ('completed', 'discarded', 'cancelled') OR j.id IN (SELECT job_id FROM faulted)))
  UNION ALL
  SELECT 'finished_is_the_last_event', w.id, NULL, format('workflow %s, last event %s', w.state, l.change)
  FROM powertools.workflows w
  CROSS JOIN LATERAL (
    SELECT e.change, e.state, e.generation FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
  ) AS l
  WHERE w.finished_at IS NOT NULL AND (l.change, l.state, l.generation) IS DISTINCT FROM ('finished', w.state, w.generation)
    OR w.finished_at IS NULL AND l.change = 'finished'
  UNION ALL
  SELECT 'finished_once_a_generation', e.workflow_id, NULL, count(*) || ' times in generation ' || e.generation
  FROM powertools.events e WHERE e.change = 'finished'
  GROUP BY e.workflow_id, e.generation HAVING count(*) > 1
$$;
