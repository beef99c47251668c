-- The rows of the classes of incidents come from the registry of a release, with the functions; and what becomes of
-- on_finished jobs is kept. Locks: ACCESS EXCLUSIVE on the classes, the incidents and their entries while these two, and
-- Oban's jobs, are read.
-- Its number was free: workers of before the first release know those up to 24, and refuse a greater one.

ALTER TABLE powertools.incident_classes
  DROP COLUMN IF EXISTS place,
  -- the fingerprints that concern a subject: (powertools.steps, powertools.workflows, public.oban_jobs) -> SETOF text
  ADD COLUMN concerns_by text NOT NULL DEFAULT 'evidence_concerns';

-- Of what an incident names ids, where it names any; suggestions look them up.
ALTER TABLE powertools.incidents
  ADD CONSTRAINT incident_names CHECK (evidence ->> 'id_type' IN ('job', 'wait', 'workflow', 'late_result'));

-- What operators do is named by their acts.
ALTER TABLE powertools.incident_entries
  DROP CONSTRAINT entry_kind,
  ADD CONSTRAINT entry_kind CHECK (actor IS NOT NULL OR kind IN ('detected', 'reopened', 'changed', 'resolved'));

-- One row each time a workflow ended and had a callback; it outlives its job, which Oban prunes.
CREATE TABLE powertools.callbacks (
  workflow_id bigint NOT NULL,
  generation int NOT NULL,
  job_id bigint NOT NULL,
  worker text NOT NULL,
  -- the job's own
  state text NOT NULL,
  -- made so far
  attempt int NOT NULL DEFAULT 0,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  -- of the last attempt
  attempted_at timestamptz,
  ended_at timestamptz,
  -- of the last attempt that failed
  error jsonb,
  PRIMARY KEY (workflow_id, generation),
  CONSTRAINT callback_ended CHECK ((ended_at IS NOT NULL) = (state IN ('completed', 'discarded', 'cancelled', 'job_deleted')))
) WITH (fillfactor = 80);  -- nothing that an attempt changes is indexed: rows are updated in place

INSERT INTO powertools.callbacks (
  workflow_id, generation, job_id, worker, state, attempt, inserted_at, attempted_at, ended_at, error
)
SELECT DISTINCT ON (w.id, w.generation)
  w.id, w.generation, j.id, j.worker, j.state::text, j.attempt, timezone('UTC', j.inserted_at), timezone('UTC', j.attempted_at),
  CASE
    WHEN j.state IN ('completed', 'discarded', 'cancelled')
    THEN coalesce(timezone('UTC', coalesce(j.completed_at, j.discarded_at, j.cancelled_at)), now())
  END,
  j.errors -> -1
FROM public.oban_jobs j
JOIN powertools.workflows w ON j.meta ->> 'workflow_id' = w.id::text AND j.meta ->> 'generation' = w.generation::text
WHERE j.meta ?& '{workflow_id,outcome,failed_steps,generation}' AND NOT j.meta ? 'position'
ORDER BY w.id, w.generation, j.id DESC;
