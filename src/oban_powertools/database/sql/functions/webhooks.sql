-- Webhooks: which events each endpoint gets, and the state of their deliveries.
--
-- Rules: webhooks/W1 to W3, on docs/design/rules.md.

-- Leases the next delivery of an endpoint to the job that it names (webhooks/W2, W3). outcome tells the job what to do:
-- claimed, deliver; wait, come back after wait_for; empty or refused, end. Locks: the endpoint. Its statements use the
-- indexes: with the statistics of a table that was just empty, all pending deliveries would be sorted for each.
CREATE OR REPLACE FUNCTION powertools.claim_webhook_v2(
  endpoint bigint, deliverer bigint, leased_for interval, OUT outcome text, OUT wait_for interval, OUT lease uuid,
  OUT format text, OUT url text, OUT allow_private bool, OUT secrets text[], OUT delivery bigint, OUT message jsonb, OUT attempts int,
  OUT age interval
)
LANGUAGE plpgsql
-- PLANNED ONCE
SET enable_bitmapscan = off SET enable_sort = off
AS $$
DECLARE
  e powertools.webhook_endpoints;
  d powertools.webhook_deliveries;
BEGIN
  SELECT * INTO e FROM powertools.webhook_endpoints WHERE id = endpoint FOR NO KEY UPDATE;
  IF e.id IS NULL OR NOT e.enabled OR e.job_id IS DISTINCT FROM deliverer THEN
    outcome := 'refused';
    RETURN;
  END IF;
  SELECT * INTO d FROM powertools.webhook_deliveries
  WHERE endpoint_id = endpoint AND state = 'pending' ORDER BY cursor LIMIT 1;
  IF d.cursor IS NULL THEN
    UPDATE powertools.webhook_endpoints SET job_id = NULL, lease = NULL, leased_until = NULL WHERE id = endpoint;
    outcome := 'empty';
    RETURN;
  END IF;
  wait_for := greatest(d.due_at, e.leased_until) - clock_timestamp();
  IF wait_for > interval '0' THEN
    outcome := 'wait';
    RETURN;
  END IF;
  lease := gen_random_uuid();
  UPDATE powertools.webhook_endpoints w SET lease = claim_webhook_v2.lease, leased_until = clock_timestamp() + leased_for
  WHERE w.id = endpoint;
  UPDATE powertools.webhook_deliveries w SET attempts = w.attempts + 1, attempted_at = clock_timestamp()
  WHERE w.endpoint_id = endpoint AND w.cursor = d.cursor;
  outcome := 'claimed';
  format := e.format;
  url := e.url;
  allow_private := e.allow_private;
  delivery := d.cursor;
  message := d.message;
  attempts := d.attempts + 1;
  age := clock_timestamp() - d.queued_at;
  secrets := ARRAY(
    SELECT s.secret FROM powertools.webhook_secrets s
    WHERE s.endpoint_id = endpoint AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp()) ORDER BY s.place
  );
END $$;

-- Stores the result of an attempt and ends its lease. Returns false, and changes nothing, when another job has the
-- lease. new_state: delivered, dead, or pending to try again after retry_in; disabled_for: the reason to disable the
-- endpoint, recorded as our own act, or NULL. Locks: the endpoint, then the delivery.
CREATE OR REPLACE FUNCTION powertools.finish_webhook_v1(
  endpoint bigint, held_lease uuid, delivery bigint, new_state text, new_status int, new_error text, retry_in interval,
  disabled_for text
) RETURNS bool
LANGUAGE plpgsql
AS $$
DECLARE
  was_enabled bool;
BEGIN
  SELECT e.enabled INTO was_enabled
  FROM powertools.webhook_endpoints e WHERE e.id = endpoint AND e.lease = held_lease FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE powertools.webhook_endpoints
  SET lease = NULL, leased_until = NULL, enabled = enabled AND disabled_for IS NULL,
      disabled_reason = coalesce(disabled_reason, disabled_for),
      updated_at = CASE WHEN disabled_for IS NULL THEN updated_at ELSE now() END
  WHERE id = endpoint;
  IF was_enabled AND disabled_for IS NOT NULL THEN
    PERFORM powertools.record_system_v1(
      'webhook_disable', 'webhook', ARRAY[endpoint::text], disabled_for, ARRAY['{"enabled": true}'::jsonb],
      ARRAY['{"enabled": false}'::jsonb], ARRAY[jsonb_build_object('delivery', delivery, 'status', new_status)]
    );
  END IF;
  UPDATE powertools.webhook_deliveries
  SET state = new_state, status = new_status, error = new_error, due_at = clock_timestamp() + coalesce(retry_in, '0'),
      finished_at = CASE WHEN new_state <> 'pending' THEN clock_timestamp() END
  WHERE endpoint_id = endpoint AND cursor = delivery;
  RETURN true;
END $$;

-- Removes deliveries that were delivered 3 days ago or became dead 30 days ago, at most 5,000, and expired secrets.
-- Returns how many deliveries it removed. Runs with the rights of the owner, so that no other role needs to delete.
CREATE OR REPLACE FUNCTION powertools.prune_webhooks_v1() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  pruned bigint;
BEGIN
  DELETE FROM powertools.webhook_secrets WHERE expires_at < now();
  WITH old AS (
    SELECT d.endpoint_id, d.cursor FROM powertools.webhook_deliveries d
    WHERE d.state = 'delivered' AND d.finished_at < now() - interval '3 days'
    UNION ALL
    SELECT d.endpoint_id, d.cursor FROM powertools.webhook_deliveries d
    WHERE d.state = 'dead' AND d.finished_at < now() - interval '30 days'
    LIMIT 5000
  )
  DELETE FROM powertools.webhook_deliveries d USING old o
  WHERE d.endpoint_id = o.endpoint_id AND d.cursor = o.cursor;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $$;
REVOKE EXECUTE ON FUNCTION powertools.prune_webhooks_v1() FROM PUBLIC;
