-- Roles with what each needs and no more. Run it as the owner of the schema powertools (the role that migrates), who
-- may create roles, after every install and upgrade; repeating it changes nothing.
--
-- powertools_run: workers and the application. It works with every table, but the audit it can only add to.
-- powertools_read: dashboards and people who look. It changes nothing.
-- The owner is the third: no running program needs to be it.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'powertools_run') THEN
    CREATE ROLE powertools_run NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'powertools_read') THEN
    CREATE ROLE powertools_read NOLOGIN;
  END IF;
END $$;

GRANT USAGE ON SCHEMA powertools TO powertools_run, powertools_read;
GRANT SELECT ON ALL TABLES IN SCHEMA powertools TO powertools_run, powertools_read;
-- secrets are for whoever signs with them
REVOKE SELECT ON powertools.webhook_secrets, powertools.repair_secret FROM powertools_read;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA powertools TO powertools_run;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA powertools TO powertools_run;

REVOKE INSERT, UPDATE, DELETE ON powertools.migrations, powertools.audit, powertools.audit_links, powertools.audit_seals,
  powertools.audit_chain FROM powertools_run;
GRANT INSERT (
  actor_id, actor_type, actor_label, action, target_type, target_id, reason, outcome, before, after, plan_hash, preview_id,
  incident_id, surface, request_id, details
) ON powertools.audit TO powertools_run;
GRANT EXECUTE ON FUNCTION powertools.seal_audit_v1(int), powertools.prune_audit_v1(interval, int),
  powertools.prune_batch_v1(text, interval, interval, bigint, int, bigint) TO powertools_run;

GRANT USAGE ON SCHEMA public TO powertools_run, powertools_read;
GRANT SELECT ON public.oban_jobs, public.oban_leaders, public.oban_producers TO powertools_run, powertools_read;
GRANT INSERT, UPDATE, DELETE ON public.oban_jobs, public.oban_leaders, public.oban_producers TO powertools_run;
GRANT USAGE ON SEQUENCE public.oban_jobs_id_seq TO powertools_run;
