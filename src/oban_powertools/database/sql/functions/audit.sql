-- The audit: who did what to which target, why, and with which outcome.
--
-- Rules: audit/A1 to A3, on docs/design/rules.md.
-- Rules: audit/D1 to D3, on docs/design/rules.md.

-- An instant as the bytes that are hashed: microseconds since 1970.
CREATE OR REPLACE FUNCTION powertools.instant_bytes(at timestamptz) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT int8send((extract(epoch FROM at) * 1000000)::bigint)
$$;

-- The hash of a row: SHA-256 of its columns as a JSON array, an instant as microseconds since 1970.
CREATE OR REPLACE FUNCTION powertools.audit_hash_v1(a powertools.audit) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    a.id, (extract(epoch FROM a.at) * 1000000)::bigint, a.actor_id, a.actor_type, a.actor_label, a.action,
    a.target_type, a.target_id, a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id,
    a.surface, a.request_id, a.details
  )::text, 'UTF8'))
$$;

-- The hash of a row as it was stored before rows had a workflow and a step.
CREATE OR REPLACE FUNCTION powertools.audit_hash_of_18(a powertools.audit) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    a.id, (extract(epoch FROM a.at) * 1000000)::bigint, a.actor_id, a.actor_type, a.actor_label, a.action,
    a.target_type, a.target_id, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id,
    a.surface, a.request_id, a.details
  )::text, 'UTF8'))
$$;

-- Whether a row is unchanged. No column says which of the two hashes was stored, because it could be falsified; the
-- text of an array of 20 never equals that of one of 18. A row that was hashed with workflow and step no longer matches
-- its hash without them, and a row that was hashed without them must not have them.
CREATE OR REPLACE FUNCTION powertools.is_as_written_v1(a powertools.audit, row_hash bytea) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT powertools.audit_hash_v1(a) = row_hash
    OR num_nonnulls(a.workflow_id, a.step) = 0 AND powertools.audit_hash_of_18(a) = row_hash
$$;

-- The hash of a seal. digest: SHA-256 of, for each of its rows by id, 8 bytes of id and the row's hash.
CREATE OR REPLACE FUNCTION powertools.seal_hash_v1(
  previous_hash bytea, seal_id bigint, sealed_at timestamptz, kept_until timestamptz, digest bytea
) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT sha256(
    previous_hash || int8send(seal_id) || powertools.instant_bytes(sealed_at) || powertools.instant_bytes(kept_until)
    || digest
  )
$$;

-- The digest of a seal's rows, part of its hash.
CREATE OR REPLACE FUNCTION powertools.seal_digest(seal bigint) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT sha256(coalesce(string_agg(int8send(k.audit_id) || k.row_hash, '' ORDER BY k.audit_id), ''))
  FROM powertools.audit_links k WHERE k.seal_id = seal
$$;

CREATE OR REPLACE FUNCTION powertools.link_audit_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO powertools.audit_links (audit_id, row_hash)
  SELECT a.id, powertools.audit_hash_v1(a) FROM powertools.audit a JOIN added USING (id);
  RETURN NULL;
END $$;

-- Allows only the changes of sealing and retention, recognized by the rows themselves; refuses any other.
CREATE OR REPLACE FUNCTION powertools.guard_audit_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE TG_TABLE_NAME || ' ' || TG_OP
    WHEN 'audit DELETE' THEN
      IF EXISTS (
        SELECT FROM powertools.audit_links l JOIN powertools.audit_chain c ON l.seal_id <= c.pruned_to
        WHERE l.audit_id = OLD.id
      ) THEN
        RETURN OLD;
      END IF;
    WHEN 'audit_links UPDATE' THEN
      IF OLD.seal_id IS NULL AND (NEW.audit_id, NEW.row_hash) = (OLD.audit_id, OLD.row_hash) THEN
        RETURN NEW;
      END IF;
    WHEN 'audit_links DELETE' THEN
      IF EXISTS (SELECT FROM powertools.audit_chain c WHERE OLD.seal_id <= c.pruned_to) THEN
        RETURN OLD;
      END IF;
    WHEN 'audit_seals DELETE' THEN
      IF EXISTS (SELECT FROM powertools.audit_chain c WHERE OLD.id <= c.pruned_to) THEN
        RETURN OLD;
      END IF;
    WHEN 'audit_chain UPDATE' THEN
      IF NEW.sealed_to >= OLD.sealed_to AND (
        (NEW.pruned_to, NEW.pruned_hash) = (OLD.pruned_to, OLD.pruned_hash) OR NEW.pruned_to > OLD.pruned_to AND EXISTS (
          SELECT FROM powertools.audit_seals s
          WHERE s.id = NEW.pruned_to AND s.hash = NEW.pruned_hash AND s.kept_until <= clock_timestamp()
        )
      ) THEN
        RETURN NEW;
      END IF;
    ELSE
      NULL;
  END CASE;
  RAISE EXCEPTION 'the audit is append-only: % of %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
  USING ERRCODE = 'insufficient_privilege', HINT = 'Rows leave it by retention only, whole seals, the oldest first.';
