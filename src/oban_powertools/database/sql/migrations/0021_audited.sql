-- What an operator did, and its record in the audit, are one transaction or none (invariant/I4). Locks: SHARE ROW EXCLUSIVE on the
-- tables that get a trigger, for an instant.
--
-- Rules: audit/D1 to D3, on docs/design/rules.md.

-- Whether this transaction has written an executed record by this actor: of this preview or incident, if one is given.
CREATE FUNCTION powertools.is_audited_v1(who text, of_preview bigint, of_incident bigint) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  mark CONSTANT bigint := pg_current_xact_id()::text::bigint;
BEGIN
  RETURN EXISTS (
    SELECT FROM powertools.audit a
    -- a clock that was set back meanwhile takes nobody's record away
    WHERE a.at >= transaction_timestamp() - interval '1 min' AND a.actor_id = who AND a.outcome = 'executed'
      AND (of_preview IS NULL OR a.preview_id = of_preview) AND (of_incident IS NULL OR a.incident_id = of_incident)
      AND powertools.is_since_v1(a.xmin, mark) AND powertools.is_ours_v1(a.xmin, mark)
  );
END $$;

REVOKE EXECUTE ON FUNCTION powertools.is_audited_v1(text, bigint, bigint) FROM PUBLIC;

CREATE FUNCTION powertools.require_audit_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  audited bool;
BEGIN
  audited := CASE TG_TABLE_NAME
    WHEN 'commands' THEN powertools.is_audited_v1(to_jsonb(NEW) ->> 'actor', NULL, NULL)
    WHEN 'incident_entries' THEN powertools.is_audited_v1(to_jsonb(NEW) ->> 'actor', NULL, (to_jsonb(NEW) ->> 'incident_id')::bigint)
    WHEN 'late_results' THEN powertools.is_audited_v1(to_jsonb(NEW) ->> 'decided_by', NULL, NULL)
    WHEN 'prune_runs' THEN powertools.is_audited_v1(to_jsonb(NEW) ->> 'actor', NULL, NULL)
    WHEN 'previews' THEN powertools.is_audited_v1(to_jsonb(NEW) ->> 'actor_id', (to_jsonb(NEW) ->> 'id')::bigint, NULL)
    WHEN 'bulk_items' THEN powertools.is_audited_v1(
      (SELECT b.actor_id FROM powertools.bulks b WHERE b.id = (to_jsonb(NEW) ->> 'bulk_id')::bigint), NULL, NULL
    )
    WHEN 'audit' THEN EXISTS (
      SELECT FROM powertools.previews p WHERE p.id = (to_jsonb(NEW) ->> 'preview_id')::bigint AND p.status = 'consumed'
    )
  END;
  IF audited THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'an operator''s change of %.% without its other half is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME
  USING ERRCODE = 'integrity_constraint_violation',
    HINT = 'A change and its record in the audit are written in one transaction.';
END $$;

-- 'host' tells what its own program did, which is no operator's act.
CREATE CONSTRAINT TRIGGER audited AFTER INSERT ON powertools.commands DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.outcome = 'accepted' AND NEW.actor <> 'host') EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audited AFTER INSERT ON powertools.incident_entries DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.actor IS NOT NULL) EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.late_results DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.decided_by IS DISTINCT FROM OLD.decided_by) EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audited AFTER INSERT ON powertools.prune_runs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.actor IS NOT NULL) EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.previews DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.status = 'consumed' AND OLD.status <> 'consumed') EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.bulk_items DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.outcome = 'done' AND OLD.outcome <> 'done') EXECUTE FUNCTION powertools.require_audit_v1();

CREATE CONSTRAINT TRIGGER audit_of_a_preview AFTER INSERT ON powertools.audit DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.outcome = 'executed' AND NEW.preview_id IS NOT NULL) EXECUTE FUNCTION powertools.require_audit_v1();
