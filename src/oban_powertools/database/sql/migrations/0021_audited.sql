-- What an operator did, and its record in the audit, are one transaction or none (invariant/I4). Locks: SHARE ROW EXCLUSIVE on the
-- tables that get a trigger, for an instant.

-- A trigger needs a function: it does nothing until the text of functions/audit.sql is applied, in the same transaction.
CREATE FUNCTION powertools.require_audit_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

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
