-- The triggers on Oban's jobs: whoever changes a job moves the workflow (invariant/I1), and a fault of ours
-- never keeps a job from changing (invariant/I6): nothing in here may raise outside a handler. Locks: CREATE TRIGGER takes SHARE ROW EXCLUSIVE on Oban's
-- jobs table for an instant.

-- A trigger needs a function: it does nothing until the text of functions/job_triggers.sql is applied, in the same transaction.
CREATE FUNCTION powertools.jobs_updated_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

-- Two schemas on the same jobs would take one another's results. Here too, for SQL that is applied by other means.
DO $$
DECLARE
  other text;
BEGIN
  SELECT p.oid::regprocedure::text INTO other
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
  WHERE t.tgrelid = 'public.oban_jobs'::regclass AND p.proname ~ '^jobs_updated_v[0-9]+$'
    AND p.oid <> 'powertools.jobs_updated_v1()'::regprocedure;
  IF FOUND THEN
    RAISE EXCEPTION 'another schema of Powertools is on these jobs: %', other USING HINT = 'Uninstall it, or use an Oban prefix of its own.';
  END IF;
END $$;

CREATE TRIGGER powertools_jobs_updated AFTER UPDATE ON public.oban_jobs
REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_updated_v1();

-- A trigger needs a function: it does nothing until the text of functions/job_triggers.sql is applied, in the same transaction.
CREATE FUNCTION powertools.jobs_deleted_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER powertools_jobs_deleted AFTER DELETE ON public.oban_jobs
REFERENCING OLD TABLE AS old_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_deleted_v1();
