-- Creates two roles and grants each what it needs. Run this as the owner of the schema powertools (the role that
-- migrates), after every install and upgrade; repeating it changes nothing. If the owner may not create roles, let an
-- administrator create the two first, without rights; the rest needs only ownership.
--
-- powertools_run: for workers and the application. It may use every table, but only insert into the audit.
-- powertools_read: for dashboards and people who read. It changes nothing.
-- No running program needs to be the owner.
DO $$
DECLARE
  missing text[] := ARRAY(
    SELECT r.name FROM unnest(ARRAY['powertools_run', 'powertools_read']) AS r (name)
    WHERE NOT EXISTS (SELECT FROM pg_roles p WHERE p.rolname = r.name)
  );
  role text;
BEGIN
  IF missing <> '{}' AND NOT (SELECT p.rolsuper OR p.rolcreaterole FROM pg_roles p WHERE p.rolname = current_user) THEN
    RAISE EXCEPTION 'the roles % do not exist, and % may not create roles', array_to_string(missing, ', '), current_user
    USING ERRCODE = 'insufficient_privilege', HINT = 'Have somebody run this, then run all of it again:'
      || (SELECT string_agg(format(' CREATE ROLE %I NOLOGIN;', m.name), '') FROM unnest(missing) AS m (name));
  END IF;
  FOREACH role IN ARRAY missing LOOP
    EXECUTE format('CREATE ROLE %I NOLOGIN', role);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA powertools TO powertools_run, powertools_read;
GRANT SELECT ON ALL TABLES IN SCHEMA powertools TO powertools_run, powertools_read;
-- only processes that sign may read secrets; whether an old one still signs, and until when, is no secret
REVOKE SELECT ON powertools.webhook_secrets, powertools.repair_secret FROM powertools_read;
GRANT SELECT (endpoint_id, place, expires_at) ON powertools.webhook_secrets TO powertools_read;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA powertools TO powertools_run;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA powertools TO powertools_run;

REVOKE INSERT, UPDATE, DELETE ON powertools.migrations, powertools.audit, powertools.audit_links, powertools.audit_seals,
  powertools.audit_chain, powertools.commands FROM powertools_run;
GRANT INSERT (
  actor_id, actor_type, actor_label, action, target_type, target_id, workflow_id, step, reason, outcome, before, after,
  plan_hash, preview_id, incident_id, surface, request_id, details
) ON powertools.audit TO powertools_run;
GRANT EXECUTE ON FUNCTION powertools.seal_audit_v1(int), powertools.prune_audit_v1(interval, int),
  powertools.prune_batch_v1(text, interval, interval, bigint, int, bigint), powertools.prune_webhooks_v1(),
  powertools.analyze_outgrown_v1() TO powertools_run;

GRANT USAGE ON SCHEMA public TO powertools_run, powertools_read;
GRANT SELECT ON public.oban_jobs, public.oban_leaders, public.oban_producers TO powertools_run, powertools_read;
GRANT INSERT, UPDATE, DELETE ON public.oban_jobs, public.oban_leaders, public.oban_producers TO powertools_run;
GRANT USAGE ON SEQUENCE public.oban_jobs_id_seq TO powertools_run;
