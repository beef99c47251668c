-- The rows of the classes of incidents come from the registry of a release, with the functions. Locks: ACCESS EXCLUSIVE on
-- the classes, the incidents and their entries while these two are read.
-- Its number was free: workers of before the first release know those up to 24, and refuse a greater one.

ALTER TABLE powertools.incident_classes
  DROP COLUMN IF EXISTS place,
  -- the fingerprints that concern a subject: (powertools.steps, powertools.workflows, public.oban_jobs) -> SETOF text
  ADD COLUMN concerns_by text NOT NULL DEFAULT 'evidence_concerns';

-- Of what an incident names ids; suggestions look them up.
ALTER TABLE powertools.incidents
  ADD CONSTRAINT incident_names CHECK (coalesce(evidence ->> 'id_type', '') IN ('job', 'wait', 'workflow', 'late_result'));

-- What operators do is named by their acts.
ALTER TABLE powertools.incident_entries
  DROP CONSTRAINT entry_kind,
  ADD CONSTRAINT entry_kind CHECK (actor IS NOT NULL OR kind IN ('detected', 'reopened', 'changed', 'resolved'));
