-- What became of the on_finished jobs of ended workflows. Locks: none on what is there; Oban's jobs are read once.
-- Compatible from: 24

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