END $$;

-- Seals one batch of what has committed. Returns how many rows, NULL while another session seals; the head is
-- the seal and its hash, '12:ab34...'. Locks: the part's row; the links of the batch, which nobody else changes.
CREATE OR REPLACE FUNCTION powertools.seal_audit_v1(batch int, OUT sealed int, OUT head text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  chosen bigint[];
  content bytea;
  chain record;
  last record;
  seal powertools.audit_seals;
BEGIN
  sealed := 0;
  IF NOT EXISTS (SELECT FROM powertools.audit_links l WHERE l.seal_id IS NULL) THEN
    RETURN;
  END IF;
  IF NOT powertools.take_part_v2('seal_audit') THEN
    sealed := NULL;
    RETURN;
  END IF;
  SELECT array_agg(u.audit_id ORDER BY u.audit_id), string_agg(int8send(u.audit_id) || u.row_hash, '' ORDER BY u.audit_id)
  INTO chosen, content
  FROM (
    SELECT l.audit_id, l.row_hash FROM powertools.audit_links l WHERE l.seal_id IS NULL ORDER BY l.audit_id LIMIT batch
  ) AS u;
  IF chosen IS NULL THEN
    RETURN;
  END IF;
  SELECT l.id, l.hash INTO last
  FROM (
    SELECT s.id, s.hash FROM powertools.audit_seals s
    UNION ALL
    SELECT c.pruned_to, c.pruned_hash FROM powertools.audit_chain c
  ) AS l
  ORDER BY l.id DESC LIMIT 1;
  -- When seals were removed from the end, their numbers are not used again: the gap stays visible.
  UPDATE powertools.audit_chain c SET sealed_to = greatest(c.sealed_to, last.id) + 1
  RETURNING c.sealed_to, c.kept_for_at_least INTO chain;
  seal.id := chain.sealed_to;
  seal.sealed_at := clock_timestamp();
  seal.kept_until := seal.sealed_at + chain.kept_for_at_least;
  seal.first_id := chosen[1];
  seal.last_id := chosen[cardinality(chosen)];
  seal.count := cardinality(chosen);
  seal.ids := (SELECT range_agg(int8range(i, i, '[]')) FROM unnest(chosen) AS i);
  seal.previous_hash := last.hash;
  seal.hash := powertools.seal_hash_v1(seal.previous_hash, seal.id, seal.sealed_at, seal.kept_until, sha256(content));
  INSERT INTO powertools.audit_seals SELECT seal.*;
  UPDATE powertools.audit_links l SET seal_id = seal.id WHERE l.audit_id = ANY (chosen);
  sealed := seal.count;
  head := seal.id || ':' || encode(seal.hash, 'hex');
END $$;

-- The last of the oldest seals, at most so many, that are older than this and need not be kept; or NULL.
CREATE OR REPLACE FUNCTION powertools.prunable_seal(kept_for interval, seals int) RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT max(o.id) FILTER (WHERE o.old)
  FROM (
    SELECT s.id,
      bool_and(s.sealed_at <= clock_timestamp() - kept_for AND s.kept_until <= clock_timestamp()) OVER (ORDER BY s.id) AS old
    FROM (
      SELECT n.id, n.sealed_at, n.kept_until FROM powertools.audit_seals n
      WHERE n.id > (SELECT c.pruned_to FROM powertools.audit_chain c) ORDER BY n.id LIMIT seals
    ) AS s
  ) AS o
$$;

-- Retention: removes rows older than this, whole seals, at most so many, the oldest first. Returns how many rows went;
-- 0 also while another session prunes. Refused below kept_for_at_least. Locks: the chain's row; what it removes.
CREATE OR REPLACE FUNCTION powertools.prune_audit_v1(kept_for interval, seals int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  chain powertools.audit_chain;
  upto bigint;
  removed int;
BEGIN
  SELECT c.* INTO chain FROM powertools.audit_chain c FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  IF kept_for < chain.kept_for_at_least THEN
    RAISE EXCEPTION 'the audit is kept for at least %, not only for %', chain.kept_for_at_least, kept_for
    USING ERRCODE = 'invalid_parameter_value';
  END IF;
  upto := powertools.prunable_seal(kept_for, seals);
  IF upto IS NULL THEN
    RETURN 0;
  END IF;
  UPDATE powertools.audit_chain c
  SET pruned_to = s.id, pruned_hash = s.hash, pruned_previous_hash = s.previous_hash, pruned_sealed_at = s.sealed_at,
    pruned_kept_until = s.kept_until, pruned_digest = powertools.seal_digest(s.id)
  FROM powertools.audit_seals s WHERE s.id = upto;
  DELETE FROM powertools.audit a USING powertools.audit_links l
  WHERE l.audit_id = a.id AND l.seal_id > chain.pruned_to AND l.seal_id <= upto;
  GET DIAGNOSTICS removed = ROW_COUNT;
  DELETE FROM powertools.audit_links l WHERE l.seal_id > chain.pruned_to AND l.seal_id <= upto;
  DELETE FROM powertools.audit_seals s WHERE s.id <= upto;
  RETURN removed;
END $$;

-- Records automatic acts of Powertools, one row per target, in the transaction that does them. befores, afters and
-- details are NULL or have one entry per target; they contain states and counts, never payloads. Returns how many rows.
CREATE OR REPLACE FUNCTION powertools.record_system_v1(
  action text, target_type text, target_ids text[], reason text, befores jsonb[] DEFAULT NULL, afters jsonb[] DEFAULT NULL,
  details jsonb[] DEFAULT NULL, incident_id bigint DEFAULT NULL
) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  written int;
BEGIN
  INSERT INTO powertools.audit (
    actor_id, actor_type, actor_label, action, target_type, target_id, reason, outcome, before, after, incident_id, surface,
    details
  )
  SELECT 'powertools', 'system', 'Powertools', record_system_v1.action, record_system_v1.target_type, t.target_id,
    record_system_v1.reason, 'executed', t.before, t.after, record_system_v1.incident_id, 'system', coalesce(t.details, '{}')
  FROM unnest(target_ids, befores, afters, record_system_v1.details) AS t (target_id, before, after, details);
  GET DIAGNOSTICS written = ROW_COUNT;
  RETURN written;
END $$;
REVOKE EXECUTE ON FUNCTION powertools.seal_audit_v1(int), powertools.prune_audit_v1(interval, int) FROM PUBLIC;

-- Whether this transaction has written an executed record by this actor; of this preview or incident, unless NULL.
CREATE OR REPLACE FUNCTION powertools.is_audited(who text, of_preview bigint, of_incident bigint) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  mark CONSTANT bigint := pg_current_xact_id()::text::bigint;
BEGIN
  RETURN EXISTS (
    SELECT FROM powertools.audit a
    -- so that a clock that was set back meanwhile hides no record
    WHERE a.at >= transaction_timestamp() - interval '1 min' AND a.actor_id = who AND a.outcome = 'executed'
      AND (of_preview IS NULL OR a.preview_id = of_preview) AND (of_incident IS NULL OR a.incident_id = of_incident)
      AND powertools.is_since(a.xmin, mark) AND powertools.is_ours(a.xmin, mark)
  );
END $$;
REVOKE EXECUTE ON FUNCTION powertools.is_audited(text, bigint, bigint) FROM PUBLIC;

-- Refuses one half of an act without the other (audit/D1), at the commit (audit/D2). Direct calls have their record
-- alone: the engine's own tables have no such trigger (audit/D3).
CREATE OR REPLACE FUNCTION powertools.require_audit_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed CONSTANT jsonb := to_jsonb(NEW);
  audited bool;
BEGIN
  CASE TG_TABLE_NAME  -- one that got the trigger and stands not here raises
    WHEN 'incident_entries' THEN
      audited := powertools.is_audited(changed ->> 'actor', NULL, (changed ->> 'incident_id')::bigint);
    WHEN 'late_results' THEN
      audited := powertools.is_audited(changed ->> 'decided_by', NULL, NULL);
    WHEN 'settings' THEN
      audited := powertools.is_audited(changed ->> 'changed_by', NULL, NULL);
    WHEN 'prune_runs' THEN
      audited := powertools.is_audited(changed ->> 'actor', NULL, NULL);
    WHEN 'previews' THEN
      audited := powertools.is_audited(changed ->> 'actor_id', (changed ->> 'id')::bigint, NULL);
    WHEN 'bulk_items' THEN
      audited := powertools.is_audited(
        (SELECT b.actor_id FROM powertools.bulks b WHERE b.id = (changed ->> 'bulk_id')::bigint), NULL, NULL
      );
    WHEN 'audit' THEN
      audited := EXISTS (
        SELECT FROM powertools.previews p WHERE p.id = (changed ->> 'preview_id')::bigint AND p.status = 'consumed'
      );
  END CASE;
  IF audited THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION 'an operator''s change of %.% without its other half is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME
  USING ERRCODE = 'integrity_constraint_violation',
    HINT = 'A change and its record in the audit are written in one transaction.';
END $$;
