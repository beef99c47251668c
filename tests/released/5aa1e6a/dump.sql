--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: powertools; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA powertools;


--
-- Name: change; Type: TYPE; Schema: powertools; Owner: -
--

CREATE TYPE powertools.change AS (
	workflow_id bigint,
	"position" integer,
	change text,
	state text,
	job_id bigint,
	attempt integer,
	error text,
	at timestamp with time zone
);


--
-- Name: detected; Type: TYPE; Schema: powertools; Owner: -
--

CREATE TYPE powertools.detected AS (
	class text,
	fingerprint text,
	subject_type text,
	subject_id text,
	title text,
	count bigint,
	evidence jsonb,
	workflow_ids bigint[],
	holds_until timestamp with time zone
);


--
-- Name: ended; Type: TYPE; Schema: powertools; Owner: -
--

CREATE TYPE powertools.ended AS (
	workflow_id bigint,
	"position" integer,
	state text,
	cause text,
	wait_id bigint,
	children integer[],
	continue_children integer[]
);


--
-- Name: orphan; Type: TYPE; Schema: powertools; Owner: -
--

CREATE TYPE powertools.orphan AS (
	job_id bigint,
	executor_id text,
	why text
);


--
-- Name: outcome; Type: TYPE; Schema: powertools; Owner: -
--

CREATE TYPE powertools.outcome AS (
	workflow_id bigint,
	"position" integer,
	job_id bigint,
	wait_id bigint,
	child_id bigint,
	state text,
	cause text,
	attempt integer,
	result jsonb,
	error jsonb,
	released_at timestamp with time zone,
	started_at timestamp with time zone
);


--
-- Name: oban_job_state; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.oban_job_state AS ENUM (
    'available',
    'scheduled',
    'suspended',
    'executing',
    'retryable',
    'completed',
    'discarded',
    'cancelled'
);


--
-- Name: ack_jobs_v1(bigint[], timestamp without time zone[], text[], integer[], integer[], jsonb[], jsonb[], jsonb, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.ack_jobs_v1(ids bigint[], attempted_ats timestamp without time zone[], states text[], attempt_changes integer[], schedule_ins integer[], new_errors jsonb[], new_metas jsonb[], results jsonb, fetching jsonb) RETURNS SETOF bigint
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  acked bigint[];
BEGIN
  PERFORM set_config('powertools.results', coalesce(results::text, ''), true),
          set_config('powertools.fetching', coalesce(fetching::text, ''), true);
  WITH updated AS (
    UPDATE public.oban_jobs j
    SET state = a.state::public.oban_job_state,
        completed_at = CASE a.state WHEN 'completed' THEN timezone('UTC', now()) ELSE j.completed_at END,
        discarded_at = CASE a.state WHEN 'discarded' THEN timezone('UTC', now()) ELSE j.discarded_at END,
        cancelled_at = CASE a.state WHEN 'cancelled' THEN timezone('UTC', now()) ELSE j.cancelled_at END,
        scheduled_at = coalesce(timezone('UTC', now()) + make_interval(secs => a.schedule_in), j.scheduled_at),
        attempt = j.attempt + coalesce(a.attempt_change, 0),
        errors = CASE WHEN a.error IS NULL THEN j.errors ELSE j.errors || a.error END,
        meta = CASE WHEN a.meta IS NULL THEN j.meta ELSE j.meta || a.meta END
    FROM (
      SELECT * FROM unnest(ids, attempted_ats, states, attempt_changes, schedule_ins, new_errors, new_metas)
        AS given (id, attempted_at, state, attempt_change, schedule_in, error, meta)
      LIMIT cardinality(ids)
    ) AS a
    WHERE j.id = a.id AND (j.state = 'executing') IS TRUE AND j.attempted_at = a.attempted_at
    RETURNING j.id
  )
  SELECT array_agg(id) INTO acked FROM updated;
  -- Settle takes the results; while its trigger is missing they are stored in the jobs, for the sweep.
  IF acked IS NOT NULL AND current_setting('powertools.results') <> '' THEN
    UPDATE public.oban_jobs j
    SET meta = j.meta || jsonb_build_object('return', results -> j.id::text)
    WHERE j.id = ANY (acked) AND results ? j.id::text;
  END IF;
  RETURN QUERY SELECT unnest(acked);
END $$;


--
-- Name: adopt_result_v1(bigint, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.adopt_result_v1(of_job_id bigint, result jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'completed', completed_at = timezone('UTC', now()),
      meta = CASE WHEN result IS NULL THEN j.meta ELSE j.meta || jsonb_build_object('return', result) END
  WHERE j.id = of_job_id AND j.state NOT IN ('executing', 'completed', 'cancelled', 'discarded');
END $$;


--
-- Name: analyze_outgrown_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.analyze_outgrown_v1() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  outgrown CONSTANT regclass[] := ARRAY(SELECT powertools.outgrown_tables());
  one regclass;
BEGIN
  FOREACH one IN ARRAY outgrown LOOP
    EXECUTE format('ANALYZE %s', one);
  END LOOP;
  RETURN cardinality(outgrown);
END $$;


--
-- Name: analyze_tables(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.analyze_tables(batch integer, OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE sql
    AS $$
  SELECT powertools.analyze_outgrown_v1(), 0, false
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: steps; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.steps (
    workflow_id bigint NOT NULL,
    "position" integer NOT NULL,
    pending integer NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    job_id bigint,
    wait_id bigint,
    child_id bigint,
    attempt integer DEFAULT 0 NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    cause text,
    cancel_requested_at timestamp with time zone,
    released_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    result jsonb,
    error jsonb,
    kind text DEFAULT 'job'::text NOT NULL,
    max_attempts smallint DEFAULT 1 NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    depth integer NOT NULL,
    name text NOT NULL,
    worker text,
    queue text,
    effects text DEFAULT 'ask'::text NOT NULL,
    args jsonb,
    template jsonb,
    parents integer[] DEFAULT '{}'::integer[] NOT NULL,
    children integer[] DEFAULT '{}'::integer[] NOT NULL,
    continue_parents integer[],
    continue_children integer[],
    tags text[],
    meta jsonb,
    scheduled_at timestamp with time zone,
    delay interval,
    deadline interval,
    item_template jsonb,
    max_failures integer,
    held_until timestamp with time zone,
    hold_reason text,
    CONSTRAINT step_args CHECK (((args IS NULL) <> (template IS NULL))),
    CONSTRAINT step_cause CHECK ((cause = ANY (ARRAY['cancelled_by_dependency'::text, 'job_deleted'::text, 'cancel_requested'::text, 'completed_after_cancel_request'::text, 'workflow_expired'::text, 'wait_expired'::text, 'cancelled_by_operator'::text, 'completed_by_operator'::text, 'skipped'::text]))),
    CONSTRAINT step_effects CHECK ((effects = ANY (ARRAY['repeatable'::text, 'ask'::text, 'never'::text]))),
    CONSTRAINT step_finished CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['completed'::text, 'discarded'::text, 'cancelled'::text, 'expired'::text])))),
    CONSTRAINT step_has_what_it_runs_on CHECK (
CASE state
    WHEN 'available'::text THEN (job_id IS NOT NULL)
    WHEN 'executing'::text THEN ((child_id IS NOT NULL) AND (kind = ANY (ARRAY['workflow'::text, 'map'::text])))
    WHEN 'awaiting_signal'::text THEN (wait_id IS NOT NULL)
    WHEN 'pending'::text THEN (job_id IS NULL)
    ELSE true
END),
    CONSTRAINT step_hold CHECK (((held_until IS NULL) = (hold_reason IS NULL))),
    CONSTRAINT step_job CHECK (((max_attempts > 0) AND ((priority >= 0) AND (priority <= 9)))),
    CONSTRAINT step_kind CHECK (
CASE kind
    WHEN 'job'::text THEN ((worker <> ''::text) AND (queue <> ''::text) AND (worker IS NOT NULL) AND (queue IS NOT NULL))
    WHEN 'map'::text THEN ((worker IS NOT NULL) AND (queue IS NOT NULL) AND (item_template IS NOT NULL) AND (max_failures >= 0))
    ELSE ((kind = ANY (ARRAY['signal'::text, 'workflow'::text])) AND (worker IS NULL) AND (queue IS NULL))
END),
    CONSTRAINT step_name_required CHECK ((name <> ''::text)),
    CONSTRAINT step_pending CHECK ((pending >= 0)),
    CONSTRAINT step_position CHECK ((("position" >= 0) AND (depth >= 0))),
    CONSTRAINT step_released_only_when_ready CHECK (((state <> ALL (ARRAY['available'::text, 'executing'::text, 'awaiting_signal'::text])) OR (pending = 0))),
    CONSTRAINT step_result_of_completed CHECK (((result IS NULL) OR (state = 'completed'::text))),
    CONSTRAINT step_state CHECK ((state = ANY (ARRAY['pending'::text, 'available'::text, 'executing'::text, 'awaiting_signal'::text, 'completed'::text, 'discarded'::text, 'cancelled'::text, 'expired'::text])))
)
WITH (fillfactor='45');


--
-- Name: append_steps(powertools.steps, powertools.outcome); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.append_steps(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  base int;
  added CONSTANT int := jsonb_array_length(o.result -> 'append');
  taken text;
BEGIN
  SELECT k.name INTO taken
  FROM jsonb_array_elements(o.result -> 'append') AS a (step)
  JOIN powertools.steps k ON k.workflow_id = s.workflow_id AND k.name = a.step ->> 'name'
  LIMIT 1;
  IF taken IS NOT NULL THEN
    o.state := 'discarded';
    o.result := NULL;
    o.error := jsonb_build_object('attempt', o.attempt, 'error', format('append refused: the workflow has a step %s already', taken));
    RETURN o;
  END IF;

  UPDATE powertools.workflows w SET total = w.total + added, open = w.open + added WHERE w.id = s.workflow_id
  RETURNING w.total - added - 1 INTO base;
  UPDATE powertools.steps k
  SET children = k.children || ARRAY(
        SELECT base + a.place FROM jsonb_to_recordset(o.result -> 'append') AS a (place int, parents int[])
        WHERE 0 = ANY (a.parents) ORDER BY a.place
      ),
      continue_children = k.continue_children || ARRAY(
        SELECT base + a.place FROM jsonb_to_recordset(o.result -> 'append') AS a (place int, continue_parents int[])
        WHERE 0 = ANY (a.continue_parents) ORDER BY a.place
      )
  WHERE k.workflow_id = s.workflow_id AND k.position = s.position;
  INSERT INTO powertools.steps (
    workflow_id, position, pending, depth, name, worker, queue, effects, priority, max_attempts, args, template, meta,
    tags, delay, scheduled_at, parents, continue_parents, children, continue_children, held_until, hold_reason
  )
  SELECT s.workflow_id, base + a.place, cardinality(a.parents) + cardinality(a.continue_parents), s.depth + a.depth,
    a.name, a.worker, a.queue, a.effects, a.priority, a.max_attempts, a.args,
    (
      SELECT jsonb_agg(CASE jsonb_typeof(t.part)
        WHEN 'string' THEN t.part
        ELSE jsonb_set(t.part, '{0}', CASE t.part -> 0 WHEN '0' THEN to_jsonb(s.position) ELSE to_jsonb(base + (t.part ->> 0)::int) END)
      END ORDER BY t.place)
      FROM jsonb_array_elements(a.template) WITH ORDINALITY AS t (part, place)
    ),
    a.meta, a.tags, make_interval(secs => a.delay), a.scheduled_at,
    ARRAY(SELECT CASE e WHEN 0 THEN s.position ELSE base + e END FROM unnest(a.parents) AS e),
    ARRAY(SELECT CASE e WHEN 0 THEN s.position ELSE base + e END FROM unnest(a.continue_parents) AS e),
    ARRAY(SELECT base + e FROM unnest(a.children) AS e),
    ARRAY(SELECT base + e FROM unnest(a.continue_children) AS e),
    s.held_until, s.hold_reason
  FROM jsonb_to_recordset(o.result -> 'append') AS a (
    place int, depth int, name text, worker text, queue text, effects text, priority int, max_attempts int, args jsonb,
    template jsonb, meta jsonb, tags text[], delay float, scheduled_at timestamptz, parents int[], continue_parents int[],
    children int[], continue_children int[]
  );
  RETURN o;
END $$;


--
-- Name: apply_outcomes_v1(powertools.outcome[], bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.apply_outcomes_v1(outcomes powertools.outcome[], stopping bigint[]) RETURNS powertools.ended[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  ended powertools.ended[];
BEGIN
  WITH done AS (
    UPDATE powertools.steps s
    SET state = CASE
          WHEN o.state = 'cancelled' AND o.workflow_id = ANY (stopping) AND EXISTS (
            SELECT FROM powertools.workflows w WHERE w.id = o.workflow_id AND w.expired_at IS NOT NULL
          ) THEN 'expired'
          ELSE o.state
        END,
        cause = coalesce(o.cause, CASE
          WHEN o.state = 'completed' AND (o.workflow_id = ANY (stopping) OR s.cancel_requested_at IS NOT NULL)
            THEN 'completed_after_cancel_request'
          WHEN o.state = 'cancelled' AND o.workflow_id = ANY (stopping) THEN (
            SELECT CASE WHEN w.expired_at IS NULL THEN 'cancel_requested' ELSE 'workflow_expired' END
            FROM powertools.workflows w WHERE w.id = o.workflow_id
          )
          WHEN o.state = 'cancelled' AND s.cancel_requested_at IS NOT NULL THEN 'cancelled_by_operator'
        END),
        attempt = o.attempt,
        result = CASE o.state WHEN 'completed' THEN o.result -> 'json' END,
        error = powertools.told_error_v1(o.error),
        released_at = coalesce(o.released_at, s.released_at), started_at = coalesce(o.started_at, s.started_at),
        held_until = NULL, hold_reason = NULL,
        finished_at = clock_timestamp()
    FROM (SELECT * FROM unnest(outcomes) LIMIT cardinality(outcomes)) AS o
    WHERE s.workflow_id = o.workflow_id AND s.position = o.position
      AND o.state IN ('completed', 'discarded', 'cancelled', 'expired')
      AND CASE s.state
        WHEN 'available' THEN s.job_id = o.job_id
        WHEN 'awaiting_signal' THEN s.wait_id = o.wait_id
        WHEN 'executing' THEN s.child_id = o.child_id
      END
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO ended
  FROM done s;
  RETURN ended;
END $$;


--
-- Name: archive_audit(interval, bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.archive_audit(kept_for interval, run bigint, seals integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
  from_seal bigint;
  upto bigint;
  archived int;
  removed int;
BEGIN
  SELECT c.pruned_to INTO from_seal FROM powertools.audit_chain c;
  upto := powertools.prunable_seal(kept_for, seals);
  IF upto IS NULL THEN
    RETURN 0;
  END IF;
  INSERT INTO powertools.archive (class, original_id, run_id, record)
  SELECT 'audit', a.id, run, to_jsonb(a) || jsonb_build_object('seal_id', l.seal_id, 'row_hash', encode(l.row_hash, 'hex'))
  FROM powertools.audit_links l JOIN powertools.audit a ON a.id = l.audit_id
  WHERE l.seal_id > from_seal AND l.seal_id <= upto;
  GET DIAGNOSTICS archived = ROW_COUNT;
  removed := powertools.prune_audit_v1(kept_for, (upto - from_seal)::int);
  IF removed <> archived THEN
    RAISE EXCEPTION 'the audit is being verified, or was changed: % rows archived, % removed', archived, removed
    USING ERRCODE = 'lock_not_available';
  END IF;
  RETURN removed;
END $$;


--
-- Name: audit; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL,
    actor_label text,
    action text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    workflow_id bigint,
    step text,
    reason text,
    outcome text NOT NULL,
    before jsonb,
    after jsonb,
    plan_hash text,
    preview_id bigint,
    incident_id bigint,
    surface text NOT NULL,
    request_id text,
    details jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT audit_actor CHECK (((actor_type = ANY (ARRAY['user'::text, 'service'::text, 'agent'::text, 'system'::text])) AND ((actor_id <> ''::text) OR (outcome = 'refused'::text)))),
    CONSTRAINT audit_named CHECK (((action <> ''::text) AND (target_type <> ''::text) AND (target_id <> ''::text))),
    CONSTRAINT audit_outcome CHECK ((outcome = ANY (ARRAY['executed'::text, 'refused'::text, 'drifted'::text, 'expired'::text, 'failed'::text]))),
    CONSTRAINT audit_surface CHECK ((surface = ANY (ARRAY['api'::text, 'cli'::text, 'web'::text, 'system'::text])))
);


--
-- Name: audit_hash_of_18(powertools.audit); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.audit_hash_of_18(a powertools.audit) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    a.id, (extract(epoch FROM a.at) * 1000000)::bigint, a.actor_id, a.actor_type, a.actor_label, a.action,
    a.target_type, a.target_id, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id,
    a.surface, a.request_id, a.details
  )::text, 'UTF8'))
$$;


--
-- Name: audit_hash_v1(powertools.audit); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.audit_hash_v1(a powertools.audit) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    a.id, (extract(epoch FROM a.at) * 1000000)::bigint, a.actor_id, a.actor_type, a.actor_label, a.action,
    a.target_type, a.target_id, a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id,
    a.surface, a.request_id, a.details
  )::text, 'UTF8'))
$$;


--
-- Name: await_signal(powertools.steps, powertools.outcome); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.await_signal(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    AS $$
DECLARE
  wanted jsonb := o.result -> 'await';
BEGIN
  -- A worker in another language may return a value that ours refuses.
  IF (
    length(wanted ->> 'signal') BETWEEN 1 AND 200 AND length(wanted ->> 'correlation_key') BETWEEN 1 AND 200
    AND coalesce((wanted ->> 'deadline')::float, 0) BETWEEN 0 AND 36525 * 86400.0
  ) IS NOT TRUE THEN
    o.state := 'discarded';
    o.result := NULL;
    o.error := jsonb_build_object('attempt', o.attempt, 'error',
      'wait refused: it needs a signal and a correlation key of 1 to 200 characters each, and a deadline of 0 to 100 years');
    RETURN ARRAY[o];
  END IF;
  INSERT INTO powertools.waits (workflow_id, position, generation, signal, correlation_key, deadline_at)
  VALUES (
    s.workflow_id, s.position, s.generation, wanted ->> 'signal', wanted ->> 'correlation_key',
    clock_timestamp() + make_interval(secs => (wanted ->> 'deadline')::float)
  )
  RETURNING id INTO s.wait_id;
  UPDATE powertools.steps k
  SET state = 'awaiting_signal', wait_id = s.wait_id, attempt = o.attempt, released_at = o.released_at,
      started_at = o.started_at
  WHERE k.workflow_id = s.workflow_id AND k.position = s.position;
  PERFORM powertools.write_events_v1(ARRAY[
    ROW (s.workflow_id, s.position, 'awaiting', NULL, NULL, NULL, NULL, NULL)::powertools.change
  ]);
  RETURN powertools.consume_signals(ARRAY[s.wait_id]);
END $$;


--
-- Name: beat_v1(text[], text[], text[], text[], double precision[], interval[], text, integer, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.beat_v1(executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages double precision[], gone_afters interval[], of_host text DEFAULT NULL::text, of_pid integer DEFAULT NULL::integer, of_ticks bigint DEFAULT NULL::bigint) RETURNS integer
    LANGUAGE sql
    AS $$
  SELECT powertools.beat_v1(
    executor_ids, nodes, producers, scopes, loop_ages, gone_afters, '{}', '{}', '45 s', '2 min', '{}', of_host, of_pid, of_ticks
  )
$$;


--
-- Name: beat_v1(text[], text[], text[], text[], double precision[], interval[], integer[], double precision[], interval, interval, jsonb, text, integer, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.beat_v1(executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages double precision[], gone_afters interval[], asides integer[], aside_ages double precision[], late_after interval, missing_after interval, started_with jsonb, of_host text DEFAULT NULL::text, of_pid integer DEFAULT NULL::integer, of_ticks bigint DEFAULT NULL::bigint) RETURNS integer
    LANGUAGE sql
    AS $$
  WITH beats AS (
    INSERT INTO powertools.executors AS e (
      executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
      late_after, missing_after, started_with, aside, aside_since, host, pid, ticks, session_pid
    )
    SELECT b.executor_id, b.node, b.producer, b.scope, t.now, t.now, t.now - make_interval(secs => b.loop_age), t.now, b.gone_after,
      beat_v1.late_after, beat_v1.missing_after, beat_v1.started_with,
      coalesce(b.aside, 0), CASE WHEN b.aside > 0 THEN t.now - make_interval(secs => b.aside_age) END, of_host, of_pid, of_ticks, pg_backend_pid()
    FROM unnest(executor_ids, nodes, producers, scopes, loop_ages, gone_afters, asides, aside_ages)
      AS b (executor_id, node, producer, scope, loop_age, gone_after, aside, aside_age)
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS t
    ORDER BY b.executor_id
    ON CONFLICT (executor_id) DO UPDATE
    SET node = excluded.node, producer = excluded.producer, producer_scope = excluded.producer_scope,
        beat_at = excluded.beat_at, loop_beat_at = excluded.loop_beat_at, gone_after = excluded.gone_after,
        late_after = excluded.late_after, missing_after = excluded.missing_after,
        aside = excluded.aside, aside_since = excluded.aside_since,
        beating_since = CASE
          WHEN e.stopped_at IS NULL AND e.beat_at > greatest(
            excluded.beat_at - least(e.gone_after, excluded.gone_after) / 2, powertools.server_started_at()
          ) AND e.beat_at < excluded.beat_at + interval '1 s' THEN e.beating_since
          ELSE excluded.beat_at
        END,
        host = excluded.host, pid = excluded.pid, ticks = excluded.ticks, session_pid = excluded.session_pid,
        stopped_at = NULL, abrupt = false, died_at = NULL, died_seen_by = NULL, missing_at = NULL, relieved_at = NULL
    RETURNING 1
  )
  SELECT count(*)::int FROM beats;
$$;


--
-- Name: workflows; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.workflows (
    id bigint NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    total integer NOT NULL,
    open integer NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    stopped integer DEFAULT 0 NOT NULL,
    failures_handled boolean,
    finished_at timestamp with time zone,
    cancel_requested_at timestamp with time zone,
    expired_at timestamp with time zone,
    semantics_version smallint DEFAULT 2 NOT NULL,
    name text NOT NULL,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    definition_version text,
    idempotency_key text,
    definition_hash text,
    uid text DEFAULT "left"((gen_random_uuid())::text, 8) NOT NULL,
    on_finished jsonb,
    expires_in interval,
    expires_at timestamp with time zone,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    root_id bigint NOT NULL,
    parent_id bigint,
    parent_position integer,
    max_failures integer,
    CONSTRAINT workflow_counters CHECK (((total > 0) AND ((open >= 0) AND (open <= total)) AND ((failed >= 0) AND (failed <= (total - open))) AND ((stopped >= 0) AND (stopped <= (total - open))))),
    CONSTRAINT workflow_ends_with_its_last_step CHECK ((((open = 0) = (finished_at IS NOT NULL)) AND ((open = 0) = (state = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text, 'expired'::text]))))),
    CONSTRAINT workflow_family CHECK ((((parent_id IS NULL) = (parent_position IS NULL)) AND ((parent_id IS NULL) = (root_id = id)) AND (root_id <= id))),
    CONSTRAINT workflow_generation CHECK ((generation > 0)),
    CONSTRAINT workflow_idempotency CHECK (((idempotency_key IS NULL) = (definition_hash IS NULL))),
    CONSTRAINT workflow_name_required CHECK ((name <> ''::text)),
    CONSTRAINT workflow_state CHECK ((state = ANY (ARRAY['running'::text, 'cancel_requested'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'expired'::text])))
)
WITH (fillfactor='80');


--
-- Name: oban_jobs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.oban_jobs (
    id bigint NOT NULL,
    state public.oban_job_state DEFAULT 'available'::public.oban_job_state NOT NULL,
    queue text DEFAULT 'default'::text NOT NULL,
    worker text NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    max_attempts smallint DEFAULT 20 NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    meta jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags text[] DEFAULT ARRAY[]::text[] NOT NULL,
    errors jsonb DEFAULT '[]'::jsonb NOT NULL,
    attempted_by text[] DEFAULT ARRAY[]::text[] NOT NULL,
    inserted_at timestamp without time zone DEFAULT timezone('UTC'::text, now()) NOT NULL,
    scheduled_at timestamp without time zone DEFAULT timezone('UTC'::text, now()) NOT NULL,
    attempted_at timestamp without time zone,
    cancelled_at timestamp without time zone,
    completed_at timestamp without time zone,
    discarded_at timestamp without time zone,
    CONSTRAINT attempt_range CHECK (((attempt >= 0) AND (attempt <= max_attempts))),
    CONSTRAINT non_negative_priority CHECK ((priority >= 0)),
    CONSTRAINT positive_max_attempts CHECK ((max_attempts > 0)),
    CONSTRAINT queue_length CHECK ((char_length(queue) > 0)),
    CONSTRAINT worker_length CHECK ((char_length(worker) > 0))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='50', autovacuum_analyze_scale_factor='0.02', autovacuum_analyze_threshold='100', autovacuum_vacuum_cost_limit='2000', autovacuum_vacuum_cost_delay='1', autovacuum_vacuum_insert_scale_factor='0.02', autovacuum_vacuum_insert_threshold='1000', fillfactor='85');


--
-- Name: bookkeeping_fault_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.bookkeeping_fault_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'bookkeeping_fault:' || f.sqlstate
  FROM powertools.settle_faults f WHERE f.job_id = coalesce(j.id, s.job_id) AND f.repaired_at IS NULL
$$;


--
-- Name: incidents; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.incidents (
    id bigint NOT NULL,
    fingerprint text NOT NULL,
    class text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    substatus text DEFAULT 'new'::text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    title text NOT NULL,
    count bigint NOT NULL,
    evidence jsonb NOT NULL,
    waiting_workflows integer NOT NULL,
    waiting_steps bigint NOT NULL,
    holds_until timestamp with time zone,
    first_detected_at timestamp with time zone NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    last_detected_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    reopened integer DEFAULT 0 NOT NULL,
    acknowledged_by text,
    acknowledged_at timestamp with time zone,
    assignee text,
    muted_until timestamp with time zone,
    CONSTRAINT incident_acknowledged CHECK ((((acknowledged_by IS NULL) = (acknowledged_at IS NULL)) AND ((state <> 'acknowledged'::text) OR (acknowledged_by IS NOT NULL)))),
    CONSTRAINT incident_class CHECK ((split_part(fingerprint, ':'::text, 1) = class)),
    CONSTRAINT incident_names CHECK (((evidence ->> 'id_type'::text) = ANY (ARRAY['job'::text, 'wait'::text, 'workflow'::text, 'late_result'::text]))),
    CONSTRAINT incident_resolved CHECK (((state = 'resolved'::text) = (resolved_at IS NOT NULL))),
    CONSTRAINT incident_state CHECK ((state = ANY (ARRAY['active'::text, 'acknowledged'::text, 'resolved'::text]))),
    CONSTRAINT incident_substatus CHECK ((substatus = ANY (ARRAY['new'::text, 'ongoing'::text, 'recurring'::text, 'regressed'::text])))
);


--
-- Name: bookkeeping_fault_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.bookkeeping_fault_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.settle_faults f WHERE f.job_id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND f.repaired_at IS NULL
  )
$$;


--
-- Name: callback_failed_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.callback_failed_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'callback_failed:' || j.worker
  WHERE j.state = 'discarded' AND NOT j.meta ? 'position' AND j.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps']
$$;


--
-- Name: callback_failed_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.callback_failed_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM unnest(powertools.ids_of(i)) AS c (id) LEFT JOIN public.oban_jobs j ON j.id = c.id
    WHERE j.id IS NULL OR j.state = 'discarded'
  )
$$;


--
-- Name: cancel_busy_jobs(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_busy_jobs(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    SET lock_timeout TO '300ms'
    AS $$
BEGIN
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  WHERE j.id = ANY (ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended');
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  NULL;
END $$;


--
-- Name: cancel_free_jobs(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_free_jobs(ids bigint[]) RETURNS void
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
  WITH free AS (
    SELECT j.id
    FROM unnest(ids) AS i (id) JOIN public.oban_jobs j ON j.id = i.id
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  )
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now()) FROM free f WHERE j.id = f.id;
$$;


--
-- Name: cancel_idle_jobs(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_idle_jobs(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  idle bigint[] := powertools.idle_jobs(workflow_ids);
BEGIN
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_free_jobs(idle);
    idle := powertools.idle_jobs(workflow_ids);
  END IF;
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_busy_jobs(idle);
  END IF;
END $$;


--
-- Name: cancel_idle_jobs(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_idle_jobs(batch integer, OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  WITH stopping AS (
    SELECT s.job_id, s.workflow_id, s.position
    FROM powertools.workflows w JOIN powertools.steps s ON s.workflow_id = w.id
    WHERE w.state = 'cancel_requested' AND s.state = 'available'
    UNION
    SELECT s.job_id, s.workflow_id, s.position FROM powertools.steps s WHERE s.cancel_requested_at IS NOT NULL AND s.state = 'available'
  ), idle AS (
    SELECT j.id
    FROM stopping t
    JOIN public.oban_jobs j ON j.id = t.job_id AND powertools.is_job_of_v1(j.meta, t.workflow_id, t.position)
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id LIMIT batch
    FOR UPDATE OF j SKIP LOCKED
  )
  UPDATE public.oban_jobs j
  SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  FROM idle i WHERE j.id = i.id;
  GET DIAGNOSTICS done = ROW_COUNT;
  more := done > 0;
END $$;


--
-- Name: cancel_job_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_job_v1(of_job_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  WHERE j.id = of_job_id AND j.state IN ('available', 'scheduled', 'retryable', 'suspended');
  IF NOT FOUND THEN
    PERFORM powertools.notify_v1('public.oban_signal', json_build_object('action', 'pkill', 'job_id', of_job_id)::text);
  END IF;
END $$;


--
-- Name: cancel_step_v1(bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cancel_step_v1(of_workflow_id bigint, of_position integer) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  s powertools.steps;
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  UPDATE powertools.steps k SET cancel_requested_at = clock_timestamp()
  WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
  RETURNING k.* INTO s;
  IF s.kind = 'workflow' OR s.state = 'executing' THEN
    PERFORM powertools.stop_workflows_v1(ARRAY[s.child_id], false);
  END IF;
  IF s.state = 'available' THEN
    UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
    WHERE j.id = (
      SELECT i.id FROM public.oban_jobs i
      WHERE i.id = s.job_id AND powertools.is_job_of_v1(i.meta, s.workflow_id, s.position)
        AND i.state IN ('available', 'scheduled', 'retryable', 'suspended')
      FOR UPDATE SKIP LOCKED
    );
    PERFORM powertools.tell_executing_jobs(ARRAY[of_workflow_id], of_position);
  ELSIF s.state <> 'executing' THEN
    WITH done AS (
      UPDATE powertools.steps k
      SET state = 'cancelled', cause = 'cancelled_by_operator', finished_at = clock_timestamp(), held_until = NULL, hold_reason = NULL
      WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
      RETURNING k.*
    )
    SELECT array_agg(ROW (
      d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
    )::powertools.ended)
    INTO ended FROM done d;
    PERFORM powertools.move_on_v1(ended, NULL);
  END IF;
  RETURN (SELECT k.finished_at IS NOT NULL FROM powertools.steps k WHERE k.workflow_id = of_workflow_id AND k.position = of_position);
END $$;


--
-- Name: cascade(powertools.ended[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.cascade(ended powertools.ended[]) RETURNS powertools.ended[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  cancelled_too powertools.ended[];
BEGIN
  WITH RECURSIVE reached AS (
    SELECT e.workflow_id, c.child AS position
    FROM unnest(ended) AS e CROSS JOIN LATERAL unnest(e.children) AS c (child)
    WHERE e.state <> 'completed'
    UNION
    SELECT n.workflow_id, n.position
    FROM reached r
    JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position
    CROSS JOIN LATERAL (
      SELECT s.workflow_id, c.child AS position FROM unnest(s.children) AS c (child)
      UNION ALL
      SELECT k.workflow_id, k.position FROM powertools.steps k
      WHERE k.workflow_id = s.child_id AND s.kind = 'workflow' AND k.state = 'pending'
    ) AS n
    WHERE CASE s.state WHEN 'pending' THEN true END
  ), cancelled AS (
    UPDATE powertools.steps s
    SET state = 'cancelled', cause = 'cancelled_by_dependency', finished_at = clock_timestamp(),
        held_until = NULL, hold_reason = NULL
    FROM reached r
    WHERE s.workflow_id = r.workflow_id AND s.position = r.position AND CASE s.state WHEN 'pending' THEN true END
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO cancelled_too
  FROM cancelled s;
  RETURN cancelled_too;
END $$;


--
-- Name: check_edges_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.check_edges_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  bad record;
BEGIN
  SELECT workflow_id, parent, child INTO bad
  FROM (
    SELECT s.workflow_id, p.parent, s.position AS child, s.depth, 'cancel' AS policy
    FROM new_steps s CROSS JOIN LATERAL unnest(s.parents) AS p (parent)
    UNION ALL
    SELECT s.workflow_id, p.parent, s.position, s.depth, 'continue'
    FROM new_steps s CROSS JOIN LATERAL unnest(s.continue_parents) AS p (parent)
  ) AS incoming
  FULL JOIN (
    SELECT s.workflow_id, s.position AS parent, c.child, s.depth AS parent_depth, 'cancel' AS policy
    FROM new_steps s CROSS JOIN LATERAL unnest(s.children) AS c (child)
    UNION ALL
    SELECT s.workflow_id, s.position, c.child, s.depth, 'continue'
    FROM new_steps s CROSS JOIN LATERAL unnest(s.continue_children) AS c (child)
  ) AS outgoing USING (workflow_id, parent, child, policy)
  WHERE (depth IS NULL OR parent_depth IS NULL OR parent_depth >= depth)
    -- an appended step depends on a step that was stored earlier
    AND NOT EXISTS (
      SELECT FROM powertools.steps s
      WHERE s.workflow_id = incoming.workflow_id AND s.position = parent AND s.depth < incoming.depth
        AND child = ANY (CASE policy WHEN 'cancel' THEN s.children ELSE s.continue_children END)
    )
  LIMIT 1;
  IF FOUND THEN
    RAISE check_violation USING MESSAGE = format(
      'workflow %s: the edge from step %s to step %s does not lead forward inside the workflow',
      bad.workflow_id, bad.parent, bad.child);
  END IF;
  RETURN NULL;
END $$;


--
-- Name: check_invariants_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.check_invariants_v1() RETURNS TABLE(invariant text, workflow_id bigint, step_position integer, detail text)
    LANGUAGE sql STABLE
    AS $_$
  WITH ends AS (
    SELECT e.workflow_id, e.parent, e.child, e.policy, p.state AS parent_state, p.position AS parent_position,
      p.generation AS parent_generation, p.depth AS parent_depth, c.state AS child_state,
      c.position AS child_position, c.depth AS child_depth
    FROM powertools.edges e
    LEFT JOIN powertools.steps p ON p.workflow_id = e.workflow_id AND p.position = e.parent
    LEFT JOIN powertools.steps c ON c.workflow_id = e.workflow_id AND c.position = e.child
  ), faulted AS (
    SELECT f.job_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
  )
  SELECT 'live_step_has_its_job', s.workflow_id, s.position, 'job ' || s.job_id || ' is missing'
  FROM powertools.steps s
  LEFT JOIN public.oban_jobs j ON j.id = s.job_id
  WHERE s.state = 'available' AND j.id IS NULL AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'live_step_has_its_own_job', s.workflow_id, s.position, 'job ' || s.job_id || ' says it is none of it'
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position) IS NOT TRUE
  WHERE s.state = 'available' AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'live_step_has_a_live_job', s.workflow_id, s.position, 'job ' || s.job_id || ' is ' || j.state
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE s.state = 'available' AND j.state IN ('completed', 'discarded', 'cancelled')
    AND s.job_id NOT IN (SELECT job_id FROM faulted)
  UNION ALL
  SELECT 'one_live_job_a_step', powertools.workflow_of_v1(j.meta), powertools.position_of_v1(j.meta), count(*) || ' live jobs'
  FROM public.oban_jobs j
  WHERE j.state NOT IN ('completed', 'discarded', 'cancelled')
    AND powertools.workflow_of_v1(j.meta) IS NOT NULL AND powertools.position_of_v1(j.meta) IS NOT NULL
  GROUP BY 2, 3, j.meta ->> 'generation' HAVING count(*) > 1
  UNION ALL
  SELECT 'pending_counts_open_parents', s.workflow_id, s.position, 'pending ' || s.pending || ', open parents ' || n.open
  FROM powertools.steps s
  CROSS JOIN LATERAL (
    SELECT count(*) AS open
    FROM unnest(s.parents || s.continue_parents) AS e (parent)
    JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
    WHERE p.finished_at IS NULL
  ) AS n
  WHERE s.state = 'pending' AND s.pending <> n.open + (s.depth = 0 AND EXISTS (
    SELECT FROM powertools.workflows w
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    WHERE w.id = s.workflow_id AND p.state = 'pending'
  ))::int
  UNION ALL
  SELECT 'ready_step_is_released', s.workflow_id, s.position, 'pending with no open parent'
  FROM powertools.steps s WHERE s.state = 'pending' AND s.pending = 0 AND s.held_until IS NULL
  UNION ALL
  SELECT 'released_after_its_parents', workflow_id, child, 'parent ' || parent || ' is ' || parent_state
  FROM ends
  WHERE child_state IN ('available', 'executing', 'awaiting_signal')
    AND CASE policy
      WHEN 'cancel' THEN parent_state <> 'completed'
      -- one that failed may run again, when its child went on without it
      ELSE parent_state NOT IN ('completed', 'discarded', 'cancelled', 'expired') AND parent_generation = 1
    END
  UNION ALL
  SELECT 'failure_cascades', workflow_id, child, 'parent ' || parent || ' is ' || parent_state
  FROM ends
  WHERE policy = 'cancel' AND parent_state IN ('discarded', 'cancelled', 'expired') AND child_state = 'pending'
  UNION ALL
  SELECT 'cancelled_for_a_reason', s.workflow_id, s.position, 'no failed parent on a cancel edge'
  FROM powertools.steps s
  WHERE s.cause = 'cancelled_by_dependency' AND NOT EXISTS (
    -- a subquery looks each parent up, whatever the statistics are
    SELECT FROM unnest(s.parents) AS e (parent)
    WHERE (SELECT p.state FROM powertools.steps p WHERE p.workflow_id = s.workflow_id AND p.position = e.parent)
      IN ('discarded', 'cancelled', 'expired')
  ) AND NOT EXISTS (
    -- a nested workflow that never starts goes with the step that would have run it
    SELECT FROM powertools.workflows w
    WHERE w.id = s.workflow_id AND w.parent_id IS NOT NULL AND NOT powertools.has_started(w.id)
  )
  UNION ALL
  SELECT 'edges_lead_forward_inside', workflow_id, child, 'edge from ' || parent
  FROM ends WHERE parent_position IS NULL OR child_position IS NULL OR parent_depth >= child_depth
  UNION ALL
  SELECT 'both_ends_know_an_edge', workflow_id, child, format('%s edge from %s', policy, parent)
  FROM (SELECT *, true AS incoming FROM powertools.edges) AS e
  FULL JOIN (
    SELECT s.workflow_id, s.position AS parent, c.child, 'cancel' AS policy, true AS outgoing
    FROM powertools.steps s CROSS JOIN LATERAL unnest(s.children) AS c (child)
    UNION ALL
    SELECT s.workflow_id, s.position, c.child, 'continue', true
    FROM powertools.steps s CROSS JOIN LATERAL unnest(s.continue_children) AS c (child)
  ) AS o USING (workflow_id, parent, child, policy)
  WHERE e.incoming IS NULL OR o.outgoing IS NULL
  UNION ALL
  SELECT 'counters_equal_rows', w.id, NULL,
    format('total %s/%s, open %s/%s, failed %s/%s, stopped %s/%s',
      w.total, n.total, w.open, n.open, w.failed, n.failed, w.stopped, n.stopped)
  FROM powertools.workflows w
  CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE s.finished_at IS NULL) AS open,
      count(*) FILTER (WHERE powertools.is_failure(s.state, s.cause)) AS failed,
      count(*) FILTER (WHERE s.cause IN ('cancel_requested', 'workflow_expired')) AS stopped
    FROM powertools.steps s WHERE s.workflow_id = w.id
  ) AS n
  WHERE (w.total, w.open, w.failed, w.stopped) IS DISTINCT FROM (n.total, n.open, n.failed, n.stopped)
  UNION ALL
  SELECT 'state_follows_the_steps', w.id, NULL,
    format('state %s, open %s, failed %s, handled %s', w.state, w.open, w.failed, w.failures_handled)
  FROM powertools.workflows w
  WHERE w.open = 0 AND w.state <> CASE
      WHEN w.stopped > 0 AND w.expired_at IS NOT NULL THEN 'expired'
      WHEN w.stopped > 0 THEN 'cancelled'
      WHEN w.failed > 0 THEN 'failed'
      ELSE 'completed'
    END
    OR w.open > 0 AND w.state <> CASE
      WHEN w.cancel_requested_at IS NOT NULL OR w.expired_at IS NOT NULL THEN 'cancel_requested'
      ELSE 'running'
    END
    OR (w.failures_handled IS NOT NULL) <> (w.open = 0 AND w.failed > 0)
  UNION ALL
  SELECT 'nothing_starts_while_stopping', s.workflow_id, s.position, 'step ' || s.state
  FROM powertools.workflows w
  JOIN powertools.steps s ON s.workflow_id = w.id
  WHERE w.state = 'cancel_requested' AND s.state IN ('pending', 'awaiting_signal')
  UNION ALL
  SELECT 'suspended_job_is_held', s.workflow_id, s.position, 'job ' || j.id || ' is suspended'
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE s.state = 'available' AND j.state = 'suspended' AND s.held_until IS NULL
    AND j.meta -> 'quarantined' IS DISTINCT FROM to_jsonb(j.attempt)
  UNION ALL
  SELECT 'nested_workflow_and_its_step_agree', s.workflow_id, s.position, format('step %s, workflow %s %s', s.state, c.id, c.state)
  FROM powertools.steps s
  LEFT JOIN powertools.workflows c ON c.id = s.child_id
  WHERE s.state = 'executing' AND (c.id IS NULL OR c.open = 0)
    OR s.finished_at IS NOT NULL AND c.open > 0
  UNION ALL
  SELECT 'wait_and_its_step_agree', w.workflow_id, w.position, format('wait %s %s', w.id, w.state)
  FROM powertools.waits w
  LEFT JOIN powertools.steps s ON s.workflow_id = w.workflow_id AND s.position = w.position AND s.wait_id = w.id
  WHERE (w.state = 'waiting') <> (s.state IS NOT DISTINCT FROM 'awaiting_signal')
  UNION ALL
  SELECT 'consumed_wait_has_one_signal', w.workflow_id, w.position, format('wait %s %s, %s signals', w.id, w.state, n.signals)
  FROM powertools.waits w
  CROSS JOIN LATERAL (SELECT count(*) AS signals FROM powertools.signals g WHERE g.wait_id = w.id) AS n
  WHERE n.signals <> (w.state = 'consumed')::int
  UNION ALL
  SELECT 'on_finished_once_a_generation', (j.meta ->> 'workflow_id')::bigint, NULL, count(*) || ' jobs'
  FROM public.oban_jobs j
  WHERE j.meta ? 'outcome' AND j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$'
  GROUP BY 2, j.meta ->> 'generation' HAVING count(*) > 1
  UNION ALL
  SELECT 'events_are_numbered_without_gap', e.workflow_id, NULL, format('%s events numbered %s to %s', count(*), min(e.number), max(e.number))
  FROM powertools.events e
  GROUP BY e.workflow_id
  HAVING count(*) <> max(e.number) - min(e.number) + 1 OR min(e.number) > 1 AND (SELECT l.pruned_to FROM powertools.event_log l) = 0
  UNION ALL
  SELECT 'last_event_tells_the_state', s.workflow_id, s.position,
    format('step %s, job %s, last event %s', s.state, j.state, l.change)
  FROM powertools.steps s
  LEFT JOIN public.oban_jobs j
    ON s.state = 'available' AND j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  LEFT JOIN (
    SELECT DISTINCT ON (e.workflow_id, e.position) e.workflow_id, e.position, e.change, e.job_id
    FROM powertools.events e
    WHERE e.position IS NOT NULL AND NOT e.published
    ORDER BY e.workflow_id, e.position, e.number DESC
  ) AS l ON l.workflow_id = s.workflow_id AND l.position = s.position
  -- retention may have removed the only one
  WHERE (l.change IS NULL AND (SELECT g.pruned_to FROM powertools.event_log g) = 0 OR CASE s.state
      WHEN 'pending' THEN l.change <> 'recovered'
      WHEN 'executing' THEN l.change NOT IN ('started', 'recovered')
      WHEN 'awaiting_signal' THEN l.change <> 'awaiting'
      WHEN 'available' THEN CASE j.state::text
        WHEN 'executing' THEN l.change <> 'started'
        WHEN 'retryable' THEN l.change <> 'retrying'
        ELSE l.change NOT IN ('released', 'retrying', 'snoozed')
      END OR l.job_id <> s.job_id
      ELSE l.change <> s.state
    END)
    AND (s.state <> 'pending' OR l.change IS NOT NULL)
    AND NOT EXISTS (SELECT FROM powertools.deferred_starts d WHERE d.job_id = s.job_id)
    AND NOT (s.state = 'available' AND (j.id IS NULL OR j.state IN ('completed', 'discarded', 'cancelled') OR j.id IN (SELECT job_id FROM faulted)))
  UNION ALL
  SELECT 'finished_is_the_last_event', w.id, NULL, format('workflow %s, last event %s', w.state, l.change)
  FROM powertools.workflows w
  CROSS JOIN LATERAL (
    SELECT e.change, e.state, e.generation FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
  ) AS l
  WHERE w.finished_at IS NOT NULL AND (l.change, l.state, l.generation) IS DISTINCT FROM ('finished', w.state, w.generation)
    OR w.finished_at IS NULL AND l.change = 'finished'
  UNION ALL
  SELECT 'finished_once_a_generation', e.workflow_id, NULL, count(*) || ' times in generation ' || e.generation
  FROM powertools.events e WHERE e.change = 'finished'
  GROUP BY e.workflow_id, e.generation HAVING count(*) > 1
$_$;


--
-- Name: claim_webhook_v1(bigint, bigint, interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.claim_webhook_v1(endpoint bigint, deliverer bigint, leased_for interval, OUT outcome text, OUT wait_for interval, OUT lease uuid, OUT url text, OUT allow_private boolean, OUT secrets text[], OUT delivery bigint, OUT message jsonb, OUT attempts integer, OUT age interval) RETURNS record
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF EXISTS (SELECT FROM powertools.webhook_endpoints e WHERE e.id = endpoint AND e.format <> 'cloudevents') THEN
    outcome := 'wait';
    wait_for := '5 s';
    RETURN;
  END IF;
  SELECT c.outcome, c.wait_for, c.lease, c.url, c.allow_private, c.secrets, c.delivery, c.message, c.attempts, c.age
  INTO outcome, wait_for, lease, url, allow_private, secrets, delivery, message, attempts, age
  FROM powertools.claim_webhook_v2(endpoint, deliverer, leased_for) AS c;
END $$;


--
-- Name: claim_webhook_v2(bigint, bigint, interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.claim_webhook_v2(endpoint bigint, deliverer bigint, leased_for interval, OUT outcome text, OUT wait_for interval, OUT lease uuid, OUT format text, OUT url text, OUT allow_private boolean, OUT secrets text[], OUT delivery bigint, OUT message jsonb, OUT attempts integer, OUT age interval) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
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


--
-- Name: close_signals(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.close_signals(batch integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  late int;
BEGIN
  UPDATE powertools.signals g SET status = 'late'
  WHERE g.id = ANY (ARRAY(
    SELECT o.id FROM powertools.signals o
    WHERE o.status = 'stored' AND o.id = ANY (ARRAY(
      (SELECT e.id FROM powertools.signals e
      WHERE e.status = 'stored' AND e.expires_at <= clock_timestamp() ORDER BY e.expires_at LIMIT batch)
      UNION ALL
      (SELECT b.id FROM powertools.signals b
      WHERE b.status = 'stored' AND b.last_workflow_id < powertools.oldest_unfinished()
      ORDER BY b.last_workflow_id LIMIT batch)
    ))
    ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS late = ROW_COUNT;
  RETURN late;
END $$;


--
-- Name: close_signals_of(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.close_signals_of(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
BEGIN
  -- most often nothing is stored for any workflow by its id
  IF EXISTS (SELECT FROM powertools.signals g WHERE g.status = 'stored' AND g.workflow_id IS NOT NULL) THEN
    UPDATE powertools.signals g SET status = 'late'
    WHERE g.id = ANY (ARRAY(
      SELECT n.id FROM unnest(workflow_ids) AS e (id)
      JOIN powertools.signals n ON n.workflow_id = e.id AND n.status = 'stored' AND n.workflow_id IS NOT NULL
    )) AND g.status = 'stored';
  END IF;
END $$;


--
-- Name: close_waits(bigint[], powertools.ended[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.close_waits(wait_ids bigint[], ended powertools.ended[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE powertools.waits w
  SET ended_at = clock_timestamp(),
      state = CASE
        WHEN e.state = 'completed' AND e.cause IS NULL THEN 'consumed'
        WHEN e.state = 'expired' THEN 'expired'
        ELSE 'cancelled'
      END
  FROM unnest(ended) AS e
  WHERE w.id = e.wait_id AND w.id = ANY (wait_ids) AND w.state = 'waiting';
END $$;


--
-- Name: complete_step_v1(bigint, integer, jsonb, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.complete_step_v1(of_workflow_id bigint, of_position integer, payload jsonb, of_cause text) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  WITH done AS (
    UPDATE powertools.steps k
    SET state = 'completed', cause = of_cause, result = payload, pending = 0, finished_at = clock_timestamp(),
        held_until = NULL, hold_reason = NULL
    WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.state IN ('pending', 'awaiting_signal')
    RETURNING k.*
  )
  SELECT array_agg(ROW (
    d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
  )::powertools.ended)
  INTO ended FROM done d;
  PERFORM powertools.move_on_v1(ended, NULL);
END $$;


--
-- Name: consume_signals(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.consume_signals(wait_ids bigint[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  served bigint[];
  round powertools.outcome[];
  outcomes powertools.outcome[];
BEGIN
  LOOP
    WITH pairs AS (
      SELECT DISTINCT ON (p.signal_id) p.*
      FROM (
        SELECT DISTINCT ON (w.id) w.id AS wait_id, w.workflow_id, w.position, g.id AS signal_id, g.payload
        FROM powertools.waits w
        JOIN powertools.signals g ON g.signal = w.signal AND g.correlation_key = w.correlation_key
        WHERE w.id = ANY (wait_ids) AND w.state = 'waiting' AND g.status = 'stored' AND powertools.is_for(g, w)
        ORDER BY w.id, g.id
      ) AS p
      ORDER BY p.signal_id, p.wait_id
    ), consumed AS (
      UPDATE powertools.signals g
      SET status = 'consumed', wait_id = p.wait_id, consumed_at = clock_timestamp()
      FROM pairs p
      WHERE g.id = p.signal_id AND g.status = 'stored'
      RETURNING p.*
    )
    SELECT array_agg(c.wait_id), array_agg(ROW (
      c.workflow_id, c.position, NULL, c.wait_id, NULL, 'completed', NULL, 1,
      CASE WHEN c.payload IS NOT NULL THEN jsonb_build_object('json', c.payload) END, NULL, NULL, NULL
    )::powertools.outcome)
    INTO served, round
    FROM consumed c;
    outcomes := outcomes || round;
    EXIT WHEN served IS NULL OR cardinality(served) = cardinality(wait_ids);
    wait_ids := ARRAY(SELECT unnest(wait_ids) EXCEPT SELECT unnest(served));
  END LOOP;
  RETURN outcomes;
END $$;


--
-- Name: count_of(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.count_of(value jsonb) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $_$
  SELECT CASE WHEN value::text ~ '^[0-9]{1,9}$' THEN value::text::int ELSE 0 END
$_$;


--
-- Name: defer_starts(powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.defer_starts(starts powertools.change[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO powertools.deferred_starts (job_id, attempt, workflow_id, position)
  SELECT c.job_id, c.attempt, c.workflow_id, c.position FROM unnest(starts) AS c
  ON CONFLICT DO NOTHING;
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;


--
-- Name: defer_starts_guarded(powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.defer_starts_guarded(starts powertools.change[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  c powertools.change;
BEGIN
  PERFORM powertools.defer_starts(starts);
EXCEPTION WHEN OTHERS THEN
  FOREACH c IN ARRAY starts LOOP
    PERFORM powertools.record_settle_fault(
      ROW (
        c.workflow_id, c.position, c.job_id, NULL, NULL, 'executing', NULL, c.attempt, NULL, NULL, NULL, NULL
      )::powertools.outcome,
      SQLSTATE, SQLERRM
    );
  END LOOP;
END $$;


--
-- Name: signals; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.signals (
    id bigint NOT NULL,
    signal text NOT NULL,
    correlation_key text NOT NULL,
    workflow_id bigint,
    dedupe_key text,
    payload jsonb,
    status text NOT NULL,
    duplicate_of bigint,
    wait_id bigint,
    inserted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    consumed_at timestamp with time zone,
    expires_at timestamp with time zone,
    last_workflow_id bigint,
    swept boolean DEFAULT false NOT NULL,
    CONSTRAINT signal_consumed CHECK ((((status = 'consumed'::text) = (wait_id IS NOT NULL)) AND ((status = 'consumed'::text) = (consumed_at IS NOT NULL)))),
    CONSTRAINT signal_duplicate CHECK (((status = 'duplicate'::text) = (duplicate_of IS NOT NULL))),
    CONSTRAINT signal_named CHECK (((signal <> ''::text) AND (correlation_key <> ''::text))),
    CONSTRAINT signal_status CHECK ((status = ANY (ARRAY['consumed'::text, 'stored'::text, 'late'::text, 'ambiguous'::text, 'duplicate'::text])))
);


--
-- Name: deliver_signal_v1(text, text, jsonb, text, bigint, interval, boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.deliver_signal_v1(of_signal text, of_key text, of_payload jsonb, of_dedupe_key text, of_workflow_id bigint, expires_in interval, only_begun boolean) RETURNS powertools.signals
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  delivered powertools.signals;
  wait powertools.waits;
  waiting int;
BEGIN
  INSERT INTO powertools.signals AS g (
    signal, correlation_key, workflow_id, dedupe_key, payload, status, expires_at, last_workflow_id
  )
  VALUES (
    of_signal, of_key, of_workflow_id, of_dedupe_key, of_payload, 'stored', clock_timestamp() + expires_in,
    CASE WHEN only_begun THEN coalesce((SELECT max(w.id) FROM powertools.workflows w), 0) END
  )
  ON CONFLICT (signal, correlation_key, dedupe_key) WHERE dedupe_key IS NOT NULL AND status <> 'duplicate' DO NOTHING
  RETURNING g.* INTO delivered;
  IF delivered.id IS NULL THEN
    SELECT g.* INTO delivered FROM powertools.signals g
    WHERE g.signal = of_signal AND g.correlation_key = of_key AND g.dedupe_key = of_dedupe_key AND g.status <> 'duplicate';
    INSERT INTO powertools.signals (signal, correlation_key, workflow_id, dedupe_key, payload, status, duplicate_of)
    VALUES (of_signal, of_key, of_workflow_id, of_dedupe_key, of_payload, 'duplicate', delivered.id);
    delivered.status := 'duplicate';
    RETURN delivered;
  END IF;

  IF of_workflow_id IS NOT NULL THEN
    -- so that the transaction that ends it sees this signal, or has ended it before we look
    PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  END IF;
  SELECT count(DISTINCT w.workflow_id) INTO waiting
  FROM powertools.waits w
  WHERE w.signal = of_signal AND w.correlation_key = of_key AND w.state = 'waiting' AND powertools.is_for(delivered, w);
  IF waiting > 1 THEN
    UPDATE powertools.signals g SET status = 'ambiguous' WHERE g.id = delivered.id RETURNING g.* INTO delivered;
    RETURN delivered;
  END IF;
  IF waiting = 0 THEN
    SELECT w.* INTO wait FROM powertools.waits w
    WHERE w.signal = of_signal AND w.correlation_key = of_key AND (of_workflow_id IS NULL OR w.workflow_id = of_workflow_id)
    ORDER BY w.id DESC LIMIT 1;
    -- a workflow that has ended, or does not exist, waits no more: its signal would be stored in vain
    IF wait.state = 'expired'
      OR of_workflow_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM powertools.workflows w WHERE w.id = of_workflow_id AND w.finished_at IS NULL)
      OR delivered.last_workflow_id < powertools.oldest_unfinished() THEN
      UPDATE powertools.signals g SET status = 'late' WHERE g.id = delivered.id RETURNING g.* INTO delivered;
    END IF;
    RETURN delivered;
  END IF;

  SELECT w.* INTO wait FROM powertools.waits w
  WHERE w.signal = of_signal AND w.correlation_key = of_key AND w.state = 'waiting' AND powertools.is_for(delivered, w)
  ORDER BY w.id LIMIT 1;
  PERFORM powertools.lock_families_v1(ARRAY[wait.workflow_id]);
  -- It may have ended while we waited for the lock; then the signal stays stored, or comes late.
  SELECT w.* INTO wait FROM powertools.waits w WHERE w.id = wait.id;
  IF wait.state = 'waiting' THEN
    PERFORM powertools.settle(powertools.consume_signals(ARRAY[wait.id]));
  ELSIF wait.state = 'expired' THEN
    UPDATE powertools.signals g SET status = 'late' WHERE g.id = delivered.id;
  END IF;
  SELECT g.* INTO delivered FROM powertools.signals g WHERE g.id = delivered.id;
  RETURN delivered;
END $$;


--
-- Name: detect_executors(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_executors(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH hands AS (
    SELECT e.executor_id, count(*) AS jobs, (array_agg(j.id ORDER BY j.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(j.meta)))[: 1000] AS workflow_ids
    FROM public.oban_jobs j
    JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing'
    GROUP BY e.executor_id
  ), judged AS (
    SELECT h.executor_id, h.node, h.producer_scope, h.state, h.beat_at, n.jobs, n.ids, n.workflow_ids,
      h.process_alive, h.loop_responsive, CASE
        WHEN n.jobs > 0 AND (h.state = 'missing' OR EXISTS (
          SELECT FROM powertools.gone_executors g WHERE g.executor_id = h.executor_id
        )) THEN 'dead_executor'
        WHEN NOT h.process_alive AND EXISTS (
          SELECT FROM powertools.executors e
          WHERE e.producer_scope = h.producer_scope AND e.stopped_at IS NULL AND e.started_at > h.beat_at
        ) THEN NULL
        WHEN h.state = 'late' THEN 'executor_late'
        WHEN h.state = 'missing' AND h.beat_at > clock_timestamp() - interval '1 day' THEN 'executor_missing'
      END AS class
    FROM powertools.executor_health_v1() AS h
    LEFT JOIN hands n ON n.executor_id = h.executor_id
  )
  SELECT j.class, j.class || ':' || j.executor_id, 'executor', j.executor_id,
    CASE j.class
      WHEN 'dead_executor' THEN format(powertools.numbered(j.jobs, 'executor on %s of %s is gone with %s {job|jobs} in hand'), j.node, j.producer_scope, j.jobs)
      WHEN 'executor_missing' THEN format('executor on %s of %s is missing, with nothing in hand', j.node, j.producer_scope)
      WHEN 'executor_late' THEN format(CASE WHEN j.process_alive THEN 'executor on %s of %s is late: its event loop is blocked'
        ELSE 'executor on %s of %s is late' END, j.node, j.producer_scope)
    END,
    coalesce(j.jobs, 0),
    jsonb_build_object('node', j.node, 'producer_scope', j.producer_scope, 'ids', coalesce(to_jsonb(j.ids), '[]'),
      'id_type', 'job', 'process_alive', j.process_alive, 'loop_responsive', j.loop_responsive)
      || CASE j.class WHEN 'dead_executor' THEN jsonb_build_object('code', 'orphaned_by_missing_executor', 'last_seen_at', j.beat_at)
        WHEN 'executor_missing' THEN jsonb_build_object('last_seen_at', j.beat_at) ELSE powertools.what_blocks(j.executor_id, j.loop_responsive) END,
    j.workflow_ids, NULL::timestamptz
  FROM judged j
  WHERE j.class IS NOT NULL
  ORDER BY j.beat_at DESC LIMIT 1000
$$;


--
-- Name: detect_failed_callbacks(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_failed_callbacks(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'callback_failed', 'callback_failed:' || c.worker, 'worker', c.worker,
    format(powertools.numbered(count(*), '%s on_finished {job|jobs} of %s {was|were} discarded'), count(*), c.worker), count(*),
    jsonb_build_object('code', 'job_discarded', 'worker', c.worker, 'ids', to_jsonb((array_agg(c.id ORDER BY c.id))[: 50]), 'id_type', 'job'),
    NULL::bigint[], NULL::timestamptz
  FROM (SELECT * FROM public.oban_jobs WHERE state = 'discarded' ORDER BY discarded_at DESC LIMIT 5000) AS c
  WHERE NOT c.meta ? 'position' AND c.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps']
  GROUP BY c.worker ORDER BY c.worker LIMIT 1000
$$;


--
-- Name: detect_failing_jobs(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_failing_jobs(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH since AS (
    SELECT timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_failing_for') AS at OFFSET 0
  ), failed AS (
    (
      SELECT j.id, j.worker, j.queue, j.errors, j.meta, j.discarded_at AS at
      FROM public.oban_jobs j, since s WHERE j.state = 'discarded' AND j.discarded_at > s.at
      ORDER BY j.discarded_at DESC LIMIT 5000
    )
    UNION ALL
    SELECT r.id, r.worker, r.queue, r.errors, r.meta, r.at
    FROM (
      SELECT j.id, j.worker, j.queue, j.errors, j.meta, j.attempted_at AS at
      FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at DESC LIMIT 5000
    ) AS r, since s
    WHERE r.at > s.at AND r.errors <> '[]' AND NOT powertools.not_run(r.meta, r.errors)
  ), grouped AS (
    SELECT f.worker, powertools.error_class_v1(f.errors -> -1) AS error_class, count(*) AS jobs, min(f.queue) AS queue,
      (array_agg(f.id ORDER BY f.at DESC))[: 50] AS ids, max(f.at) AT TIME ZONE 'UTC' AS last_at,
      (array_agg(DISTINCT powertools.workflow_of_v1(f.meta)))[: 1000] AS workflow_ids
    FROM failed f
    GROUP BY 1, 2
  )
  SELECT 'failing_jobs', n.fingerprint, 'worker', g.worker,
    format(powertools.numbered(g.jobs, '%s {job|jobs} of %s failed with %s'), g.jobs, g.worker, g.error_class), g.jobs,
    jsonb_build_object('worker', g.worker, 'queue', g.queue, 'error_class', g.error_class, 'ids', to_jsonb(g.ids), 'id_type', 'job',
      'last_failure_at', g.last_at),
    g.workflow_ids, g.last_at + powertools.span_setting_v1('incident_failing_for')
  FROM grouped g
  CROSS JOIN LATERAL (
    SELECT powertools.fingerprint_v1(format('failing_jobs:%s:%s', g.worker, g.error_class)) AS fingerprint
  ) AS n
  WHERE g.jobs >= powertools.setting_v1('incident_failing_count')::int
    OR EXISTS (SELECT FROM powertools.incidents i WHERE i.fingerprint = n.fingerprint AND i.state <> 'resolved')
  ORDER BY n.fingerprint LIMIT 1000
$$;


--
-- Name: detect_hung_jobs(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_hung_jobs(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH chosen AS MATERIALIZED (
    SELECT timezone('UTC', clock_timestamp()) AS now, powertools.span_setting_v1('incident_hung_after') AS least,
      powertools.setting_v1('incident_hung_factor')::int AS factor,
      powertools.span_setting_v1('incident_hung_unknown_after') AS unknown
  ), old AS MATERIALIZED (
    SELECT j.id, j.worker, j.queue, j.meta, j.attempted_at
    FROM chosen c
    JOIN public.oban_jobs j ON j.state = 'executing' AND j.attempted_at < c.now - c.least
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE NOT j.meta @> '{"may_run_long": true}' AND CASE
      WHEN e.executor_id IS NULL THEN powertools.is_served(j.queue)
      ELSE num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) = 0
        AND e.loop_beat_at > clock_timestamp() - e.late_after
    END
    ORDER BY j.attempted_at LIMIT 5000
  ), completed AS MATERIALIZED (
    SELECT j.worker, j.completed_at - j.attempted_at AS took
    FROM public.oban_jobs j
    WHERE j.state = 'completed' AND j.completed_at IS NOT NULL AND (SELECT EXISTS (SELECT FROM old))
    ORDER BY j.completed_at DESC LIMIT 5000
  ), usual AS (
    SELECT d.worker, percentile_disc(0.5) WITHIN GROUP (ORDER BY d.took) AS median,
      percentile_disc(0.99) WITHIN GROUP (ORDER BY d.took) AS slowest
    FROM completed d
    WHERE d.worker IN (SELECT o.worker FROM old o) AND d.took IS NOT NULL
    GROUP BY d.worker HAVING count(*) >= 20
  ), bounds AS (
    SELECT w.worker, u.median, date_trunc('second', CASE
      WHEN u.worker IS NULL THEN greatest(c.least, c.unknown)
      ELSE greatest(c.least, c.factor * u.median, 3 * u.slowest)
    END) AS bound
    FROM (SELECT DISTINCT o.worker FROM old o) AS w
    CROSS JOIN chosen c
    LEFT JOIN usual u ON u.worker = w.worker
  ), hung AS MATERIALIZED (
    SELECT o.*, b.median, b.bound FROM old o JOIN bounds b ON b.worker = o.worker, chosen c WHERE o.attempted_at < c.now - b.bound
  ), told AS MATERIALIZED (
    SELECT (t.entry ->> 'job_id')::bigint AS job_id, t.entry
    FROM powertools.executors e CROSS JOIN LATERAL jsonb_array_elements(e.stacks) AS t (entry)
    WHERE e.stacks IS NOT NULL AND (SELECT EXISTS (SELECT FROM hung))
  )
  SELECT 'hung_jobs', 'hung_jobs:' || h.worker, 'worker', h.worker,
    format(powertools.numbered(h.jobs, '%s {job|jobs} of %s {seems to hang: it has|seem to hang: they have} run for over %s, ')
      || CASE WHEN h.median IS NULL THEN 'and what is usual is not known' ELSE 'usually it takes %s' END,
      h.jobs, h.worker, powertools.span_in_words(h.bound), powertools.span_in_words(h.median)), h.jobs,
    jsonb_strip_nulls(jsonb_build_object('worker', h.worker, 'queue', h.queue, 'ids', to_jsonb(h.ids), 'id_type', 'job', 'since', h.since,
      'bound_seconds', extract(epoch FROM h.bound)::float8, 'usual_seconds', round(extract(epoch FROM h.median), 1)::float8,
      'stacks', s.stacks)),
    h.workflow_ids, NULL::timestamptz
  FROM (
    SELECT h.worker, h.median, h.bound, count(*) AS jobs, min(h.queue) AS queue, min(h.attempted_at) AT TIME ZONE 'UTC' AS since,
      (array_agg(h.id ORDER BY h.attempted_at, h.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(h.meta)))[: 1000] AS workflow_ids
    FROM hung h GROUP BY h.worker, h.median, h.bound ORDER BY h.worker LIMIT 1000
  ) AS h
  CROSS JOIN LATERAL (
    SELECT jsonb_agg(t.entry - 'blocks_loop' ORDER BY t.place) AS stacks
    FROM (
      SELECT t.entry, i.place FROM unnest(h.ids) WITH ORDINALITY AS i (id, place) JOIN told t ON t.job_id = i.id
      ORDER BY i.place LIMIT 3
    ) AS t
  ) AS s
$$;


--
-- Name: detect_incidents(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_incidents(only_class text) RETURNS SETOF powertools.detected
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
DECLARE
  found_by text;
BEGIN
  FOR found_by IN
    SELECT c.found_by FROM powertools.incident_classes c
    WHERE only_class IS NULL OR c.name = only_class GROUP BY c.found_by ORDER BY c.found_by
  LOOP
    RETURN QUERY EXECUTE format('SELECT * FROM powertools.%I($1)', found_by) USING only_class IS NULL;
  END LOOP;
END $_$;


--
-- Name: detect_late_queues(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_late_queues(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT powertools.span_setting_v1('incident_queue_late_after') AS after,
      timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_queue_late_after') AS due_before
  ), lanes (queue, priority) AS (
    (SELECT j.queue, j.priority FROM public.oban_jobs j WHERE j.state = 'available' ORDER BY j.queue, j.priority LIMIT 1)
    UNION ALL
    SELECT n.queue, n.priority
    FROM lanes l
    CROSS JOIN LATERAL (
      SELECT j.queue, j.priority FROM public.oban_jobs j
      WHERE j.state = 'available' AND (j.queue, j.priority) > (l.queue, l.priority) ORDER BY j.queue, j.priority LIMIT 1
    ) AS n
  ), late AS (
    SELECT l.queue, count(*) AS jobs, min(w.due_at) AT TIME ZONE 'UTC' AS since, (array_agg(w.id ORDER BY w.due_at, w.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(w.meta)))[: 1000] AS workflow_ids
    FROM (SELECT * FROM lanes LIMIT 1000) AS l
    CROSS JOIN chosen c
    CROSS JOIN LATERAL (
      SELECT j.id, j.meta, greatest(j.scheduled_at, j.inserted_at, j.attempted_at) AS due_at
      FROM public.oban_jobs j
      WHERE j.state = 'available' AND j.queue = l.queue AND j.priority = l.priority AND j.scheduled_at < c.due_before
      ORDER BY j.scheduled_at, j.id LIMIT 1000
    ) AS w
    WHERE w.due_at < c.due_before
    GROUP BY l.queue
  )
  SELECT 'queue_late', 'queue_late:' || q.queue, 'queue', q.queue,
    format(powertools.numbered(q.jobs, '%s {job of queue %s has|jobs of queue %s have} been due for over %s: ') || CASE
      WHEN p.paused THEN 'it is paused'
      WHEN p.executing >= p.places THEN 'all of its places are taken'
      ELSE 'its executors take none or too few'
    END, q.jobs, q.queue, powertools.span_in_words(c.after)), q.jobs,
    jsonb_strip_nulls(jsonb_build_object('code', CASE WHEN p.paused THEN 'queue_paused' WHEN p.executing >= p.places THEN 'queue_saturated' END,
      'queue', q.queue, 'since', q.since, 'paused', p.paused, 'places', p.places, 'executing', p.executing,
      'ids', to_jsonb(q.ids), 'id_type', 'job')),
    q.workflow_ids, NULL::timestamptz
  FROM late q
  CROSS JOIN chosen c
  CROSS JOIN LATERAL (
    SELECT coalesce(bool_and(o.meta @> '{"paused": true}'), false) AS paused,
      coalesce(sum(powertools.count_of(o.meta -> 'local_limit')), 0) AS places, (
        SELECT count(*) FROM (
          SELECT FROM public.oban_jobs j WHERE j.state = 'executing' AND j.queue = q.queue LIMIT 5000
        ) AS j
      ) AS executing
    FROM public.oban_producers o
    WHERE o.queue = q.queue AND o.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
  ) AS p
  WHERE powertools.is_served(q.queue)
$$;


--
-- Name: detect_late_results(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_late_results(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'late_result', format('late_result:%s:%s', l.node, l.producer), 'node', l.node,
    format(powertools.numbered(count(*), '%s {result|results} came late from %s: adopt or dismiss {it|them}'), count(*), l.node), count(*),
    jsonb_build_object('node', l.node, 'producer', l.producer, 'ids', to_jsonb((array_agg(l.id ORDER BY l.id))[: 50]), 'id_type', 'late_result',
      'job_ids', to_jsonb((array_agg(l.job_id ORDER BY l.id))[: 50])),
    (array_agg(DISTINCT l.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT r.id, r.job_id, r.workflow_id, coalesce(r.attempted_by[1], '?') AS node, coalesce(r.attempted_by[2], '?') AS producer
    FROM powertools.late_results r
    JOIN public.oban_jobs j ON j.id = r.job_id
    LEFT JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position
    WHERE r.adopted_at IS NULL AND r.dismissed_at IS NULL AND r.state = 'completed'
      AND coalesce(s.state, j.state::text) NOT IN ('completed', 'awaiting_signal')
    ORDER BY r.id LIMIT 5000
  ) AS l
  GROUP BY l.node, l.producer ORDER BY l.node, l.producer LIMIT 1000
$$;


--
-- Name: detect_not_importable(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_not_importable(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'worker_not_importable', 'worker_not_importable:' || w.worker, 'worker', w.worker,
    format(powertools.numbered(count(*), '%s {job waits|jobs wait}, because worker %s cannot be imported on %s'), count(*), w.worker, min(w.node)), count(*),
    jsonb_build_object('code', 'worker_not_importable', 'worker', w.worker, 'queue', min(w.queue),
      'nodes', to_jsonb((array_agg(DISTINCT w.node))[: 20]), 'ids', to_jsonb((array_agg(w.id ORDER BY w.id))[: 50]), 'id_type', 'job'),
    (array_agg(DISTINCT powertools.workflow_of_v1(w.meta)))[: 1000], NULL::timestamptz
  FROM (
    SELECT j.id, j.worker, j.queue, j.meta, j.errors, j.attempted_by[1] AS node
    FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at LIMIT 5000
  ) AS w
  WHERE powertools.not_run(w.meta, w.errors)
  GROUP BY w.worker ORDER BY w.worker LIMIT 1000
$$;


--
-- Name: detect_orphans(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_orphans(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'orphaned_jobs', format('orphaned_jobs:%s:%s', o.node, o.producer), 'node', o.node,
    format(powertools.numbered(o.jobs, '%s {job is|jobs are} marked executing, but no executor of {its|theirs} on %s is known'), o.jobs, o.node), o.jobs,
    jsonb_build_object('code', 'orphaned_by_missing_executor', 'node', o.node, 'producer', o.producer, 'ids', to_jsonb(o.ids), 'id_type', 'job'),
    o.workflow_ids, NULL::timestamptz
  FROM (
    SELECT coalesce(j.attempted_by[1], '?') AS node, coalesce(j.attempted_by[2], '?') AS producer, count(*) AS jobs,
      (array_agg(j.id ORDER BY j.id))[: 50] AS ids, (array_agg(DISTINCT powertools.workflow_of_v1(j.meta)))[: 1000] AS workflow_ids
    FROM public.oban_jobs j
    WHERE j.state = 'executing'
      AND NOT EXISTS (
        SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
      )
      AND NOT EXISTS (
        SELECT FROM public.oban_producers p
        WHERE p.uuid::text = j.attempted_by[2] AND greatest(p.updated_at, timezone('UTC', powertools.server_started_at()))
          > timezone('UTC', clock_timestamp()) - interval '1 min'
      )
    GROUP BY 1, 2
    ORDER BY 1, 2 LIMIT 1000
  ) AS o
$$;


--
-- Name: detect_outside_edits(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_outside_edits(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'outside_edit', format('outside_edit:%s:%s', e.edit, e.worker), 'worker', e.worker,
    format(powertools.numbered(count(DISTINCT e.id), CASE e.edit
      WHEN 'job_deleted' THEN '%s {job of %s was|jobs of %s were} deleted outside of Powertools, which cancelled {its step|their steps}'
      WHEN 'job_suspended' THEN '%s {job of %s was|jobs of %s were} suspended outside of Powertools: {its step is|their steps are} not held'
      WHEN 'meta_changed' THEN '%s {job of %s had other meta written over what it runs|jobs of %s had other meta written over what they run} for, which was restored'
      WHEN 'job_restarted' THEN '%s {job of %s was started again though its workflow was cancelled, and was|jobs of %s were started again though their workflows were cancelled, and were} cancelled again'
      WHEN 'job_retried' THEN '%s {job of %s ran again though its step had ended: what it comes to is kept as a late result|jobs of %s ran again though their steps had ended: what they come to is kept as late results}'
    END), count(DISTINCT e.id), e.worker),
    count(DISTINCT e.id), jsonb_build_object('edit', e.edit, 'worker', e.worker, 'ids', to_jsonb((array_agg(e.id ORDER BY e.id))[: 50]), 'id_type', 'job'),
    (array_agg(DISTINCT e.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    (
      SELECT 'job_deleted' AS edit, s.worker, s.job_id AS id, s.workflow_id
      FROM powertools.steps s
      WHERE s.cause = 'job_deleted' AND s.finished_at > clock_timestamp() - interval '1 day'
      ORDER BY s.workflow_id DESC, s.position DESC LIMIT 5000
    )
    UNION ALL
    SELECT CASE a.action WHEN 'job_cancel' THEN 'job_restarted' ELSE 'meta_changed' END, j.worker, j.id, powertools.workflow_of_v1(j.meta)
    FROM (
      (SELECT * FROM powertools.audit WHERE action = 'job_cancel' ORDER BY id DESC LIMIT 5000)
      UNION ALL
      (SELECT * FROM powertools.audit WHERE action = 'job_meta_restore' ORDER BY id DESC LIMIT 5000)
    ) AS a
    JOIN public.oban_jobs j ON j.id = a.target_id::bigint
    WHERE a.actor_type = 'system' AND a.target_type = 'job' AND a.at > clock_timestamp() - interval '1 day'
    UNION ALL
    SELECT 'job_retried', l.worker, l.job_id, l.workflow_id
    FROM (SELECT * FROM powertools.late_results ORDER BY id DESC LIMIT 5000) AS l
    JOIN powertools.steps s ON s.workflow_id = l.workflow_id AND s.position = l.position
    WHERE l.at > clock_timestamp() - interval '1 day' AND l.state <> 'completed' AND s.job_id = l.job_id AND l.attempted_at > s.finished_at
    UNION ALL
    SELECT CASE j.state WHEN 'executing' THEN 'job_retried' ELSE 'job_suspended' END, j.worker, j.id, s.workflow_id
    FROM (
      (SELECT * FROM public.oban_jobs WHERE state = 'executing' AND meta ? 'position' LIMIT 5000)
      UNION ALL
      (SELECT * FROM public.oban_jobs WHERE state = 'suspended' AND meta ? 'position' LIMIT 5000)
    ) AS j
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s
      WHERE powertools.is_its_job_v1(s, j.id, j.meta) LIMIT 1
    ) AS s
    WHERE CASE j.state
      WHEN 'executing' THEN s.finished_at < j.attempted_at AT TIME ZONE 'UTC'
      ELSE s.state = 'available' AND s.held_until IS NULL
        AND NOT EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined')
    END
  ) AS e
  GROUP BY e.edit, e.worker ORDER BY 2 LIMIT 1000
$$;


--
-- Name: detect_overdue_waits(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_overdue_waits(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'wait_overdue', 'wait_overdue:' || w.signal, 'signal', w.signal,
    format(powertools.numbered(count(*), '%s {wait|waits} for signal %s {is past its deadline: the sweep does not end it|are past their deadline: the sweep does not end them}'),
      count(*), w.signal), count(*),
    jsonb_build_object('code', 'waiting_on_signal', 'signal', w.signal, 'ids', to_jsonb((array_agg(w.id ORDER BY w.deadline_at))[: 50]),
      'id_type', 'wait', 'overdue_since', min(w.deadline_at)),
    (array_agg(DISTINCT w.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT v.id, v.signal, v.workflow_id, v.deadline_at FROM powertools.waits v
    WHERE v.state = 'waiting' AND v.deadline_at < clock_timestamp() - interval '30 s' ORDER BY v.deadline_at LIMIT 5000
  ) AS w
  GROUP BY w.signal ORDER BY w.signal LIMIT 1000
$$;


--
-- Name: detect_poison(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_poison(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'poison_job', 'poison_job:' || r.job_id, 'job', r.job_id::text,
    format(powertools.numbered(r.crashes, 'job %s of %s is quarantined: %s {executor died while it|executors died while they} ran it'), r.job_id, r.worker, r.crashes), r.crashes::bigint,
    jsonb_build_object('worker', r.worker, 'queue', r.queue, 'ids', jsonb_build_array(r.job_id), 'id_type', 'job', 'quarantined_at', r.at),
    ARRAY[r.workflow_id], NULL::timestamptz
  FROM (
    SELECT DISTINCT ON (r.job_id) r.* FROM powertools.rescues r WHERE r.action = 'quarantined' ORDER BY r.job_id, r.id DESC
  ) AS r
  JOIN public.oban_jobs j ON j.id = r.job_id AND j.state = 'suspended'
  WHERE NOT EXISTS (
    SELECT FROM powertools.steps s
    WHERE s.workflow_id = r.workflow_id AND s.position = r.position AND s.held_until IS NOT NULL
  )
  ORDER BY r.job_id LIMIT 1000
$$;


--
-- Name: detect_settle_faults(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_settle_faults(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'bookkeeping_fault', 'bookkeeping_fault:' || f.sqlstate, 'sqlstate', f.sqlstate,
    format(powertools.numbered(count(*), '%s {job has|jobs have} ended, but could not be settled (SQLSTATE %s); it is tried again'), count(*), f.sqlstate), count(*),
    jsonb_build_object('code', 'bookkeeping_fault', 'sqlstate', f.sqlstate, 'ids', to_jsonb((array_agg(f.job_id ORDER BY f.first_fault_at))[: 50]),
      'id_type', 'job', 'since', min(f.first_fault_at)),
    (array_agg(DISTINCT f.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT * FROM powertools.settle_faults WHERE repaired_at IS NULL ORDER BY last_fault_at LIMIT 5000
  ) AS f
  GROUP BY f.sqlstate LIMIT 1000
$$;


--
-- Name: detect_stuck(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_stuck(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN QUERY SELECT * FROM powertools.detect_stuck_causes();
  RETURN QUERY SELECT * FROM powertools.detect_stuck_workflows(powertools.stuck_candidates(whole));
END $$;


--
-- Name: detect_stuck_causes(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_stuck_causes() RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH RECURSIVE queues (queue) AS (
    (SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (
      SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' AND j.queue > q.queue ORDER BY j.queue LIMIT 1
    )
    FROM queues q WHERE q.queue IS NOT NULL
  ), deserted AS (
    SELECT q.queue FROM queues q
    WHERE q.queue IS NOT NULL AND NOT powertools.is_served(q.queue)
    LIMIT 1000
  )
  SELECT 'workflow_stuck', 'workflow_stuck:queue:' || d.queue, 'queue', d.queue,
    format(powertools.numbered(n.jobs, CASE n.steps
      WHEN n.jobs THEN '%s {step|steps} cannot start: no executor works on queue %s'
      ELSE '%s {job|jobs} cannot start: no executor works on queue %s'
    END), n.jobs, d.queue), n.jobs,
    jsonb_build_object('code', 'queue_has_no_executor', 'queue', d.queue, 'ids', to_jsonb(n.ids), 'id_type', 'job'),
    n.workflow_ids, NULL::timestamptz
  FROM deserted d
  CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, count(w.workflow_id) AS steps, (array_agg(w.id))[: 50] AS ids,
      (array_agg(DISTINCT w.workflow_id) FILTER (WHERE w.workflow_id IS NOT NULL))[: 1000] AS workflow_ids,
      min(w.scheduled_at) AS since
    FROM (
      SELECT j.id, j.scheduled_at, j.worker, powertools.workflow_of_v1(j.meta) AS workflow_id
      FROM public.oban_jobs j
      WHERE j.state = 'available' AND j.queue = d.queue
      ORDER BY j.priority, j.scheduled_at, j.id LIMIT 5000
    ) AS w
    WHERE w.worker <> 'oban_powertools.webhooks.worker.DeliverWebhooks'
  ) AS n
  WHERE n.since < timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_stuck_after')
  UNION ALL
  SELECT 'workflow_stuck', 'workflow_stuck:semantics:' || w.semantics_version, 'semantics', w.semantics_version::text,
    format(powertools.numbered(count(*), '%s {workflow was|workflows were} written under rules of version %s, which this release does not know'),
      count(*), w.semantics_version),
    count(*), jsonb_build_object('code', 'unsupported_semantics', 'ids', to_jsonb((array_agg(w.id))[: 50]), 'id_type', 'workflow'),
    array_agg(w.id), NULL
  FROM (
    SELECT w.id, w.semantics_version FROM powertools.workflows w
    WHERE w.semantics_version <> 2 AND w.state IN ('running', 'cancel_requested') ORDER BY w.id LIMIT 1000
  ) AS w
  GROUP BY w.semantics_version
$$;


--
-- Name: detect_stuck_workflows(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_stuck_workflows(ids bigint[]) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'workflow_stuck', 'workflow_stuck:workflow:' || w.id, 'workflow', w.id::text,
    format(powertools.numbered(w.open, 'workflow %s %s cannot move: {its %s open step neither runs nor waits nor|none of its %s open steps runs, waits or} is held'),
      w.id, w.name, w.open), w.open::bigint,
    jsonb_build_object('code', 'waiting_on_dependencies', 'ids', jsonb_build_array(w.id), 'id_type', 'workflow', 'steps', b.steps),
    ARRAY[w.root_id, w.id], NULL::timestamptz
  FROM unnest(ids) AS u (id)
  JOIN powertools.workflows w ON w.id = u.id AND w.state IN ('running', 'cancel_requested') AND w.semantics_version = 2
  LEFT JOIN LATERAL (
    SELECT true AS live
    FROM powertools.steps s
    WHERE s.workflow_id = w.id AND (
      s.state IN ('available', 'awaiting_signal') OR s.state = 'pending' AND s.held_until IS NOT NULL
      OR s.state = 'executing' AND EXISTS (SELECT FROM powertools.workflows c WHERE c.id = s.child_id AND c.open > 0)
    ) LIMIT 1
  ) AS l ON true
  LEFT JOIN LATERAL (
    SELECT p.state FROM powertools.steps p WHERE p.workflow_id = w.parent_id AND p.position = w.parent_position LIMIT 1
  ) AS p ON true
  CROSS JOIN LATERAL (
    -- the steps nearest to the start; open_parents is the right value of pending
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'state', s.state, 'pending', s.pending, 'open_parents', s.open_parents)), '[]') AS steps
    FROM (
      SELECT s.name, s.state, s.pending, (
        SELECT count(*) FROM unnest(s.parents || s.continue_parents) AS e (parent)
        JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
        WHERE p.finished_at IS NULL
      ) AS open_parents
      FROM powertools.steps s
      WHERE l.live IS NULL AND s.workflow_id = w.id AND s.finished_at IS NULL ORDER BY s.depth, s.position LIMIT 20
    ) AS s
  ) AS b
  WHERE l.live IS NULL AND p.state IS DISTINCT FROM 'pending'
    AND NOT EXISTS (SELECT FROM powertools.settle_faults f WHERE f.workflow_id = w.id AND f.repaired_at IS NULL)
  ORDER BY w.id LIMIT 1000
$$;


--
-- Name: detect_unclaimed_signals(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_unclaimed_signals(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  WITH RECURSIVE names (signal) AS (
    (SELECT g.signal FROM powertools.signals g WHERE g.status = 'stored' ORDER BY g.signal LIMIT 1)
    UNION ALL
    SELECT (
      SELECT g.signal FROM powertools.signals g WHERE g.status = 'stored' AND g.signal > n.signal ORDER BY g.signal LIMIT 1
    )
    FROM names n WHERE n.signal IS NOT NULL
  ), unclaimed AS MATERIALIZED (
    SELECT g.*
    FROM (SELECT n.signal FROM names n WHERE n.signal IS NOT NULL LIMIT 1000) AS n
    CROSS JOIN LATERAL (
      SELECT g.id, g.signal, g.correlation_key, g.workflow_id, g.inserted_at, g.expires_at FROM powertools.signals g
      WHERE g.status = 'stored' AND g.signal = n.signal ORDER BY g.correlation_key, g.id LIMIT 500
    ) AS g
    WHERE powertools.is_unclaimed(g.inserted_at, g.expires_at)
  ), grouped AS (
    SELECT u.signal, count(*) AS signals, min(u.inserted_at) AS since, (array_agg(u.id ORDER BY u.id))[: 50] AS signal_ids,
      (array_agg(DISTINCT u.correlation_key))[: 20] AS keys
    FROM unclaimed u GROUP BY u.signal ORDER BY u.signal LIMIT 1000
  ), waiting AS MATERIALIZED (
    SELECT v.id, v.workflow_id, v.signal, v.correlation_key FROM powertools.waits v
    WHERE v.state = 'waiting' AND EXISTS (SELECT FROM grouped) LIMIT 2000
  )
  SELECT 'unclaimed_signal', 'unclaimed_signal:' || g.signal, 'signal', g.signal,
    format(powertools.numbered(g.signals, '%s {signal|signals} %s {was|were} stored and no wait has taken {it|them}')
      || CASE WHEN a.waits > 0 THEN powertools.numbered(a.waits, '; %s {wait looks|waits look} alike') ELSE '' END, g.signals, g.signal, a.waits),
    g.signals, jsonb_build_object('signal', g.signal, 'keys', to_jsonb(g.keys), 'signal_ids', to_jsonb(g.signal_ids), 'since', g.since,
      'ids', coalesce(to_jsonb(a.ids), '[]'), 'id_type', 'wait', 'alike', coalesce(to_jsonb(a.alike), '[]')),
    a.workflow_ids, NULL::timestamptz
  FROM grouped g
  CROSS JOIN LATERAL (
    SELECT count(*) AS waits, (array_agg(c.id ORDER BY c.rank, c.id))[: 50] AS ids,
      (array_agg(DISTINCT c.workflow_id))[: 1000] AS workflow_ids,
      (array_agg(jsonb_build_object('wait_id', c.id, 'workflow_id', c.workflow_id, 'signal', c.signal, 'correlation_key', c.correlation_key)
        ORDER BY c.rank, c.id))[: 10] AS alike
    FROM (
      SELECT DISTINCT ON (w.id) w.*, CASE
          WHEN w.correlation_key = ANY (g.keys) THEN 1
          WHEN powertools.plain_spelling(w.correlation_key) = ANY (k.keys) THEN 2
          ELSE 3
        END AS rank
      FROM (
        SELECT * FROM waiting
        UNION ALL
        (
          SELECT v.id, v.workflow_id, v.signal, v.correlation_key FROM powertools.waits v
          WHERE v.state = 'waiting' AND v.signal = g.signal ORDER BY v.correlation_key LIMIT 500
        )
      ) AS w
      CROSS JOIN (SELECT ARRAY(SELECT powertools.plain_spelling(k) FROM unnest(g.keys) AS k) AS keys OFFSET 0) AS k
      WHERE w.signal = g.signal OR w.correlation_key = ANY (g.keys)
        OR powertools.plain_spelling(w.signal) = powertools.plain_spelling(g.signal)
    ) AS c
  ) AS a
$$;


--
-- Name: detect_unserved_webhooks(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.detect_unserved_webhooks(whole boolean) RETURNS SETOF powertools.detected
    LANGUAGE sql STABLE
    AS $$
  SELECT 'webhook_unserved', 'webhook_unserved:' || e.id, 'webhook', e.id::text,
    format(powertools.numbered(n.deliveries, '%s {delivery|deliveries} of webhook %s cannot be sent: nobody works on queue %s'), n.deliveries, e.id, j.queue),
    n.deliveries, jsonb_build_object('code', 'queue_has_no_executor', 'queue', j.queue, 'ids', jsonb_build_array(j.id), 'id_type', 'job',
      'since', j.scheduled_at AT TIME ZONE 'UTC'),
    NULL::bigint[], NULL::timestamptz
  FROM (SELECT * FROM powertools.webhook_endpoints WHERE enabled ORDER BY id LIMIT 1000) AS e
  JOIN public.oban_jobs j
    ON j.id = e.job_id AND j.worker = 'oban_powertools.webhooks.worker.DeliverWebhooks'
    AND j.state IN ('available', 'scheduled', 'retryable')
    AND j.scheduled_at < timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_stuck_after')
  CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries FROM (
      SELECT FROM powertools.webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' LIMIT 5000
    ) AS d
  ) AS n
  WHERE n.deliveries > 0
$$;


--
-- Name: discard_job_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.discard_job_v1(of_job_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'discarded', discarded_at = timezone('UTC', now()),
      errors = j.errors || powertools.operator_error(j.attempt, 'Discarded by an operator')
  WHERE j.id = of_job_id AND j.state NOT IN ('completed', 'cancelled', 'discarded');
END $$;


--
-- Name: do_by_halves(text, bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.do_by_halves(swept_by text, ids bigint[]) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
DECLARE
  half CONSTANT int := cardinality(ids) / 2;
BEGIN
  IF ids = '{}' THEN
    RETURN 0;
  END IF;
  EXECUTE format('SELECT powertools.%I($1)', swept_by) USING ids;
  RETURN cardinality(ids);
EXCEPTION WHEN OTHERS THEN
  IF half = 0 THEN
    RAISE WARNING 'powertools could not % of %: %', swept_by, ids[1], SQLERRM;
    RETURN 0;
  END IF;
  RETURN powertools.do_by_halves(swept_by, ids[: half]) + powertools.do_by_halves(swept_by, ids[half + 1:]);
END $_$;


--
-- Name: drop_rows(text, timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.drop_rows(of_class text, older_than timestamp with time zone, audit_older_than timestamp with time zone, batch integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
  audited_too CONSTANT timestamptz := least(older_than, coalesce(audit_older_than, '-infinity'));
  pruned int;
BEGIN
  CASE of_class
    WHEN 'executors' THEN
      DELETE FROM powertools.executors e WHERE e.executor_id = ANY (ARRAY(
        SELECT x.executor_id FROM powertools.executors x
        WHERE x.relieved_at < older_than AND coalesce(x.stopped_at, x.beat_at) < older_than AND NOT EXISTS (
          SELECT FROM powertools.incidents i
          WHERE i.state <> 'resolved' AND i.subject_type = 'executor' AND i.subject_id = x.executor_id
        ) LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'settle_faults' THEN
      DELETE FROM powertools.settle_faults f WHERE f.job_id = ANY (ARRAY(
        SELECT x.job_id FROM powertools.settle_faults x WHERE x.repaired_at < older_than LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'previews' THEN
      -- a preview that somebody tried to execute is in the audit, and stays as long (retention/P2)
      DELETE FROM powertools.previews p WHERE p.id = ANY (ARRAY(
        SELECT x.id FROM powertools.previews x
        WHERE coalesce(x.ended_at, x.expires_at)
          < CASE WHEN x.status IN ('ready', 'expired') THEN older_than ELSE audited_too END LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'bulks' THEN
      WITH gone AS (
        DELETE FROM powertools.bulks b WHERE b.id = ANY (ARRAY(
          SELECT x.id FROM powertools.bulks x
          WHERE coalesce(x.ended_at, x.started_at, x.expires_at) < CASE WHEN x.status IN ('ready', 'expired') THEN older_than
            ELSE audited_too END LIMIT batch / 1000 + 1 FOR UPDATE SKIP LOCKED
        )) RETURNING b.id
      ), items AS (
        DELETE FROM powertools.bulk_items m USING gone g WHERE m.bulk_id = g.id RETURNING 1
      )
      SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM items) INTO pruned;
      RETURN pruned;
    WHEN 'prune_runs' THEN
      DELETE FROM powertools.prune_runs r WHERE r.id = ANY (ARRAY(
        SELECT x.id FROM powertools.prune_runs x
        WHERE coalesce(x.finished_at, x.started_at) < audited_too AND (x.archived = '{}' OR NOT EXISTS (
          SELECT FROM powertools.archive a
          WHERE a.archived_at BETWEEN x.started_at AND coalesce(x.finished_at, 'infinity') AND a.run_id = x.id
        )) LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'archive' THEN
      DELETE FROM powertools.archive a WHERE a.ctid = ANY (ARRAY(
        SELECT x.ctid FROM powertools.archive x WHERE x.archived_at < older_than LIMIT batch
      ));
  END CASE;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $$;


--
-- Name: due_families(timestamp with time zone, bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.due_families(ended_before timestamp with time zone, after bigint, steps integer, OUT family bigint[], OUT last bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  needed CONSTANT bigint[] := powertools.needed_workflows();
  roots bigint[];
BEGIN
  WITH seen AS (
    SELECT w.id, w.total, w.inserted_at < ended_before AS old,
      w.parent_id IS NULL AND w.finished_at < ended_before AND w.id <> ALL (needed) AS due
    FROM powertools.workflows w WHERE w.id > after ORDER BY w.id LIMIT 2000
  ), walked AS (
    SELECT s.*, sum(CASE WHEN s.due THEN s.total ELSE 0 END) OVER (ORDER BY s.id) - CASE WHEN s.due THEN s.total ELSE 0 END AS before
    FROM seen s
  )
  SELECT array_agg(w.id) FILTER (WHERE w.due), CASE WHEN bool_and(w.old) AND count(*) > 0 THEN max(w.id) END
  INTO roots, last
  FROM walked w WHERE w.before < steps;
  roots := ARRAY(
    SELECT w.id FROM powertools.workflows w
    WHERE w.id = ANY (roots) AND w.finished_at < ended_before
    ORDER BY w.id FOR UPDATE SKIP LOCKED
  );
  SELECT array_agg(w.id) INTO family
  FROM powertools.workflows w
  WHERE w.id = ANY (powertools.family_of_v1(roots)) AND w.root_id <> ALL (ARRAY(
    SELECT w.root_id
    FROM powertools.workflows w
    CROSS JOIN LATERAL (
      SELECT e.batch_id FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
    ) AS e
    WHERE w.id = ANY (powertools.family_of_v1(roots))
      AND EXISTS (SELECT FROM powertools.event_batches b WHERE b.id = e.batch_id)
  ));
END $$;


--
-- Name: due_parts_v1(interval, interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.due_parts_v1(incidents_every interval, events_kept_for interval) RETURNS text[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
BEGIN
  RETURN array_remove(ARRAY[
    CASE WHEN EXISTS (SELECT FROM powertools.open_settle_faults()) THEN 'repair_settle_faults' END,
    CASE WHEN EXISTS (SELECT FROM powertools.unmatched()) THEN 'match_signals' END,
    CASE WHEN EXISTS (SELECT FROM powertools.overdue_waits()) THEN 'expire_waits' END,
    CASE WHEN EXISTS (SELECT FROM powertools.overdue_workflows()) THEN 'expire_workflows' END,
    CASE WHEN EXISTS (SELECT FROM powertools.stopping()) THEN 'cancel_stopping_jobs' END,
    CASE WHEN EXISTS (SELECT FROM powertools.overdue_holds()) THEN 'expire_holds' END,
    CASE WHEN EXISTS (SELECT FROM powertools.outgrown_tables()) THEN 'analyze_outgrown' END,
    CASE WHEN EXISTS (SELECT FROM powertools.unfinished_workflows()) THEN 'reconcile' END,
    CASE WHEN EXISTS (SELECT FROM powertools.gone_or_dated_ahead()) THEN 'rescue' END,
    CASE WHEN EXISTS (SELECT FROM powertools.projection_aged(incidents_every)) THEN 'project_incidents' END,
    CASE WHEN EXISTS (SELECT FROM powertools.events_to_keep(events_kept_for)) THEN 'keep_events' END,
    CASE WHEN EXISTS (SELECT FROM powertools.unsealed()) THEN 'seal_audit' END,
    CASE WHEN EXISTS (SELECT FROM powertools.webhook_addresses()) THEN 'dispatch_webhooks' END
  ]::text[], NULL);
END $$;


--
-- Name: end_holds(bigint[], integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.end_holds(workflow_ids bigint[], positions integer[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  ready_in bigint[];
  ready int[];
  jobs bigint[];
  woken text[];
BEGIN
  jobs := ARRAY(
    SELECT j.id
    FROM unnest(workflow_ids, positions) AS h (workflow_id, position)
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.state = 'available' AND s.held_until IS NOT NULL
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  );
  WITH freed AS (
    UPDATE powertools.steps s
    SET held_until = CASE WHEN s.state = 'available' AND s.job_id <> ALL (jobs) THEN now() END,
        hold_reason = CASE WHEN s.state = 'available' AND s.job_id <> ALL (jobs) THEN s.hold_reason END
    FROM unnest(workflow_ids, positions) AS h (workflow_id, position)
    WHERE s.workflow_id = h.workflow_id AND s.position = h.position AND s.held_until IS NOT NULL
    RETURNING s.*
  )
  SELECT array_agg(f.workflow_id) FILTER (WHERE f.state = 'pending' AND f.pending = 0),
    array_agg(f.position) FILTER (WHERE f.state = 'pending' AND f.pending = 0)
  INTO ready_in, ready FROM freed f;
  WITH going_on AS (
    UPDATE public.oban_jobs j
    SET state = (CASE
          WHEN j.scheduled_at <= timezone('UTC', now()) THEN 'available'
          WHEN j.attempt > 0 THEN 'retryable'
          ELSE 'scheduled'
        END)::public.oban_job_state
    WHERE j.id = ANY (jobs) AND j.state = 'suspended'
    RETURNING j.queue, j.state
  )
  SELECT array_agg(queue) INTO woken FROM going_on WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  IF ready IS NOT NULL THEN
    PERFORM powertools.move_on_v1(
      powertools.apply_outcomes_v1(powertools.release_v1(ready_in, ready, 0), NULL), NULL);
  END IF;
END $$;


--
-- Name: ended_workflow_of_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.ended_workflow_of_v1(meta jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $_$
  SELECT CASE
    WHEN meta ?& '{outcome,failed_steps}' AND NOT meta ? 'position' AND meta ->> 'workflow_id' ~ '^[0-9]{1,18}$'
      AND meta ->> 'generation' ~ '^[0-9]{1,9}$'
    THEN (meta ->> 'workflow_id')::bigint
  END
$_$;


--
-- Name: error_class_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.error_class_v1(error jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    AS $$
DECLARE
  class text := CASE jsonb_typeof(error) WHEN 'object' THEN error ->> 'class' END;
BEGIN
  class := coalesce(class, powertools.told_error_v1(error) ->> 'class');
  RETURN CASE WHEN class ~ E'[^\\w.<>(), ]' OR length(class) > 400 THEN 'unknown' ELSE coalesce(nullif(class, ''), 'unknown') END;
END $$;


--
-- Name: error_summary_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.error_summary_v1(error jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
  line text;
BEGIN
  error := powertools.told_error_v1(error);
  line := concat_ws(': ', error ->> 'class', nullif(btrim(regexp_replace(coalesce(error ->> 'text', error ->> 'error'), E'\\s+', ' ', 'g')), ''));
  RETURN left(powertools.redacted(line), 500);
END $$;


--
-- Name: errors_hash(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.errors_hash(errors jsonb) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  SELECT CASE WHEN errors <> '[]' THEN powertools.payload_hash_v1((SELECT jsonb_agg(e - 'at') FROM jsonb_array_elements(errors) AS e)) END
$$;


--
-- Name: events_to_keep(interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.events_to_keep(events_kept_for interval) RETURNS SETOF boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.deferred_starts)
    OR EXISTS (SELECT FROM powertools.event_batches WHERE last_cursor IS NULL)
    OR (
      SELECT b.inserted_at < clock_timestamp() - events_kept_for FROM powertools.event_batches b
      WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT 1
    )
$$;


--
-- Name: evidence_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.evidence_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT i.fingerprint
  FROM powertools.incident_classes c
  JOIN powertools.incidents i ON i.class = c.name AND i.state <> 'resolved'
  WHERE c.concerns_by = 'evidence_concerns' AND CASE i.evidence ->> 'id_type'
    WHEN 'job' THEN i.evidence -> 'ids' @> to_jsonb(coalesce(j.id, s.job_id))
    WHEN 'workflow' THEN i.evidence -> 'ids' @> to_jsonb(w.id)
    WHEN 'wait' THEN i.evidence -> 'ids' @> to_jsonb(s.wait_id)
    WHEN 'late_result' THEN EXISTS (
      SELECT FROM powertools.late_results l WHERE l.job_id = j.id AND i.evidence -> 'ids' @> to_jsonb(l.id)
    )
  END
$$;


--
-- Name: executor_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executor_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT c.name || ':' || e.executor_id
  FROM powertools.executors e
  JOIN powertools.incident_classes c ON c.concerns_by = 'executor_concerns'
  WHERE j.state = 'executing' AND e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
$$;


--
-- Name: executor_health_v1(timestamp with time zone); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executor_health_v1(at timestamp with time zone DEFAULT statement_timestamp()) RETURNS TABLE(executor_id text, node text, producer_scope text, state text, process_alive boolean, loop_responsive boolean, executing bigint, started_at timestamp with time zone, beat_at timestamp with time zone, loop_beat_at timestamp with time zone, stopped_at timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  WITH clock AS (
    SELECT at AS now, greatest(
      powertools.server_started_at(),
      (
        SELECT min(CASE WHEN w.beating_since > w.started_at THEN w.beating_since ELSE '-infinity' END)
        FROM powertools.executors w
        WHERE w.stopped_at IS NULL AND w.beat_at > at - w.gone_after / 2
      )
    ) AS watched_since
  ), aged AS (
    SELECT e.*, c.now - greatest(e.beat_at, c.watched_since) AS age, c.now - greatest(e.loop_beat_at, c.watched_since) AS loop_age,
      num_nonnulls(e.relieved_at, e.missing_at) > 0 OR e.executor_id IN (SELECT g.executor_id FROM powertools.gone_executors g) AS gone
    FROM powertools.executors e CROSS JOIN clock c
  ), hands AS (
    SELECT j.attempted_by[1] AS node, j.attempted_by[2] AS producer, count(*) AS jobs
    FROM public.oban_jobs j WHERE j.state = 'executing'
    GROUP BY 1, 2
  )
  SELECT a.executor_id, a.node, a.producer_scope,
    CASE
      WHEN a.stopped_at IS NOT NULL THEN 'stopped'
      WHEN a.age >= a.missing_after OR a.gone THEN 'missing'
      WHEN a.loop_age >= a.late_after OR a.age >= a.late_after THEN 'late'
      ELSE 'healthy'
    END,
    NOT a.gone AND a.age < a.late_after, NOT a.gone AND a.loop_age < a.late_after,
    coalesce(h.jobs, 0), a.started_at, a.beat_at, a.loop_beat_at, a.stopped_at
  FROM aged a
  LEFT JOIN hands h ON h.node = a.node AND h.producer = a.producer
  ORDER BY a.stopped_at IS NOT NULL, a.producer_scope, a.node, a.executor_id;
$$;


--
-- Name: executor_health_v1(interval, interval, timestamp with time zone); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executor_health_v1(late_after interval, missing_after interval, at timestamp with time zone DEFAULT statement_timestamp()) RETURNS TABLE(executor_id text, node text, producer_scope text, state text, process_alive boolean, loop_responsive boolean, executing bigint, started_at timestamp with time zone, beat_at timestamp with time zone, loop_beat_at timestamp with time zone, stopped_at timestamp with time zone)
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.executor_health_v1(at)
$$;


--
-- Name: executor_late_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executor_late_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.executors e
    WHERE e.executor_id = i.subject_id AND num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) = 0
      AND least(e.beat_at, e.loop_beat_at) < powertools.server_started_at()
      AND NOT EXISTS (
        SELECT FROM powertools.executors o
        WHERE o.producer_scope = e.producer_scope AND o.stopped_at IS NULL AND o.started_at > e.beat_at
      )
  )
$$;


--
-- Name: executor_word_v1(text, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executor_word_v1(state text, executing bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE state
    WHEN 'stopped' THEN 'Finished'
    WHEN 'missing' THEN 'Needs Review'
    WHEN 'late' THEN 'Blocked'
    WHEN 'healthy' THEN CASE WHEN executing > 0 THEN 'Running' ELSE 'Runnable' END
  END
$$;


--
-- Name: executors_died_v1(text[], text, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.executors_died_v1(ids text[], of_host text, seen_by text) RETURNS integer
    LANGUAGE sql
    AS $$
  WITH died AS (
    UPDATE powertools.executors e SET died_at = clock_timestamp(), died_seen_by = seen_by, relieved_at = NULL
    WHERE e.executor_id = ANY (ARRAY(
      SELECT d.executor_id FROM powertools.executors d
      WHERE d.executor_id = ANY (ids) AND d.host = of_host AND d.stopped_at IS NULL AND d.died_at IS NULL AND (
        d.beat_at < clock_timestamp() - d.gone_after / 2
        OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = d.session_pid)
      )
      ORDER BY d.executor_id FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
  )
  SELECT count(*)::int FROM died
$$;


--
-- Name: expand_maps(powertools.steps[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.expand_maps(steps powertools.steps[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  expanded powertools.steps[];
  lists jsonb[];
  outcomes powertools.outcome[];
  workflow_ids bigint[];
  items int[];
BEGIN
  WITH given AS (
    SELECT s AS step, coalesce(s.args, powertools.resolve_args(s.workflow_id, s.template, NULL)) -> 'over' AS list
    FROM unnest(steps) AS s
    WHERE s.kind = 'map'
  ), judged AS (
    SELECT g.*, powertools.map_refusal(g.step, g.list) AS refusal FROM given g
  )
  SELECT array_agg(c.step) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(c.list) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(CASE
      WHEN c.refusal IS NULL THEN ROW (
        (c.step).workflow_id, (c.step).position, NULL, NULL, (c.step).child_id, 'completed', NULL, 1,
        '{"json": []}', NULL, NULL, NULL
      )::powertools.outcome
      ELSE powertools.failed_outcome(c.step, c.refusal)
    END) FILTER (WHERE c.refusal IS NOT NULL OR c.list = '[]')
  INTO expanded, lists, outcomes
  FROM judged c;
  IF expanded IS NULL THEN
    RETURN outcomes;
  END IF;

  INSERT INTO powertools.workflows (
    id, name, total, open, context, tags, uid, root_id, parent_id, parent_position, max_failures
  )
  OVERRIDING SYSTEM VALUE
  SELECT s.child_id, w.name || '/' || s.name, jsonb_array_length(l.list), jsonb_array_length(l.list), w.context, w.tags,
    w.uid, w.root_id, w.id, s.position, s.max_failures
  FROM unnest(expanded) WITH ORDINALITY AS s
  JOIN powertools.workflows w ON w.id = s.workflow_id
  CROSS JOIN LATERAL (SELECT lists[s.ordinality] AS list) AS l;

  WITH inserted AS (
    INSERT INTO powertools.steps (
      workflow_id, position, pending, depth, name, worker, queue, effects, priority, max_attempts, tags, meta, delay, scheduled_at, args
    )
    SELECT s.child_id, i.place - 1, 0, 0, s.name || '[' || i.place - 1 || ']', s.worker, s.queue, s.effects, s.priority,
      s.max_attempts, s.tags, s.meta, s.delay, s.scheduled_at,
      powertools.resolve_args(s.workflow_id, s.item_template, i.item)
    FROM unnest(expanded) WITH ORDINALITY AS s
    CROSS JOIN LATERAL jsonb_array_elements(lists[s.ordinality]) WITH ORDINALITY AS i (item, place)
    RETURNING workflow_id, position
  )
  SELECT array_agg(workflow_id), array_agg(position) INTO workflow_ids, items FROM inserted;
  RETURN outcomes || powertools.release_v1(workflow_ids, items, 0);
END $$;


--
-- Name: expire_holds(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.expire_holds(of_workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  workflow_ids bigint[];
  positions int[];
  untils timestamptz[];
BEGIN
  PERFORM powertools.lock_families_v1(of_workflow_ids);
  SELECT array_agg(s.workflow_id), array_agg(s.position), array_agg(s.held_until) INTO workflow_ids, positions, untils
  FROM powertools.steps s
  WHERE s.workflow_id = ANY (of_workflow_ids) AND s.held_until <= clock_timestamp();
  PERFORM powertools.end_holds(workflow_ids, positions);
  PERFORM powertools.record_system_v1('hold_expire', 'step', e.steps, 'its time was over', e.befores, e.afters)
  FROM (
    SELECT array_agg(s.workflow_id || '/' || s.name ORDER BY s.workflow_id, s.position) AS steps,
      array_agg(jsonb_build_object('held_until', h.held_until) ORDER BY s.workflow_id, s.position) AS befores,
      array_agg('{"held_until": null}'::jsonb) AS afters
    FROM unnest(workflow_ids, positions, untils) AS h (workflow_id, position, held_until)
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    -- what is left to the next sweep is recorded then
    WHERE s.held_until IS NULL
  ) AS e
  WHERE e.steps IS NOT NULL;
END $$;


--
-- Name: expire_waits(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.expire_waits(wait_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  PERFORM powertools.settle(ARRAY(
    SELECT ROW (
      w.workflow_id, w.position, NULL, w.id, NULL, 'expired', 'wait_expired', 1, NULL,
      jsonb_build_object('error', format('no signal %s for %s by %s', w.signal, w.correlation_key, w.deadline_at)),
      NULL, NULL
    )::powertools.outcome
    FROM powertools.waits w WHERE w.id = ANY (wait_ids)
  ));
  -- A signal, or the end of the workflow, may have come first.
  PERFORM powertools.record_system_v1(
    'wait_expire', 'step', e.steps, 'no signal came before its deadline', array_fill('{"state": "awaiting_signal"}'::jsonb, e.size),
    array_fill('{"state": "expired"}'::jsonb, e.size), e.details
  )
  FROM (
    SELECT ARRAY[count(*)::int] AS size, array_agg(w.workflow_id || '/' || s.name ORDER BY w.id) AS steps,
      array_agg(jsonb_build_object('wait_id', w.id, 'deadline_at', w.deadline_at) ORDER BY w.id) AS details
    FROM powertools.waits w
    JOIN powertools.steps s ON s.workflow_id = w.workflow_id AND s.position = w.position
    WHERE w.id = ANY (wait_ids) AND s.wait_id = w.id AND s.cause = 'wait_expired'
  ) AS e
  WHERE e.steps IS NOT NULL;
END $$;


--
-- Name: expire_workflows(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.expire_workflows(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  due bigint[];
BEGIN
  PERFORM powertools.lock_families_v1(workflow_ids);
  -- One may have ended, been cancelled or been given more time since it was selected.
  due := ARRAY(
    SELECT w.id FROM powertools.workflows w
    WHERE w.id = ANY (workflow_ids) AND w.state = 'running' AND w.expires_at <= clock_timestamp() ORDER BY w.id
  );
  IF due = '{}' THEN
    RETURN;
  END IF;
  PERFORM powertools.stop_workflows_v1(due, true);
  PERFORM powertools.record_system_v1(
    'workflow_expire', 'workflow', array_agg(w.id::text ORDER BY w.id), 'its time was over',
    array_agg('{"state": "running"}'::jsonb), array_agg(jsonb_build_object('state', w.state) ORDER BY w.id),
    array_agg(jsonb_build_object('expires_at', w.expires_at) ORDER BY w.id)
  )
  FROM powertools.workflows w WHERE w.id = ANY (due);
END $$;


--
-- Name: extend(powertools.outcome[], bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.extend(outcomes powertools.outcome[], stopping bigint[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  o powertools.outcome;
  s powertools.steps;
  kept powertools.outcome[];
BEGIN
  FOREACH o IN ARRAY outcomes LOOP
    SELECT k.* INTO s FROM powertools.steps k
    WHERE k.workflow_id = o.workflow_id AND k.position = o.position AND k.state = 'available' AND k.job_id = o.job_id;
    IF o.state = 'awaiting_signal' AND (o.workflow_id = ANY (stopping) OR s.cancel_requested_at IS NOT NULL) THEN
      o.state := 'cancelled';
      kept := kept || o;
    ELSIF s.job_id IS NOT NULL AND o.state = 'awaiting_signal' THEN
      kept := kept || powertools.await_signal(s, o);
    ELSIF s.job_id IS NOT NULL AND o.result ? 'append' AND o.workflow_id = ANY (stopping) IS NOT TRUE THEN
      kept := kept || powertools.append_steps(s, o);
    ELSIF s.job_id IS NOT NULL THEN
      kept := kept || o;
    END IF;
  END LOOP;
  RETURN kept;
END $$;


--
-- Name: failed_outcome(powertools.steps, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.failed_outcome(s powertools.steps, message text) RETURNS powertools.outcome
    LANGUAGE sql STABLE
    AS $$
  SELECT ROW (
    s.workflow_id, s.position, s.job_id, s.wait_id, s.child_id, 'discarded', NULL, s.attempt, NULL,
    jsonb_build_object('error', message), s.released_at, s.started_at
  )::powertools.outcome
$$;


--
-- Name: failed_steps_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.failed_steps_v1(of_workflow_id bigint) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT s.name FROM powertools.steps s
    WHERE s.workflow_id = of_workflow_id AND powertools.is_failure(s.state, s.cause)
    ORDER BY s.cause IS NOT DISTINCT FROM 'cancelled_by_dependency', s.position LIMIT 1000
  );
END $$;


--
-- Name: failing_jobs_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.failing_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT format('failing_jobs:%s:%s', coalesce(j.worker, s.worker), powertools.error_class_v1(coalesce(j.errors -> -1, s.error)))
  WHERE coalesce(j.state::text, s.state) IN ('retryable', 'discarded')
$$;


--
-- Name: family_of_v1(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.family_of_v1(workflow_ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE family AS (
      SELECT unnest(workflow_ids) AS id
      UNION
      SELECT w.id FROM family f JOIN powertools.workflows w ON w.parent_id = f.id
    )
    SELECT id FROM family ORDER BY id
  );
END $$;


--
-- Name: find_workflows_v1(jsonb, bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.find_workflows_v1(f jsonb, before bigint, page integer) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
  worded CONSTANT bool := f ? 'status' AND f ->> 'status' <> 'Finished';
  batch CONSTANT int := CASE WHEN worded THEN least(2 * page, 1000) ELSE page END;
  rows int;
  below bigint := coalesce(before, 9223372036854775807);
  above bigint;
  ids bigint[];
  narrow bigint[];
  walk bool := false;
  sent int := 0;
  newest bool := true;
  slack CONSTANT interval := '10 min';
  lowest bigint := 0;
BEGIN
  IF f ? 'inserted_to' OR f ? 'finished_to' THEN
    below := least(below, powertools.id_at(least((f ->> 'inserted_to')::timestamptz, (f ->> 'finished_to')::timestamptz) + slack));
  END IF;
  IF f ? 'inserted_from' THEN
    lowest := powertools.id_at((f ->> 'inserted_from')::timestamptz - slack) - 1;
  END IF;
  above := coalesce((
    SELECT min(n.id) FROM (SELECT w.id FROM powertools.workflows w WHERE w.id < below ORDER BY w.id DESC LIMIT 1000) AS n
  ), 0);
  LOOP
    IF newest AND (f ? 'error' OR f ? 'idempotency_key' OR worded) THEN
      above := below;  -- an index leads there at once
      ids := '{}';
    ELSE
      ids := ARRAY(SELECT powertools.matching_workflows(
        f, narrow, CASE WHEN newest THEN greatest(above - 1, lowest) ELSE lowest END, below, batch, walk
      ));
    END IF;
    RETURN QUERY
    SELECT i.id FROM unnest(ids) WITH ORDINALITY AS i (id, place)
    LEFT JOIN powertools.workflow_words_v1(CASE WHEN worded THEN ids ELSE '{}' END) AS k ON k.id = i.id
    WHERE NOT worded OR k.word = f ->> 'status'
    ORDER BY i.place LIMIT page - sent;
    GET DIAGNOSTICS rows = ROW_COUNT;
    sent := sent + rows;
    EXIT WHEN sent >= page OR NOT newest AND cardinality(ids) < batch;
    IF newest THEN
      newest := false;
      below := above;
      SELECT l.narrow, l.walk INTO narrow, walk FROM powertools.leads(f, below) AS l;
    ELSE
      below := ids[cardinality(ids)];
    END IF;
  END LOOP;
END $$;


--
-- Name: fingerprint_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.fingerprint_v1(whole text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE WHEN octet_length(whole) <= 2500 THEN whole ELSE left(whole, 600) || '~' || md5(whole) END
$$;


--
-- Name: finish_webhook_v1(bigint, uuid, bigint, text, integer, text, interval, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.finish_webhook_v1(endpoint bigint, held_lease uuid, delivery bigint, new_state text, new_status integer, new_error text, retry_in interval, disabled_for text) RETURNS boolean
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


--
-- Name: gathered_limit(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.gathered_limit() RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN RETURN 67108864; END $$;


--
-- Name: gone_or_dated_ahead(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.gone_or_dated_ahead() RETURNS SETOF boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.gone_executors WHERE relieved_at IS NULL)
    OR EXISTS (SELECT FROM powertools.executors_dated_ahead)
$$;


--
-- Name: guard_audit_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.guard_audit_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: has_started(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.has_started(of_workflow_id bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM powertools.steps k
    WHERE k.workflow_id = of_workflow_id AND (k.job_id IS NOT NULL OR k.released_at IS NOT NULL)
  );
END $$;


--
-- Name: hold_v1(bigint, integer, timestamp with time zone, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.hold_v1(of_workflow_id bigint, of_position integer, until timestamp with time zone, reason text) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  held int;
  jobs bigint[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  WITH idle AS (
    SELECT j.id
    FROM powertools.steps s
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position)
      AND s.state = 'available' AND j.state IN ('available', 'scheduled', 'retryable')
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  ), suspended AS (
    UPDATE public.oban_jobs j SET state = 'suspended' FROM idle i WHERE j.id = i.id RETURNING j.id
  )
  SELECT array_agg(id) INTO jobs FROM suspended;
  UPDATE powertools.steps s SET held_until = until, hold_reason = reason
  WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position)
    AND (s.state = 'pending' OR s.state = 'available' AND (s.job_id = ANY (jobs) OR s.held_until IS NOT NULL));
  GET DIAGNOSTICS held = ROW_COUNT;
  RETURN held;
END $$;


--
-- Name: holding_sessions(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.holding_sessions() RETURNS TABLE(xid xid)
    LANGUAGE sql STABLE
    AS $$
  SELECT l.transactionid
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
    AND (a.state LIKE 'idle in transaction%' OR a.xact_start < clock_timestamp() - interval '2 s')
$$;


--
-- Name: holds_to_expire(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.holds_to_expire(batch integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT ON (w.root_id, w.id) w.id
    FROM (
      SELECT s.workflow_id FROM powertools.overdue_holds() s ORDER BY s.held_until LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;


--
-- Name: hung_jobs_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.hung_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT i.fingerprint
  FROM powertools.incidents i
  WHERE i.fingerprint = powertools.fingerprint_v1('hung_jobs:' || j.worker) AND j.state = 'executing'
    AND j.attempted_at < timezone('UTC', clock_timestamp()) - make_interval(secs => (i.evidence ->> 'bound_seconds')::float8)
    AND NOT j.meta @> '{"may_run_long": true}'
$$;


--
-- Name: hung_jobs_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.hung_jobs_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'executing'
      AND j.attempted_at < timezone('UTC', i.opened_at) AND NOT EXISTS (
        SELECT FROM powertools.executors e
        WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
          AND num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) > 0
      )
  )
$$;


--
-- Name: id_at(timestamp with time zone); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.id_at(at timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
  low bigint := 0;
  high bigint := coalesce((SELECT w.id + 1 FROM powertools.workflows w ORDER BY w.id DESC LIMIT 1), 0);
  middle bigint;
  probe record;
BEGIN
  WHILE low < high LOOP
    middle := (low + high) / 2;
    SELECT w.id, w.inserted_at INTO probe FROM powertools.workflows w WHERE w.id >= middle ORDER BY w.id LIMIT 1;
    IF probe.inserted_at >= at THEN
      high := middle;
    ELSE
      low := probe.id + 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;


--
-- Name: idle_jobs(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.idle_jobs(workflow_ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT j.id
    FROM powertools.steps s
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.workflow_id = ANY (workflow_ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id
  );
END $$;


--
-- Name: ids_by_error(text[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.ids_by_error(words text[]) RETURNS SETOF bigint
    LANGUAGE sql STABLE
    AS $$
  SELECT s.workflow_id
  FROM powertools.steps s
  WHERE s.error IS NOT NULL AND cardinality(words) > 0 AND to_tsvector('simple', regexp_replace(
    left(coalesce(s.error ->> 'class', '') || ' ' || coalesce(s.error ->> 'text', s.error ->> 'error', ''), 2500), '[^[:alnum:]]+', ' ', 'g'
  )) @@ to_tsquery('simple', array_to_string(words, ':* & ') || ':*')
  UNION
  SELECT powertools.workflow_of_v1(j.meta)
  FROM (
    SELECT j.meta, j.errors -> -1 AS error FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at LIMIT 5000
  ) AS j
  WHERE cardinality(words) > 0 AND j.meta ? 'position' AND concat(
    j.error ->> 'class', ' ', coalesce(j.error ->> 'text', j.error ->> 'error')
  ) ILIKE ALL (SELECT '%' || w || '%' FROM unnest(words) AS w)
$$;


--
-- Name: ids_by_word(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.ids_by_word(of_word text) RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  most CONSTANT int := 5000;
  blocked CONSTANT bool := of_word = 'Blocked';
  review CONSTANT bool := of_word = 'Needs Review';
  hit bigint[];
BEGIN
  IF of_word NOT IN ('Needs Review', 'Blocked', 'Running') THEN
    RETURN NULL;
  END IF;
  WITH RECURSIVE queues (state, queue) AS (
    (
      SELECT s.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = s.state ORDER BY j.queue LIMIT 1)
      FROM unnest('{available,scheduled,retryable}'::public.oban_job_state[]) AS s (state) WHERE blocked
    )
    UNION ALL
    SELECT q.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = q.state AND j.queue > q.queue ORDER BY j.queue LIMIT 1)
    FROM queues q WHERE q.queue IS NOT NULL
  ), named AS MATERIALIZED (
    SELECT q.state, q.queue FROM queues q WHERE q.queue IS NOT NULL LIMIT 1000
  ), closed AS MATERIALIZED (
    SELECT f.queue FROM powertools.queue_facts_v1(ARRAY(SELECT DISTINCT n.queue FROM named n)) AS f WHERE f.executors = f.paused
  ), jobs AS (
    (SELECT j.meta FROM public.oban_jobs j WHERE NOT review AND j.state = 'executing' LIMIT most)
    UNION ALL
    (SELECT j.meta FROM public.oban_jobs j WHERE review AND j.state = 'suspended' LIMIT most)
    UNION ALL
    SELECT j.meta
    FROM named n
    JOIN closed c ON c.queue = n.queue
    CROSS JOIN LATERAL (SELECT j.meta FROM public.oban_jobs j WHERE j.state = n.state AND j.queue = n.queue LIMIT most) AS j
    UNION ALL
    SELECT j.meta FROM (
      (SELECT j.* FROM public.oban_jobs j WHERE review AND j.state = 'retryable' LIMIT most)
      UNION ALL
      (SELECT j.* FROM public.oban_jobs j WHERE review AND j.state = 'available' LIMIT most)
    ) AS j
    WHERE powertools.unresolved(j.errors -> -1) OR j.state = 'available' AND j.attempt >= j.max_attempts
  )
  SELECT array_agg(DISTINCT h.id) INTO hit FROM (
    SELECT powertools.workflow_of_v1(j.meta) AS id FROM jobs j WHERE j.meta ? 'position'
    UNION ALL
    SELECT f.workflow_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
    UNION ALL
    SELECT i.subject_id::bigint FROM powertools.incidents i
    WHERE i.class = 'workflow_stuck' AND i.state <> 'resolved' AND i.subject_type = 'workflow'
  ) AS h;
  IF cardinality(hit) >= most THEN
    RETURN NULL;
  END IF;
  RETURN ARRAY(
    WITH RECURSIVE family (id) AS (
      SELECT w.root_id FROM unnest(hit) AS u (id) JOIN powertools.workflows w ON w.id = u.id
      UNION
      SELECT c.id FROM family f JOIN powertools.workflows c ON c.parent_id = f.id
    )
    SELECT f.id FROM family f
  );
END $$;


--
-- Name: ids_of(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.ids_of(i powertools.incidents) RETURNS bigint[]
    LANGUAGE sql STABLE
    AS $$ SELECT ARRAY(SELECT jsonb_array_elements_text(i.evidence -> 'ids')::bigint) $$;


--
-- Name: incident_word_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.incident_word_v1(state text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE state WHEN 'resolved' THEN 'Finished' WHEN 'acknowledged' THEN 'Waiting' WHEN 'active' THEN 'Needs Review' END
$$;


--
-- Name: incidents_concerning_v1(bigint[], integer[], bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.incidents_concerning_v1(workflow_ids bigint[], positions integer[], job_ids bigint[], OUT incident_id bigint, OUT subject bigint, OUT job_id bigint) RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
DECLARE
  asked text;
BEGIN
  FOR asked IN
    SELECT DISTINCT c.concerns_by FROM powertools.incident_classes c
    WHERE EXISTS (SELECT FROM powertools.incidents i WHERE i.class = c.name AND i.state <> 'resolved')
  LOOP
    RETURN QUERY EXECUTE format(
      $q$
        SELECT i.id, t.subject, j.id
        FROM unnest($1, $2, $3) WITH ORDINALITY AS t (workflow_id, position, job_id, subject)
        LEFT JOIN LATERAL (
          SELECT * FROM powertools.step_at_v1(t.workflow_id, t.position)
        ) AS s ON true
        LEFT JOIN powertools.workflows w ON w.id = t.workflow_id
        LEFT JOIN public.oban_jobs j
          ON j.id = coalesce(t.job_id, s.job_id)
          AND (t.job_id IS NOT NULL OR powertools.is_job_of_v1(j.meta, s.workflow_id, s.position))
        CROSS JOIN LATERAL powertools.%I(s, w, j) AS f (fingerprint)
        JOIN powertools.incidents i ON i.fingerprint = powertools.fingerprint_v1(f.fingerprint) AND i.state <> 'resolved'
      $q$, asked
    ) USING workflow_ids, positions, job_ids;
  END LOOP;
END $_$;


--
-- Name: insert_jobs_v1(text[], text[], text[], integer[], integer[], jsonb[], jsonb[], jsonb[], timestamp without time zone[], timestamp without time zone[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.insert_jobs_v1(states text[], queues text[], workers text[], max_attempts integer[], priorities integer[], args jsonb[], metas jsonb[], tags jsonb[], inserted_ats timestamp without time zone[], scheduled_ats timestamp without time zone[]) RETURNS TABLE(id bigint, inserted_at timestamp without time zone, queue text, scheduled_at timestamp without time zone, state text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
#variable_conflict use_column
DECLARE
  job_ids regclass := pg_get_serial_sequence('public.oban_jobs', 'id');
  woken text[];
BEGIN
  woken := ARRAY(
    SELECT q.queue FROM unnest(queues, states, scheduled_ats) AS q (queue, state, scheduled_at)
    WHERE q.state = 'available' AND q.scheduled_at IS NULL
  );
  RETURN QUERY
  INSERT INTO public.oban_jobs AS j (
    id, state, queue, worker, max_attempts, priority, args, meta, tags, inserted_at, scheduled_at
  )
  OVERRIDING SYSTEM VALUE
  SELECT
    nextval(job_ids),
    (CASE WHEN a.state = 'available' AND a.scheduled_at IS NOT NULL THEN 'scheduled' ELSE a.state END)::public.oban_job_state,
    a.queue, a.worker, a.max_attempts, a.priority, a.args, a.meta,
    ARRAY(SELECT jsonb_array_elements_text(a.tags)),
    coalesce(a.inserted_at, timezone('UTC', now())), coalesce(a.scheduled_at, timezone('UTC', now()))
  FROM unnest(states, queues, workers, max_attempts, priorities, args, metas, tags, inserted_ats, scheduled_ats)
    AS a (state, queue, worker, max_attempts, priority, args, meta, tags, inserted_at, scheduled_at)
  RETURNING j.id, j.inserted_at, j.queue, j.scheduled_at, j.state::text;
  IF woken <> '{}' THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
END $$;


--
-- Name: insert_on_finished(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.insert_on_finished(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  woken text[];
BEGIN
  WITH jobs AS (
    INSERT INTO public.oban_jobs (state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    SELECT
      (CASE WHEN j.scheduled_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      j.queue, j.worker, j.max_attempts, j.priority, j.args,
      j.meta || jsonb_build_object(
        'workflow_id', w.id, 'workflow_name', w.name, 'outcome', w.state, 'generation', w.generation,
        'failures_handled', w.failures_handled,
        'failed_steps', CASE WHEN w.failed = 0 THEN '[]' ELSE to_jsonb(powertools.failed_steps_v1(w.id)) END
      ),
      j.tags, timezone('UTC', greatest(j.scheduled_at, now()))
    FROM powertools.workflows w
    CROSS JOIN LATERAL jsonb_to_record(w.on_finished) AS j (
      queue text, worker text, max_attempts int, priority int, args jsonb, meta jsonb, tags text[],
      scheduled_at timestamptz
    )
    WHERE w.id = ANY (workflow_ids)
    ORDER BY w.id
    RETURNING id, queue, state, worker, meta
  ), callbacks AS (
    INSERT INTO powertools.callbacks (workflow_id, generation, job_id, worker, state)
    SELECT (j.meta ->> 'workflow_id')::bigint, (j.meta ->> 'generation')::int, j.id, j.worker, j.state::text FROM jobs j
    ON CONFLICT DO NOTHING
  )
  SELECT array_agg(queue) INTO woken FROM jobs WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
END $$;


--
-- Name: instant_bytes(timestamp with time zone); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.instant_bytes(at timestamp with time zone) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  SELECT int8send((extract(epoch FROM at) * 1000000)::bigint)
$$;


--
-- Name: late_results; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.late_results (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    attempted_at timestamp with time zone NOT NULL,
    attempted_by text[] NOT NULL,
    state text NOT NULL,
    result jsonb,
    error jsonb,
    queue text NOT NULL,
    worker text NOT NULL,
    workflow_id bigint,
    "position" integer,
    adopted_at timestamp with time zone,
    dismissed_at timestamp with time zone,
    decided_by text,
    CONSTRAINT late_result_decided CHECK ((num_nonnulls(adopted_at, dismissed_at) = ((decided_by IS NOT NULL))::integer))
);


--
-- Name: is_adoptable_v1(powertools.late_results, text, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_adoptable_v1(l powertools.late_results, job_state text, step_state text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT l.state = 'completed' AND NOT coalesce(l.result ? 'await', false) AND job_state <> 'executing' AND CASE
    WHEN step_state IN ('discarded', 'cancelled', 'expired') THEN NOT coalesce(l.result ? 'append', false)
    ELSE job_state NOT IN ('completed', 'cancelled', 'discarded')
  END
$$;


--
-- Name: is_as_written_v1(powertools.audit, bytea); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_as_written_v1(a powertools.audit, row_hash bytea) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT powertools.audit_hash_v1(a) = row_hash
    OR num_nonnulls(a.workflow_id, a.step) = 0 AND powertools.audit_hash_of_18(a) = row_hash
$$;


--
-- Name: is_audited(text, bigint, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_audited(who text, of_preview bigint, of_incident bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: is_failure(text, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_failure(state text, cause text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT state IN ('discarded', 'expired') OR state = 'cancelled' AND cause IS DISTINCT FROM 'cancel_requested'
$$;


--
-- Name: waits; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.waits (
    id bigint NOT NULL,
    workflow_id bigint NOT NULL,
    "position" integer NOT NULL,
    generation integer NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    signal text NOT NULL,
    correlation_key text NOT NULL,
    deadline_at timestamp with time zone,
    registered_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    swept boolean DEFAULT false NOT NULL,
    CONSTRAINT wait_ended CHECK (((ended_at IS NULL) = (state = 'waiting'::text))),
    CONSTRAINT wait_state CHECK ((state = ANY (ARRAY['waiting'::text, 'consumed'::text, 'expired'::text, 'cancelled'::text])))
);


--
-- Name: is_for(powertools.signals, powertools.waits); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_for(g powertools.signals, w powertools.waits) RETURNS boolean
    LANGUAGE sql
    AS $$
  SELECT (g.workflow_id IS NULL OR g.workflow_id = w.workflow_id)
    AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
    AND (g.last_workflow_id IS NULL OR g.last_workflow_id >= powertools.root_of(w.workflow_id))
$$;


--
-- Name: is_its_job_v1(powertools.steps, bigint, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_its_job_v1(s powertools.steps, id bigint, meta jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT id = s.job_id AND powertools.workflow_of_v1(meta) = s.workflow_id AND powertools.position_of_v1(meta) = s.position
$$;


--
-- Name: is_job_of_v1(jsonb, bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_job_of_v1(meta jsonb, of_workflow_id bigint, of_position integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT powertools.workflow_of_v1(meta) = of_workflow_id AND powertools.position_of_v1(meta) = of_position
$$;


--
-- Name: is_ours(xid, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_ours(row_xmin xid, marker bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
  RETURN pg_xact_status((marker + ((row_xmin::text::bigint - marker) & 4294967295))::text::xid8) = 'in progress';
EXCEPTION WHEN invalid_parameter_value THEN
  RETURN false;
END $$;


--
-- Name: is_served(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_served(of_queue text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.executors e
    WHERE e.producer_scope = of_queue AND num_nonnulls(e.stopped_at, e.missing_at) = 0
      AND greatest(e.beat_at, powertools.server_started_at()) > clock_timestamp() - e.missing_after
  ) OR EXISTS (
    SELECT FROM public.oban_producers p
    WHERE p.queue = of_queue AND p.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
  )
$$;


--
-- Name: is_since(xid, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_since(row_xmin xid, marker bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT row_xmin::text::bigint > 2 AND ((row_xmin::text::bigint - marker) & 4294967295) < 2147483648
$$;


--
-- Name: is_unclaimed(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.is_unclaimed(came_at timestamp with time zone, expires_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT came_at < clock_timestamp() - n.after AND came_at > clock_timestamp() - n.after - interval '1 day'
    AND coalesce(expires_at > clock_timestamp(), true)
  FROM (SELECT powertools.span_setting_v1('incident_unclaimed_after') AS after OFFSET 0) AS n
$$;


--
-- Name: jobs_deleted_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.jobs_deleted_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  SELECT array_agg(ROW (
    powertools.workflow_of_v1(o.meta), powertools.position_of_v1(o.meta), o.id, NULL, NULL, 'cancelled', 'job_deleted', o.attempt, NULL,
    o.errors -> -1, o.inserted_at AT TIME ZONE 'UTC', o.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome)
  INTO outcomes
  FROM old_jobs o
  WHERE o.state NOT IN ('completed', 'discarded', 'cancelled')
    AND powertools.workflow_of_v1(o.meta) IS NOT NULL AND powertools.position_of_v1(o.meta) IS NOT NULL;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
  SELECT array_agg(ROW (
    powertools.ended_workflow_of_v1(o.meta), (o.meta ->> 'generation')::int, o.id, NULL, NULL, 'job_deleted', NULL, o.attempt,
    NULL, o.errors -> -1, NULL, o.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome)
  INTO outcomes
  FROM old_jobs o
  WHERE o.state NOT IN ('completed', 'discarded', 'cancelled') AND powertools.ended_workflow_of_v1(o.meta) IS NOT NULL;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.record_callbacks(outcomes);
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  -- What could not even be read is left to the sweep, which compares steps with their jobs.
  RAISE WARNING 'powertools could not look at jobs that were %: %', lower(TG_OP) || 'd', SQLERRM;
  RETURN NULL;
END $$;


--
-- Name: jobs_updated_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.jobs_updated_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  outcomes powertools.outcome[];
  starts powertools.change[];
  results jsonb;
  kept jsonb;
  said bigint;
  idle bigint[];
  callbacks bool;
BEGIN
  IF NOT EXISTS (SELECT FROM old_jobs o WHERE o.meta ? 'workflow_id') THEN
    RETURN NULL;
  END IF;
  IF current_setting('powertools.results', true) <> '' THEN
    -- Any session may set it to anything, and its update must go on (invariant/I6).
    BEGIN
      results := current_setting('powertools.results', true)::jsonb;
    EXCEPTION WHEN data_exception THEN
      results := NULL;
    END;
    PERFORM set_config('powertools.results', '', true);
  END IF;
  -- One checksum over all meta: for a batch that changes none, as most do, nothing else is compared.
  SELECT bit_xor(jsonb_hash_extended(n.meta, n.id)),
    array_agg(n.id) FILTER (WHERE n.state IN ('available', 'scheduled', 'retryable', 'suspended')),
    bool_or(n.meta ? 'failed_steps')
  INTO said, idle, callbacks
  FROM new_jobs n;
  IF (SELECT bit_xor(jsonb_hash_extended(o.meta, o.id)) FROM old_jobs o) IS DISTINCT FROM said
    AND current_setting('powertools.keeping', true) IS DISTINCT FROM 'on' THEN
    SELECT powertools.keep_identities(array_agg(o.id ORDER BY o.id), array_agg(o.meta ORDER BY o.id)) INTO kept
    FROM old_jobs o
    WHERE o.meta ?& '{workflow_id,position,uid}' OR o.meta ?& '{workflow_id,outcome,failed_steps}';
  END IF;
  SELECT array_agg(ROW (
    n.workflow_id, n.position, n.id, NULL, NULL,
    CASE WHEN n.state = 'completed' AND n.result ? 'await' THEN 'awaiting_signal' ELSE n.state::text END,
    NULL, n.attempt,
    CASE WHEN n.state = 'completed' THEN n.result END,
    CASE WHEN n.state IN ('retryable', 'discarded', 'cancelled') THEN n.errors -> -1 END,
    n.inserted_at AT TIME ZONE 'UTC', n.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome) FILTER (WHERE n.state <> 'executing'),
  array_agg(ROW (
    n.workflow_id, n.position, 'started', 'executing', n.id, n.attempt, NULL, NULL
  )::powertools.change ORDER BY n.id) FILTER (WHERE n.state = 'executing')
  INTO outcomes, starts
  FROM (
    SELECT m.*, powertools.workflow_of_v1(m.own) AS workflow_id, powertools.position_of_v1(m.own) AS position
    -- computed first: a function is inlined only over a plain column
    FROM (
      SELECT n.*, coalesce(kept -> n.id::text, n.meta) AS own, coalesce(results -> n.id::text, n.meta -> 'return') AS result
      FROM new_jobs n OFFSET 0
    ) AS m OFFSET 0
  ) AS n
  WHERE (
      n.state IN ('completed', 'discarded', 'cancelled')
      OR n.state = 'executing' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state <> 'executing')
      OR n.state = 'retryable' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state IN ('available', 'scheduled', 'executing'))
      OR n.state = 'scheduled' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state IN ('available', 'retryable', 'executing'))
      OR n.state = 'available' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state = 'executing')
    )
    AND n.workflow_id IS NOT NULL AND n.position IS NOT NULL;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
  IF starts IS NOT NULL THEN
    PERFORM powertools.defer_starts_guarded(starts);
  END IF;
  IF callbacks THEN
    PERFORM powertools.record_callbacks(array_agg(ROW (
      powertools.ended_workflow_of_v1(m.own), (m.own ->> 'generation')::int, m.id, NULL, NULL, m.state, NULL, m.attempt,
      NULL, m.errors -> -1, NULL, m.attempted_at AT TIME ZONE 'UTC'
    )::powertools.outcome))
    FROM (SELECT n.*, coalesce(kept -> n.id::text, n.meta) AS own FROM new_jobs n OFFSET 0) AS m
    WHERE powertools.ended_workflow_of_v1(m.own) IS NOT NULL;
  END IF;
  IF idle IS NOT NULL THEN
    PERFORM powertools.keep_stopped(
      idle, ARRAY(SELECT o.id FROM old_jobs o WHERE o.state IN ('completed', 'discarded', 'cancelled'))
    );
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  -- What could not even be read is left to the sweep, which compares steps with their jobs.
  RAISE WARNING 'powertools could not look at jobs that were %: %', lower(TG_OP) || 'd', SQLERRM;
  RETURN NULL;
END $$;


--
-- Name: judge_executors(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.judge_executors() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  ids text[];
  kinds text[];
  datas jsonb[];
BEGIN
  WITH judged AS (
    SELECT d.told_as, h.*
    FROM powertools.executors d
    JOIN powertools.executor_health_v1() AS h ON h.executor_id = d.executor_id
    WHERE d.beat_at = h.beat_at AND (h.state <> d.told_as OR h.state = 'missing' AND d.missing_at IS NULL)
    ORDER BY d.executor_id FOR UPDATE OF d SKIP LOCKED
  ), marked AS (
    UPDATE powertools.executors e
    SET told_as = j.state,
        missing_at = CASE j.state WHEN 'missing' THEN coalesce(e.missing_at, clock_timestamp()) ELSE e.missing_at END
    FROM judged j WHERE e.executor_id = j.executor_id
  ), news AS (
    SELECT j.*, CASE WHEN j.state IN ('late', 'missing') THEN j.state ELSE 'recovered' END AS change
    FROM judged j
    WHERE j.state <> j.told_as AND (j.state IN ('late', 'missing') OR j.state = 'healthy' AND j.told_as IN ('late', 'missing'))
  )
  SELECT array_agg(n.executor_id ORDER BY n.executor_id), array_agg('executor.' || n.change ORDER BY n.executor_id),
    array_agg(jsonb_build_object(
      'node', n.node, 'queue', n.producer_scope, 'process_alive', n.process_alive, 'loop_responsive', n.loop_responsive,
      'executing', n.executing, 'beat_at', n.beat_at
    ) ORDER BY n.executor_id)
  INTO ids, kinds, datas
  FROM news n;
  PERFORM powertools.write_notices('executor', ids, kinds, datas);
END $$;


--
-- Name: judge_failures(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.judge_failures(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  WITH RECURSIVE handled AS (
    SELECT s.workflow_id, s.position
    FROM powertools.steps s
    WHERE s.workflow_id = ANY (workflow_ids) AND s.state IN ('discarded', 'expired', 'cancelled')
      AND EXISTS (
        SELECT FROM powertools.steps k
        WHERE k.workflow_id = s.workflow_id AND k.position = ANY (s.continue_children) AND k.state = 'completed'
      )
    UNION
    SELECT p.workflow_id, p.position
    FROM handled h
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
    JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
    WHERE p.state IN ('discarded', 'expired', 'cancelled')
  ), unhandled AS (
    SELECT DISTINCT s.workflow_id
    FROM powertools.steps s
    LEFT JOIN handled h ON h.workflow_id = s.workflow_id AND h.position = s.position
    WHERE s.workflow_id = ANY (workflow_ids) AND h.position IS NULL
      AND powertools.is_failure(s.state, s.cause) AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
  )
  UPDATE powertools.workflows w
  SET failures_handled = NOT EXISTS (SELECT FROM unhandled u WHERE u.workflow_id = w.id)
  WHERE w.id = ANY (workflow_ids);
END $$;


--
-- Name: keep_identities(bigint[], jsonb[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.keep_identities(ids bigint[], metas jsonb[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  -- of a step's job, and of an on_finished job
  ours CONSTANT text[] := '{
    workflow_id, workflow_name, step, position, generation, uid, context, outcome, failed_steps, failures_handled
  }';
  kept jsonb;
  edited text[];
  details jsonb[];
BEGIN
  -- So that the trigger does not take this for another edit.
  PERFORM set_config('powertools.keeping', 'on', true);
  WITH edits AS (
    SELECT j.id, b.own, s.said, o.after - ours - CASE WHEN r.early IS NULL THEN '{}' ELSE '{return}' END::text[] AS others,
      coalesce(d.displaced, '{}') || CASE
        WHEN r.early IS DISTINCT FROM o.before -> 'return' AND r.early IS NOT NULL THEN jsonb_build_object('return', r.early)
        ELSE '{}'
      END AS displaced
    FROM unnest(ids, metas) AS m (id, meta)
    CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = m.id OFFSET 0) AS j
    CROSS JOIN LATERAL (
      SELECT CASE jsonb_typeof(m.meta) WHEN 'object' THEN m.meta ELSE '{}' END AS before,
        CASE jsonb_typeof(j.meta) WHEN 'object' THEN j.meta ELSE '{}' END AS after
    ) AS o
    CROSS JOIN LATERAL (SELECT CASE WHEN j.state <> 'completed' THEN o.after -> 'return' END AS early) AS r
    CROSS JOIN LATERAL (
      SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS own FROM jsonb_each(o.before) AS e WHERE e.key = ANY (ours)
    ) AS b
    CROSS JOIN LATERAL (
      SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS said FROM jsonb_each(o.after) AS e WHERE e.key = ANY (ours)
    ) AS s
    CROSS JOIN LATERAL (
      SELECT jsonb_object_agg(e.key, e.value) AS displaced FROM jsonb_each(s.said) AS e WHERE b.own -> e.key IS DISTINCT FROM e.value
    ) AS d
    WHERE b.own <> s.said OR r.early IS NOT NULL
  ), restored AS (
    UPDATE public.oban_jobs j
    SET meta = e.others || e.own
      || CASE e.displaced WHEN '{}' THEN '{}' ELSE jsonb_build_object('displaced', e.displaced) END
    FROM edits e
    WHERE j.id = e.id
    RETURNING j.id, e.own, e.displaced, e.own <> e.said OR e.displaced <> '{}' AS edited
  )
  SELECT jsonb_object_agg(x.id, x.own), array_agg(x.id::text) FILTER (WHERE x.edited),
    array_agg(jsonb_build_object(
      'workflow_id', x.own -> 'workflow_id', 'step', x.own -> 'step', 'displaced', ARRAY(SELECT jsonb_object_keys(x.displaced))
    )) FILTER (WHERE x.edited)
  INTO kept, edited, details
  FROM restored x;
  PERFORM set_config('powertools.keeping', '', true);
  IF edited IS NOT NULL THEN
    PERFORM powertools.record_system_v1(
      'job_meta_restore', 'job', edited, 'another tool changed what the job says that it runs for', NULL, NULL, details
    );
  END IF;
  RETURN kept;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not restore the meta of jobs %: %', ids, SQLERRM;
  RETURN NULL;
END $$;


--
-- Name: keep_incidents(powertools.detected[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.keep_incidents(found powertools.detected[]) RETURNS void
    LANGUAGE sql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
  WITH before AS (
    SELECT i.* FROM powertools.incidents i WHERE i.fingerprint = ANY (ARRAY(SELECT f.fingerprint FROM unnest(found) AS f))
  ), seen AS MATERIALIZED (
    SELECT f.fingerprint, f.class, f.subject_type, f.subject_id, f.title, f.count, f.evidence, f.holds_until,
      n.waiting_workflows, n.waiting_steps, c.now AS opened_at, c.now AS last_detected_at
    FROM unnest(found) AS f
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS c
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS waiting_workflows, coalesce(sum(w.open), 0)::bigint AS waiting_steps
      FROM (SELECT DISTINCT id FROM unnest(f.workflow_ids[: 1000]) AS u (id)) AS u
      JOIN powertools.workflows w ON w.id = u.id AND w.open > 0
    ) AS n
  ), added AS (
    INSERT INTO powertools.incidents AS i (
      fingerprint, class, subject_type, subject_id, title, count, evidence, waiting_workflows, waiting_steps, holds_until,
      first_detected_at, opened_at, last_detected_at
    )
    SELECT s.fingerprint, s.class, s.subject_type, s.subject_id, s.title, s.count, s.evidence, s.waiting_workflows,
      s.waiting_steps, s.holds_until, s.opened_at, s.opened_at, s.last_detected_at
    FROM seen s
    WHERE NOT EXISTS (SELECT FROM before b WHERE b.fingerprint = s.fingerprint)
    ORDER BY s.fingerprint
    RETURNING i.id, i.fingerprint, i.title, i.count, i.evidence, i.holds_until
  ), changed AS (
    UPDATE powertools.incidents i
    SET state = CASE i.state WHEN 'resolved' THEN 'active' ELSE i.state END,
        substatus = CASE
          WHEN i.state = 'resolved' THEN CASE i.reopened WHEN 0 THEN 'regressed' ELSE 'recurring' END
          WHEN i.reopened = 0 AND i.opened_at < s.opened_at - interval '1 hour' THEN 'ongoing'
          ELSE i.substatus
        END,
        reopened = i.reopened + (i.state = 'resolved')::int,
        opened_at = CASE i.state WHEN 'resolved' THEN s.opened_at ELSE i.opened_at END,
        acknowledged_by = CASE WHEN i.state <> 'resolved' THEN i.acknowledged_by END,
        acknowledged_at = CASE WHEN i.state <> 'resolved' THEN i.acknowledged_at END,
        resolved_at = NULL, subject_type = s.subject_type, subject_id = s.subject_id, title = s.title, count = s.count,
        evidence = s.evidence, waiting_workflows = s.waiting_workflows, waiting_steps = s.waiting_steps,
        holds_until = s.holds_until, last_detected_at = s.last_detected_at
    FROM seen s
    WHERE i.fingerprint = s.fingerprint AND (
      -- an unchanged row is written at most once a minute; a clock that was set back counts as a minute
      i.state = 'resolved'
      OR (i.last_detected_at BETWEEN s.last_detected_at - interval '1 minute' AND s.last_detected_at) IS NOT TRUE
      OR (i.title, i.count, i.evidence, i.waiting_workflows, i.waiting_steps, i.holds_until)
        IS DISTINCT FROM (s.title, s.count, s.evidence, s.waiting_workflows, s.waiting_steps, s.holds_until)
    )
    RETURNING i.id, i.fingerprint, i.title, i.count, i.evidence, i.holds_until
  ), kept AS (
    SELECT * FROM added
    UNION ALL
    SELECT * FROM changed
  )
  INSERT INTO powertools.incident_entries (incident_id, kind, detail)
  SELECT k.id,
    CASE WHEN b.id IS NULL THEN 'detected' WHEN b.state = 'resolved' THEN 'reopened' ELSE 'changed' END,
    jsonb_build_object('title', k.title, 'count', k.count, 'evidence', k.evidence)
  FROM kept k
  LEFT JOIN before b ON b.fingerprint = k.fingerprint
  -- a growing number is reported at each doubling; an equal one is no news
  WHERE b.id IS NULL OR b.state = 'resolved' OR k.count > b.count AND k.count >= 2 * b.count
    OR k.count < b.count AND k.holds_until IS NULL
  ORDER BY k.fingerprint;
$$;


--
-- Name: keep_stopped(bigint[], bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.keep_stopped(ids bigint[], ended bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  stopped bigint[];
BEGIN
  stopped := ARRAY(
    SELECT j.id
    FROM unnest(ids) AS g (id)
    CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = g.id OFFSET 0) AS j
    JOIN powertools.workflows w ON w.id = powertools.workflow_of_v1(j.meta)
    JOIN powertools.workflows r ON r.id = w.root_id
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
      AND coalesce(w.cancel_requested_at, w.expired_at, r.cancel_requested_at, r.expired_at) IS NOT NULL
    ORDER BY j.id
  );
  IF stopped = '{}' THEN
    RETURN;
  END IF;
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now()) WHERE j.id = ANY (stopped);
  PERFORM powertools.record_system_v1(
    'job_cancel', 'job', array_agg(s.id::text ORDER BY s.id), 'another tool ran it again after its workflow was cancelled or expired'
  )
  FROM unnest(stopped) AS s (id) WHERE s.id = ANY (ended) HAVING count(*) > 0;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not cancel again jobs %: %', ids, SQLERRM;
END $$;


--
-- Name: keep_untaken(powertools.outcome[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.keep_untaken(outcomes powertools.outcome[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  INSERT INTO powertools.late_results (
    job_id, attempt, attempted_at, attempted_by, state, result, error, queue, worker, workflow_id, position
  )
  SELECT j.id, o.attempt, o.started_at, coalesce(j.attempted_by, '{}'),
    CASE o.state WHEN 'awaiting_signal' THEN 'completed' ELSE o.state END, o.result, o.error, j.queue, j.worker,
    s.workflow_id, s.position
  FROM unnest(outcomes) AS o
  CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = o.job_id OFFSET 0) AS j
  LEFT JOIN powertools.steps s ON s.workflow_id = o.workflow_id AND s.position = o.position
  WHERE o.state IN ('completed', 'discarded', 'cancelled', 'awaiting_signal') AND o.cause IS NULL AND o.started_at IS NOT NULL
    AND CASE WHEN s.job_id = o.job_id
      -- not the attempt that gave the step its outcome, whose job was changed since
      THEN s.started_at IS DISTINCT FROM o.started_at AND s.wait_id IS NULL OR o.started_at > s.finished_at
      ELSE o.state IN ('completed', 'awaiting_signal')
    END
  ON CONFLICT ON CONSTRAINT late_result_once DO NOTHING;
END $$;


--
-- Name: late_result_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.late_result_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT format('late_result:%s:%s', coalesce(l.attempted_by[1], '?'), coalesce(l.attempted_by[2], '?'))
  FROM powertools.late_results l WHERE l.job_id = j.id AND l.adopted_at IS NULL AND l.dismissed_at IS NULL
$$;


--
-- Name: late_result_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.late_result_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.late_results l
    JOIN public.oban_jobs j ON j.id = l.job_id
    LEFT JOIN powertools.steps s ON s.workflow_id = l.workflow_id AND s.position = l.position
    WHERE l.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND l.adopted_at IS NULL AND l.dismissed_at IS NULL
      AND coalesce(s.state, j.state::text) NOT IN ('completed', 'awaiting_signal')
  )
$$;


--
-- Name: leads(jsonb, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.leads(f jsonb, below bigint, OUT narrow bigint[], OUT walk boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  most CONSTANT int := 5000;
BEGIN
  IF f ? 'error' THEN
    narrow := ARRAY(SELECT powertools.ids_by_error(powertools.words_of(f ->> 'error')));
    RETURN;
  ELSIF f ? 'status' AND f ->> 'status' <> 'Finished' THEN
    narrow := powertools.ids_by_word(f ->> 'status');
  END IF;
  IF narrow IS NULL AND f ? 'worker' THEN
    narrow := ARRAY(
      SELECT s.workflow_id FROM powertools.steps s
      WHERE hashtext(s.worker) = hashtext(f ->> 'worker') AND s.worker = f ->> 'worker' AND s.worker IS NOT NULL
        AND s.workflow_id < below ORDER BY s.workflow_id DESC LIMIT most
    );
    narrow := CASE WHEN cardinality(narrow) < most THEN narrow END;
  END IF;
  IF narrow IS NULL AND f ? 'step' THEN
    narrow := ARRAY(
      SELECT s.workflow_id FROM powertools.steps s
      WHERE s.name = f ->> 'step' AND s.workflow_id < below ORDER BY s.workflow_id DESC LIMIT most
    );
    narrow := CASE WHEN cardinality(narrow) < most THEN narrow END;
  END IF;
  walk := narrow IS NULL AND NOT f ?| '{tag,idempotency_key,context,finished_from,finished_to}';
END $$;


--
-- Name: leaf_words(bigint[], integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.leaf_words(workflow_ids bigint[], positions integer[]) RETURNS TABLE(workflow_id bigint, "position" integer, name text, word text, code text)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH holding AS MATERIALIZED (
    SELECT h.xid FROM powertools.holding_sessions() h
  ), leaves AS MATERIALIZED (
    SELECT s.workflow_id, s.position, s.name, s.state AS own_state, s.held_until IS NOT NULL AS held, c.id AS child_id, c.max_failures,
      s.cancel_requested_at IS NOT NULL AS stopping, w.expired_at IS NOT NULL AS expired, w.cancel_requested_at IS NOT NULL AS cancelling,
      f.job_id IS NOT NULL AS faulted, j.id AS job_id, j.state::text AS job_state, j.queue, j.attempted_by, j.scheduled_at,
      j.state = 'available' AND j.attempt >= j.max_attempts AS exhausted,
      j.state IN ('available', 'scheduled', 'retryable') AND powertools.unresolved(j.errors -> -1) AS unresolved,
      j.state = 'suspended' AND EXISTS (
        SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined'
      ) AS quarantined,
      EXISTS (
        SELECT FROM holding h
        WHERE h.xid IN (w.xmax, j.xmax, (SELECT r.xmax FROM powertools.workflows r WHERE r.id = w.root_id))
      ) AS locked
    FROM unnest(workflow_ids, positions) AS u (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT * FROM powertools.steps WHERE workflow_id = u.workflow_id AND position = u.position LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
      SELECT w.*, w.xmax FROM powertools.workflows w WHERE w.id = s.workflow_id LIMIT 1
    ) AS w
    LEFT JOIN powertools.workflows c ON c.id = s.child_id
    LEFT JOIN powertools.settle_faults f ON f.job_id = s.job_id AND f.repaired_at IS NULL
    LEFT JOIN public.oban_jobs j ON s.state = 'available' AND j.id = s.job_id
  ), queues AS MATERIALIZED (
    SELECT q.queue, CASE
        WHEN q.executors = 0 THEN 'queue_has_no_executor'
        WHEN q.paused = q.executors THEN 'queue_paused'
        WHEN q.running >= q.places THEN 'queue_saturated'
      END AS code
    FROM powertools.queue_facts_v1(ARRAY(
      SELECT DISTINCT l.queue FROM leaves l WHERE l.job_state IN ('available', 'scheduled', 'retryable')
    )) AS q
  ), lost AS MATERIALIZED (
    SELECT e.node, e.producer, h.state IN ('missing', 'stopped') OR e.stopped_at IS NULL AND EXISTS (
      SELECT FROM powertools.gone_executors g WHERE g.executor_id = e.executor_id
    ) AS lost
    FROM powertools.executors e
    JOIN powertools.executor_health_v1() h ON h.executor_id = e.executor_id
    WHERE EXISTS (SELECT FROM leaves l WHERE l.job_state = 'executing')
  ), coded AS (
    SELECT l.workflow_id, l.position, l.name, coalesce(l.job_state, l.own_state) = 'executing' AS executing, array_remove(
      CASE
        WHEN l.faulted THEN ARRAY['bookkeeping_fault']
        WHEN l.own_state = 'pending' THEN ARRAY[CASE WHEN l.held THEN 'held' END]
        WHEN l.own_state = 'awaiting_signal' THEN ARRAY['waiting_on_signal']
        WHEN l.own_state = 'executing' AND l.child_id IS NOT NULL
          THEN ARRAY[CASE WHEN l.max_failures IS NULL THEN 'waiting_on_workflow' ELSE 'waiting_on_items' END]
        WHEN l.own_state <> 'available' THEN ARRAY[l.own_state]
        WHEN l.job_state IS NULL OR l.job_state IN ('completed', 'discarded', 'cancelled') THEN ARRAY['bookkeeping_fault']
        ELSE ARRAY[CASE WHEN l.held THEN 'held' END] || CASE
          WHEN l.job_state = 'executing' THEN ARRAY[CASE WHEN coalesce(
            (SELECT o.lost FROM lost o WHERE o.node = l.attempted_by[1] AND o.producer = l.attempted_by[2] LIMIT 1),
            NOT EXISTS (
              SELECT FROM public.oban_producers p
              WHERE p.uuid::text = l.attempted_by[2] AND p.updated_at > timezone('UTC', now()) - interval '60 seconds'
            )
          ) THEN 'orphaned_by_missing_executor' END]
          WHEN l.quarantined THEN ARRAY['quarantined']
          WHEN l.job_state = 'available' THEN ARRAY[
            CASE WHEN l.exhausted THEN 'attempts_exhausted' END, CASE WHEN l.unresolved THEN 'worker_not_importable' END, q.code
          ]
          WHEN l.job_state IN ('scheduled', 'retryable') THEN ARRAY[CASE WHEN l.unresolved THEN 'worker_not_importable' END]
            || CASE WHEN l.scheduled_at <= timezone('UTC', now()) THEN ARRAY[t.place, t.time] ELSE ARRAY[t.time, t.place] END
          WHEN NOT l.held THEN ARRAY[l.job_state]
        END
      END
      || CASE WHEN l.stopping THEN 'cancel_requested' END
      || CASE WHEN l.expired THEN 'workflow_expired' WHEN l.cancelling THEN 'cancel_requested' END
      || CASE WHEN l.locked THEN 'locked' END, NULL) AS codes
    FROM leaves l
    LEFT JOIN queues q ON q.queue = l.queue AND l.job_state IN ('available', 'scheduled', 'retryable')
    CROSS JOIN LATERAL (SELECT
      CASE WHEN q.code <> 'queue_saturated' THEN q.code END AS place,
      CASE l.job_state WHEN 'retryable' THEN 'retry_backoff' ELSE 'scheduled' END AS time
    ) AS t
  )
  SELECT c.workflow_id, c.position, c.name, powertools.word_of(c.codes, c.executing), c.codes[1]
  FROM coded c;
END $$;


--
-- Name: leaves_of(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.leaves_of(ids bigint[]) RETURNS TABLE(of_workflow bigint, via integer, workflow_id bigint, "position" integer)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE reached (of_workflow, via, workflow_id, position, pending, leaf, child_id) AS (
    SELECT u.id, s.position, s.workflow_id, s.position, s.state = 'pending' AND s.pending > 0, s.state <> 'pending' OR s.held_until IS NOT NULL,
      CASE WHEN s.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = s.child_id AND n.open > 0) END
    FROM unnest(ids) AS u (id)
    JOIN powertools.workflows w ON w.id = u.id
    LEFT JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    JOIN powertools.steps s ON s.workflow_id = w.id AND s.finished_at IS NULL AND p.state IS DISTINCT FROM 'pending'
      AND (s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL)
    UNION
    SELECT u.id, NULL, p.workflow_id, p.position, p.pending > 0, p.held_until IS NOT NULL, NULL
    FROM unnest(ids) AS u (id)
    JOIN powertools.workflows w ON w.id = u.id
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position AND p.state = 'pending'
    UNION
    SELECT r.of_workflow, r.via, n.workflow_id, n.position, n.pending, n.leaf, n.child_id
    FROM reached r
    CROSS JOIN LATERAL (
      -- what is inside
      SELECT k.workflow_id, k.position, false AS pending, true AS leaf,
        CASE WHEN k.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = k.child_id AND n.open > 0) END AS child_id
      FROM powertools.steps k
      WHERE k.workflow_id = r.child_id AND k.finished_at IS NULL AND (k.state <> 'pending' OR k.pending = 0 AND k.held_until IS NOT NULL)
      UNION ALL
      -- what a pending step waits for
      SELECT p.workflow_id, p.position, p.state = 'pending' AND p.pending > 0, p.state <> 'pending' OR p.held_until IS NOT NULL,
        CASE WHEN p.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = p.child_id AND n.open > 0) END
      FROM (
        SELECT s.parents || s.continue_parents AS parents FROM powertools.steps s
        WHERE r.pending AND s.workflow_id = r.workflow_id AND s.position = r.position LIMIT 1
      ) AS s
      CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
      JOIN powertools.steps p ON p.workflow_id = r.workflow_id AND p.position = e.parent AND p.finished_at IS NULL
      UNION ALL
      -- and in a workflow that has not started either, what the step that runs that waits for
      SELECT p.workflow_id, p.position, p.pending > 0, p.held_until IS NOT NULL, NULL
      FROM powertools.workflows w
      JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position AND p.state = 'pending'
      WHERE r.pending AND w.id = r.workflow_id
    ) AS n
  )
  SELECT r.of_workflow, r.via, r.workflow_id, r.position
  FROM reached r
  WHERE r.leaf AND NOT r.pending AND r.child_id IS NULL;
END $$;


--
-- Name: link_audit_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.link_audit_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  INSERT INTO powertools.audit_links (audit_id, row_hash)
  SELECT a.id, powertools.audit_hash_v1(a) FROM powertools.audit a JOIN added USING (id);
  RETURN NULL;
END $$;


--
-- Name: lock_families_v1(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.lock_families_v1(workflow_ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  stopping bigint[];
BEGIN
  SELECT array_agg(locked.id) FILTER (WHERE locked.cancel_requested_at IS NOT NULL OR locked.expired_at IS NOT NULL)
  INTO stopping
  FROM (
    SELECT w.id, w.cancel_requested_at, w.expired_at
    FROM (
      SELECT DISTINCT unnest(ARRAY[f.id, f.root_id]) AS id
      FROM (SELECT DISTINCT unnest(workflow_ids) AS id) AS given
      CROSS JOIN LATERAL (SELECT w.id, w.root_id FROM powertools.workflows w WHERE w.id = given.id OFFSET 0) AS f
      ORDER BY id LIMIT 2 * cardinality(workflow_ids)
    ) AS family
    CROSS JOIN LATERAL (
      SELECT w.id, w.cancel_requested_at, w.expired_at
      FROM powertools.workflows w WHERE w.id = family.id OFFSET 0 FOR NO KEY UPDATE
    ) AS w
  ) AS locked;
  RETURN stopping;
END $$;


--
-- Name: map_refusal(powertools.steps, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.map_refusal(s powertools.steps, list jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
  most CONSTANT int := 100000;
  limit_each CONSTANT bigint := powertools.gathered_limit();
  size CONSTANT bigint := CASE jsonb_typeof(list) WHEN 'array' THEN jsonb_array_length(list) END;
  shared bigint;
  items bigint;
BEGIN
  IF list IS NULL THEN
    RETURN format('the list to map comes to more than %s bytes', limit_each);
  ELSIF size IS NULL THEN
    RETURN format('the value to map is %s, expected a list', jsonb_typeof(list));
  ELSIF size > most THEN
    RETURN format('the list to map has %s items, at most %s are allowed', size, most);
  END IF;
  shared := octet_length(powertools.resolve_args(s.workflow_id, s.item_template, NULL)::text);
  items := octet_length(list::text)
    * (SELECT count(*) FROM jsonb_array_elements(s.item_template) AS part WHERE part ->> 1 = 'item');
  IF shared IS NULL OR shared + items > limit_each AND EXISTS (
    SELECT FROM jsonb_array_elements(list) AS item
    WHERE powertools.resolve_args(s.workflow_id, s.item_template, item) IS NULL
  ) THEN
    RETURN format('the args of an item come to more than %s bytes: pass where it is instead', limit_each);
  ELSIF size * shared + items > 16 * limit_each THEN
    RETURN format('the args of the %s items come to more than %s bytes together: pass where it is instead', size, 16 * limit_each);
  END IF;
  RETURN NULL;
END $$;


--
-- Name: match_missed(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.match_missed(batch integer, OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
DECLARE
  put_by int;
BEGIN
  SELECT m.done, m.failed INTO done, failed
  FROM powertools.sweep_by_halves('match_signals', powertools.waits_to_match(batch)) AS m;
  done := done + powertools.close_signals(batch);
  put_by := powertools.put_by(batch);
  more := done > failed OR put_by = batch;
END $$;


--
-- Name: match_signals(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.match_signals(wait_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY(SELECT w.workflow_id FROM powertools.waits w WHERE w.id = ANY (wait_ids)));
  outcomes := powertools.consume_signals(wait_ids);
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle(outcomes);
  END IF;
END $$;


--
-- Name: matching_workflows(jsonb, bigint[], bigint, bigint, integer, boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.matching_workflows(f jsonb, ids bigint[], above bigint, below bigint, most integer, ordered boolean) RETURNS SETOF bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  of_state CONSTANT text := f ->> 'state';
  of_name CONSTANT text := f ->> 'name';
  of_tag CONSTANT text[] := CASE WHEN f ? 'tag' THEN ARRAY[f ->> 'tag'] END;
  of_key CONSTANT text := f ->> 'idempotency_key';
  of_context CONSTANT jsonb := f -> 'context';
  of_worker CONSTANT text := f ->> 'worker';
  of_step CONSTANT text := f ->> 'step';
  live CONSTANT bool := f ? 'status' AND f ->> 'status' <> 'Finished';
  inserted_from CONSTANT timestamptz := f ->> 'inserted_from';
  inserted_to CONSTANT timestamptz := least((f ->> 'inserted_to')::timestamptz, (f ->> 'finished_to')::timestamptz);
  finished_from CONSTANT timestamptz := f ->> 'finished_from';
  finished_to CONSTANT timestamptz := f ->> 'finished_to';
BEGIN
  IF ordered THEN
    RETURN QUERY
    SELECT w.id FROM powertools.workflows w
    WHERE w.id > above AND w.id < below
      AND (of_state IS NULL OR w.state = of_state) AND (of_name IS NULL OR w.name = of_name)
      AND (NOT live OR w.state IN ('running', 'cancel_requested')) AND (NOT f ? 'status' OR live OR w.finished_at IS NOT NULL)
      AND (inserted_from IS NULL OR w.inserted_at >= inserted_from) AND (inserted_to IS NULL OR w.inserted_at < inserted_to)
      AND (of_worker IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.worker = of_worker))
      AND (of_step IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.name = of_step))
    ORDER BY w.id DESC LIMIT most;
    RETURN;
  END IF;
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT w.id FROM powertools.workflows w
    WHERE w.id > above AND w.id < below AND (ids IS NULL OR w.id = ANY (ids))
      AND (of_state IS NULL OR w.state = of_state) AND (of_name IS NULL OR w.name = of_name)
      AND (of_tag IS NULL OR w.tags @> of_tag AND w.tags <> '{}') AND (of_key IS NULL OR w.idempotency_key = of_key)
      AND (of_context IS NULL OR w.context @> of_context AND w.context <> '{}')
      AND (NOT live OR w.state IN ('running', 'cancel_requested')) AND (NOT f ? 'status' OR live OR w.finished_at IS NOT NULL)
      AND (inserted_from IS NULL OR w.inserted_at >= inserted_from) AND (inserted_to IS NULL OR w.inserted_at < inserted_to)
      AND (finished_from IS NULL OR w.finished_at >= finished_from) AND (finished_to IS NULL OR w.finished_at < finished_to)
      AND (of_worker IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.worker = of_worker))
      AND (of_step IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.name = of_step))
  )
  SELECT i.id FROM found i ORDER BY i.id DESC LIMIT most;
END $$;


--
-- Name: missed(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.missed(batch integer) RETURNS TABLE(wait_id bigint, workflow_id bigint)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN QUERY (
    SELECT w.id, w.workflow_id
    FROM powertools.waits w
    JOIN powertools.signals g ON g.signal = w.signal AND g.correlation_key = w.correlation_key AND g.status = 'stored'
    WHERE w.id = ANY (ARRAY(SELECT n.id FROM powertools.waits n WHERE n.state = 'waiting' AND NOT n.swept ORDER BY n.id LIMIT batch))
      AND w.state = 'waiting' AND powertools.is_for(g, w)
    LIMIT batch
  ) UNION (
    SELECT w.id, w.workflow_id
    FROM powertools.signals g
    JOIN powertools.waits w ON w.signal = g.signal AND w.correlation_key = g.correlation_key AND w.state = 'waiting'
    WHERE g.id = ANY (ARRAY(SELECT n.id FROM powertools.signals n WHERE n.status = 'stored' AND NOT n.swept ORDER BY n.id LIMIT batch))
      AND g.status = 'stored' AND powertools.is_for(g, w)
    LIMIT batch
  );
END $$;


--
-- Name: move_on_v1(powertools.ended[], bigint[], powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.move_on_v1(ended powertools.ended[], stopping bigint[], changes powertools.change[] DEFAULT NULL::powertools.change[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  edge_in bigint[];
  edge_to int[];
  failed bool;
  waited bigint[];
  outcomes powertools.outcome[];
  finished bigint[];
  finished_failed bigint[];
  called_back bigint[];
  nested bigint[];
BEGIN
  WHILE ended IS NOT NULL LOOP
    SELECT bool_or(e.state <> 'completed'), array_agg(e.wait_id) FILTER (WHERE e.wait_id IS NOT NULL)
    INTO failed, waited FROM unnest(ended) AS e;
    IF failed THEN
      ended := ended || powertools.cascade(ended);
    END IF;
    changes := changes || ARRAY(
      SELECT ROW (e.workflow_id, e.position, e.state, e.state, NULL, NULL, NULL, NULL)::powertools.change FROM unnest(ended) AS e
    );
    IF waited IS NOT NULL THEN
      PERFORM powertools.close_waits(waited, ended);
    END IF;

    SELECT array_agg(e.workflow_id), array_agg(c.child) INTO edge_in, edge_to
    FROM unnest(ended) AS e CROSS JOIN LATERAL unnest(e.children || e.continue_children) AS c (child);
    IF edge_in IS NOT NULL THEN
      outcomes := powertools.release_v1(edge_in, edge_to, 1, changes);
    ELSE
      outcomes := NULL;
      PERFORM powertools.write_events_v1(changes);
    END IF;
    changes := NULL;

    WITH counted AS (
      UPDATE powertools.workflows w
      SET open = w.open - c.ended, failed = w.failed + c.failed, stopped = w.stopped + c.stopped,
          state = CASE
            WHEN w.open > c.ended THEN w.state
            WHEN w.stopped + c.stopped > 0 THEN CASE WHEN w.expired_at IS NULL THEN 'cancelled' ELSE 'expired' END
            WHEN w.failed + c.failed > 0 THEN 'failed'
            ELSE 'completed'
          END,
          finished_at = CASE WHEN w.open = c.ended THEN clock_timestamp() END
      FROM (
        SELECT e.workflow_id, count(*)::int AS ended,
          count(*) FILTER (WHERE powertools.is_failure(e.state, e.cause))::int AS failed,
          count(*) FILTER (WHERE e.cause IN ('cancel_requested', 'workflow_expired'))::int AS stopped
        FROM unnest(ended) AS e
        GROUP BY e.workflow_id
        LIMIT cardinality(ended)
      ) AS c
      WHERE w.id = c.workflow_id
      RETURNING w.id, w.open, w.failed, w.on_finished, w.parent_id
    )
    SELECT array_agg(id), array_agg(id) FILTER (WHERE counted.failed > 0),
      array_agg(id) FILTER (WHERE on_finished IS NOT NULL), array_agg(id) FILTER (WHERE parent_id IS NOT NULL)
    INTO finished, finished_failed, called_back, nested
    FROM counted WHERE open = 0;

    IF finished_failed IS NOT NULL THEN
      PERFORM powertools.judge_failures(finished_failed);
    END IF;
    IF finished IS NOT NULL THEN
      PERFORM powertools.write_ends(finished);
      PERFORM powertools.close_signals_of(finished);
    END IF;
    IF called_back IS NOT NULL THEN
      PERFORM powertools.insert_on_finished(called_back);
    END IF;
    IF nested IS NOT NULL THEN
      outcomes := outcomes || powertools.nested_outcomes(nested);
    END IF;
    ended := CASE WHEN outcomes IS NOT NULL THEN powertools.apply_outcomes_v1(outcomes, stopping) END;
  END LOOP;
  PERFORM powertools.write_events_v1(changes);
END $$;


--
-- Name: needed_workflows(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.needed_workflows() RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  RETURN ARRAY(
    SELECT w.root_id
    FROM (
      SELECT f.workflow_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
      UNION
      SELECT l.workflow_id FROM powertools.late_results l WHERE l.adopted_at IS NULL AND l.dismissed_at IS NULL
      UNION
      SELECT CASE WHEN split_part(i.subject_id, '/', 1) ~ '^[0-9]{1,18}$' THEN split_part(i.subject_id, '/', 1)::bigint END
      FROM powertools.incidents i
      WHERE i.state <> 'resolved' AND i.subject_type IN ('workflow', 'step', 'wait', 'callback')
      UNION
      SELECT CASE WHEN j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' THEN (j.meta ->> 'workflow_id')::bigint END
      FROM powertools.incidents i
      CROSS JOIN LATERAL jsonb_array_elements_text(i.evidence -> 'ids') AS e (id)
      JOIN public.oban_jobs j ON j.id = e.id::bigint
      WHERE i.state <> 'resolved' AND i.evidence ->> 'id_type' = 'job'
    ) AS n
    JOIN powertools.workflows w ON w.id = n.workflow_id
  );
END $_$;


--
-- Name: nested_outcomes(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.nested_outcomes(workflow_ids bigint[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  SELECT array_agg(ROW (
    w.parent_id, w.parent_position, NULL, NULL, w.id,
    CASE
      WHEN n.completed THEN 'completed'
      WHEN w.state IN ('cancelled', 'expired') THEN w.state
      ELSE 'discarded'
    END,
    CASE
      WHEN n.completed AND (p.expired_at IS NOT NULL OR p.cancel_requested_at IS NOT NULL) THEN 'completed_after_cancel_request'
      WHEN n.completed THEN NULL
      WHEN p.expired_at IS NOT NULL THEN 'workflow_expired'
      WHEN p.cancel_requested_at IS NOT NULL THEN 'cancel_requested'
    END,
    1,
    CASE WHEN n.completed THEN jsonb_build_object('json', (
      SELECT CASE
        WHEN w.max_failures IS NULL THEN coalesce(jsonb_object_agg(s.name, s.result) FILTER (WHERE s.state = 'completed'), '{}')
        -- a step that an item appended is not an item
        ELSE jsonb_agg(s.result ORDER BY s.position) FILTER (WHERE s.depth = 0)
      END
      FROM powertools.steps s WHERE s.workflow_id = w.id
    )) END,
    CASE WHEN NOT n.completed THEN jsonb_build_object('workflow_id', w.id, 'error', CASE
      WHEN g.size > powertools.gathered_limit() THEN format(
        'the results of workflow %s come to %s bytes, at most %s are allowed: return where they are instead',
        w.id, g.size, powertools.gathered_limit()
      )
      ELSE format('workflow %s %s, %s of %s steps failed', w.id, w.state, w.failed, w.total)
    END) END,
    w.inserted_at, w.inserted_at
  )::powertools.outcome)
  INTO outcomes
  FROM powertools.workflows w
  JOIN powertools.workflows p ON p.id = w.parent_id
  CROSS JOIN LATERAL (
    -- the size of an uncompressed value is known without reading it
    SELECT sum(CASE WHEN pg_column_compression(s.result) IS NULL THEN pg_column_size(s.result) ELSE pg_column_size(s.result || '{}') END) AS size
    FROM powertools.steps s
    WHERE s.workflow_id = w.id AND (w.state = 'completed' OR w.failed <= w.max_failures AND w.stopped = 0)
  ) AS g
  CROSS JOIN LATERAL (
    SELECT (w.state = 'completed' OR coalesce(w.failed <= w.max_failures, false) AND w.stopped = 0)
      AND coalesce(g.size, 0) <= powertools.gathered_limit() AS completed
  ) AS n
  WHERE w.id = ANY (workflow_ids);
  RETURN outcomes;
END $$;


--
-- Name: not_run(jsonb, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.not_run(meta jsonb, errors jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT meta ? 'not_run' AND powertools.error_class_v1(errors -> -1) = 'oban.worker.WorkerResolutionError'
$$;


--
-- Name: notify_queues(text[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.notify_queues(queues text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  fetching jsonb := nullif(current_setting('powertools.fetching', true), '')::jsonb;
BEGIN
  PERFORM powertools.notify_v1('public.oban_insert', json_build_object('queue', q.queue)::text)
  FROM (SELECT queue, count(*) AS jobs FROM unnest(queues) AS queue GROUP BY queue ORDER BY queue) AS q
  WHERE q.jobs > coalesce((fetching ->> q.queue)::int, 0);
END $$;


--
-- Name: notify_v1(text, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.notify_v1(channel text, payload text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF pg_notification_queue_usage() < 0.9 THEN
    PERFORM pg_notify(channel, payload);
  END IF;
END $$;


--
-- Name: number_starts(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.number_starts() RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  job_ids bigint[];
  workflow_ids bigint[];
  roots bigint[];
BEGIN
  SELECT array_agg(d.job_id), array_agg(d.workflow_id) INTO job_ids, workflow_ids
  FROM (SELECT d.job_id, d.workflow_id FROM powertools.deferred_starts d ORDER BY d.job_id, d.attempt LIMIT 10000) AS d;
  IF job_ids IS NULL THEN
    RETURN;
  END IF;
  roots := ARRAY(
    SELECT held.id
    FROM (
      SELECT DISTINCT w.root_id AS id
      FROM (SELECT DISTINCT d.id FROM unnest(workflow_ids) AS d (id) LIMIT cardinality(workflow_ids)) AS d
      CROSS JOIN LATERAL (SELECT w.root_id FROM powertools.workflows w WHERE w.id = d.id OFFSET 0) AS w
      ORDER BY id LIMIT cardinality(workflow_ids)
    ) AS root
    CROSS JOIN LATERAL (
      SELECT w.id FROM powertools.workflows w WHERE w.id = root.id OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED
    ) AS held
  );
  -- a start whose workflow is gone is taken too, and dropped
  PERFORM powertools.write_events_v1(powertools.take_starts_v1(ARRAY(
    SELECT d.job_id FROM unnest(job_ids, workflow_ids) AS d (job_id, workflow_id)
    LEFT JOIN LATERAL (SELECT w.root_id FROM powertools.workflows w WHERE w.id = d.workflow_id OFFSET 0) AS w ON true
    WHERE w.root_id = ANY (roots) OR w.root_id IS NULL
  )));
END $$;


--
-- Name: numbered(bigint, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.numbered(number bigint, sentence text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT regexp_replace(sentence, E'\\{([^|{}]*)\\|([^|{}]*)\\}', CASE number WHEN 1 THEN E'\\1' ELSE E'\\2' END, 'g') $$;


--
-- Name: oldest_unfinished(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.oldest_unfinished() RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
BEGIN
  RETURN coalesce(
    (SELECT w.id FROM powertools.workflows w WHERE w.state IN ('running', 'cancel_requested') ORDER BY w.id LIMIT 1),
    9223372036854775807
  );
END $$;


--
-- Name: settle_faults; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.settle_faults (
    job_id bigint NOT NULL,
    workflow_id bigint NOT NULL,
    "position" integer NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    result jsonb,
    error jsonb,
    released_at timestamp with time zone,
    started_at timestamp with time zone,
    cause text,
    sqlstate text NOT NULL,
    message text NOT NULL,
    faults integer DEFAULT 1 NOT NULL,
    first_fault_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_fault_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    repaired_at timestamp with time zone
);


--
-- Name: open_settle_faults(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.open_settle_faults() RETURNS SETOF powertools.settle_faults
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.settle_faults WHERE repaired_at IS NULL
$$;


--
-- Name: operator_error(integer, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.operator_error(attempt integer, message text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  SELECT jsonb_build_object(
    'attempt', attempt, 'at', to_char(timezone('UTC', clock_timestamp()), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), 'error', message
  )
$$;


--
-- Name: orphaned_jobs_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.orphaned_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT format('orphaned_jobs:%s:%s', coalesce(j.attempted_by[1], '?'), coalesce(j.attempted_by[2], '?'))
  WHERE j.state = 'executing'
$$;


--
-- Name: orphaned_jobs_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.orphaned_jobs_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'executing'
      AND NOT EXISTS (
        SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
      )
      AND NOT EXISTS (
        SELECT FROM public.oban_producers p
        WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', i.last_detected_at)
      )
  )
$$;


--
-- Name: outgrown_tables(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.outgrown_tables() RETURNS SETOF regclass
    LANGUAGE sql STABLE
    AS $$
  SELECT t.name
  FROM unnest(ARRAY[
    'powertools.workflows', 'powertools.steps', 'powertools.events', 'powertools.event_batches', 'powertools.waits',
    'powertools.notices'
  ]::regclass[]) AS t (name)
  JOIN pg_class c ON c.oid = t.name
  WHERE pg_stat_get_live_tuples(t.name) > 4 * greatest(c.reltuples, 250)
    OR pg_stat_get_live_tuples(t.name) = 0 AND c.relpages > 0
      AND pg_relation_size(t.name) > 4 * greatest(c.relpages, 10) * current_setting('block_size')::bigint
$$;


--
-- Name: outside_edit_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.outside_edit_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT format('outside_edit:%s:%s', e.edit, coalesce(j.worker, s.worker))
  FROM (VALUES
    (s.cause = 'job_deleted', 'job_deleted'),
    (s.finished_at < j.attempted_at AT TIME ZONE 'UTC', 'job_retried'),
    (j.state = 'suspended' AND s.held_until IS NULL, 'job_suspended'),
    (j.meta ? 'displaced', 'meta_changed'),
    (
      j.state = 'cancelled' AND EXISTS (
        SELECT FROM powertools.audit a
        WHERE a.target_type = 'job' AND a.target_id = j.id::text AND a.action = 'job_cancel' AND a.actor_type = 'system'
      ), 'job_restarted'
    )
  ) AS e (holds, edit)
  WHERE e.holds
$$;


--
-- Name: overdue_holds(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.overdue_holds() RETURNS SETOF powertools.steps
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.steps WHERE held_until <= clock_timestamp()
$$;


--
-- Name: overdue_waits(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.overdue_waits() RETURNS SETOF powertools.waits
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.waits WHERE state = 'waiting' AND deadline_at <= clock_timestamp()
$$;


--
-- Name: overdue_workflows(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.overdue_workflows() RETURNS SETOF powertools.workflows
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.workflows WHERE state = 'running' AND expires_at <= clock_timestamp()
$$;


--
-- Name: own_changes(powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.own_changes(changes powertools.change[]) RETURNS powertools.change[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW (c.workflow_id, c.position, c.change, c.state, c.job_id, c.attempt, c.error, c.at)::powertools.change
    FROM unnest(changes) WITH ORDINALITY AS c
    CROSS JOIN LATERAL (
      SELECT s.job_id FROM powertools.steps s
      WHERE s.workflow_id = c.workflow_id AND s.position = c.position AND s.state = 'available' OFFSET 0
    ) AS s
    WHERE s.job_id = c.job_id
    ORDER BY c.ordinality
  );
END $$;


--
-- Name: parts_succeeded_v1(text[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.parts_succeeded_v1(parts text[]) RETURNS void
    LANGUAGE sql
    AS $$
  INSERT INTO powertools.sweep_parts (name)
  SELECT n.name FROM unnest(parts) AS n (name)
  WHERE NOT EXISTS (SELECT FROM powertools.sweep_parts p WHERE p.name = n.name)
  ON CONFLICT DO NOTHING;
  UPDATE powertools.sweep_parts p SET succeeded_at = clock_timestamp()
  WHERE p.name = ANY (ARRAY(
    SELECT d.name FROM powertools.sweep_parts d
    -- an instant in the future was written before the clock was set back
    WHERE d.name = ANY (parts) AND (d.succeeded_at BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp()) IS NOT TRUE
    ORDER BY d.name FOR NO KEY UPDATE SKIP LOCKED
  ));
$$;


--
-- Name: payload_hash_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.payload_hash_v1(payload jsonb) RETURNS text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'sha256:' || left(encode(sha256(convert_to(payload::text, 'UTF8')), 'hex'), 32)
$$;


--
-- Name: place_events_v1(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.place_events_v1(with_starts boolean, OUT head bigint, OUT pruned_to bigint) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  placed bigint;
BEGIN
  IF with_starts THEN
    PERFORM powertools.number_starts();
  END IF;
  IF EXISTS (SELECT FROM powertools.event_batches b WHERE b.last_cursor IS NULL) THEN
    SELECT l.head INTO head FROM powertools.event_log l FOR UPDATE;
    WITH placed AS (
      UPDATE powertools.event_batches b SET last_cursor = place_events_v1.head + u.upto
      FROM (
        SELECT n.id, sum(n.events) OVER (ORDER BY n.id) AS upto
        FROM (
          SELECT b.id, b.events FROM powertools.event_batches b WHERE b.last_cursor IS NULL ORDER BY b.id LIMIT 10000
        ) AS n
      ) AS u
      WHERE b.id = u.id
      RETURNING b.id, b.events, b.last_cursor, b.workflow_ids = '{}' AS has_notices
    ), noticed AS (
      UPDATE powertools.notices n SET cursor = p.last_cursor - p.events + n.place
      FROM placed p
      WHERE p.has_notices AND n.batch_id = p.id
    )
    SELECT max(p.last_cursor) INTO placed FROM placed p;
    UPDATE powertools.event_log l SET head = placed WHERE placed IS NOT NULL;
  END IF;
  SELECT l.head, l.pruned_to INTO head, pruned_to FROM powertools.event_log l;
END $$;


--
-- Name: plain_spelling(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.plain_spelling(said text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$ SELECT regexp_replace(lower(said), '[^[:alnum:]]', '', 'g') $$;


--
-- Name: poison_job_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.poison_job_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'suspended')
    AND NOT EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = ANY ((SELECT powertools.ids_of(i))::bigint[]))
$$;


--
-- Name: position_of_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.position_of_v1(meta jsonb) RETURNS integer
    LANGUAGE sql IMMUTABLE
    AS $_$
  SELECT CASE WHEN meta ->> 'position' ~ '^[0-9]{1,9}$' THEN (meta ->> 'position')::int END
$_$;


--
-- Name: project_incidents_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.project_incidents_v1(only_fingerprint text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  found powertools.detected[];
  crowded text[];
BEGIN
  IF NOT powertools.take_part_v2('project_incidents') THEN
    PERFORM FROM powertools.sweep_parts p WHERE p.name = 'project_incidents' FOR NO KEY UPDATE;
  END IF;
  PERFORM powertools.judge_executors();
  found := ARRAY(
    SELECT DISTINCT ON (d.fingerprint) ROW (d.*)::powertools.detected
    FROM (
      SELECT x.class, powertools.fingerprint_v1(x.fingerprint) AS fingerprint, x.subject_type, x.subject_id, x.title, x.count,
        x.evidence, x.workflow_ids, x.holds_until
      FROM powertools.detect_incidents(split_part(only_fingerprint, ':', 1)) AS x
    ) AS d
    WHERE only_fingerprint IS NULL OR d.fingerprint = only_fingerprint
    ORDER BY d.fingerprint
  );
  crowded := ARRAY(SELECT f.class FROM unnest(found) AS f GROUP BY 1 HAVING count(*) >= 1000);
  PERFORM powertools.keep_incidents(found);
  WITH over AS (
    UPDATE powertools.incidents i
    SET state = 'resolved', resolved_at = clock_timestamp(), muted_until = NULL, waiting_workflows = 0, waiting_steps = 0
    FROM powertools.incidents b
    WHERE b.id = i.id AND i.state <> 'resolved' AND (only_fingerprint IS NULL OR i.fingerprint = only_fingerprint)
      AND i.class <> ALL (crowded) AND NOT EXISTS (SELECT FROM unnest(found) AS f WHERE f.fingerprint = i.fingerprint)
      AND NOT powertools.still_holds(i)
    RETURNING i.id, i.class, i.count, i.subject_id, b.muted_until > clock_timestamp() AS muted
  )
  INSERT INTO powertools.incident_entries (incident_id, kind, detail)
  SELECT o.id, 'resolved', jsonb_build_object('count', o.count, 'because', CASE
    WHEN o.class = 'dead_executor' AND NOT EXISTS (SELECT FROM powertools.executors e WHERE e.executor_id = o.subject_id)
    THEN 'its row was removed: what it had in hand is orphaned' ELSE c.over_because
  END) || CASE WHEN o.muted THEN '{"muted": true}' ELSE '{}' END::jsonb
  FROM over o JOIN powertools.incident_classes c ON c.name = o.class;
  -- An incident whose cause holds for a while although nothing shows it any more: no workflow waits for it now.
  UPDATE powertools.incidents i SET count = 0, waiting_workflows = 0, waiting_steps = 0
  WHERE i.state <> 'resolved' AND (only_fingerprint IS NULL OR i.fingerprint = only_fingerprint)
    AND i.holds_until > clock_timestamp() AND (i.count, i.waiting_workflows, i.waiting_steps) <> (0, 0, 0)
    AND i.class <> ALL (crowded) AND NOT EXISTS (SELECT FROM unnest(found) AS f WHERE f.fingerprint = i.fingerprint);
END $$;


--
-- Name: project_incidents_v1(jsonb, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.project_incidents_v1(thresholds jsonb, only_fingerprint text DEFAULT NULL::text) RETURNS void
    LANGUAGE sql
    AS $$
  SELECT powertools.project_incidents_v1(only_fingerprint)
$$;


--
-- Name: projection_aged(interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.projection_aged(incidents_every interval) RETURNS SETOF boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT true
  WHERE NOT EXISTS (
    SELECT FROM powertools.incident_projection
    WHERE projected_at BETWEEN clock_timestamp() - incidents_every AND clock_timestamp()
  )
$$;


--
-- Name: prunable_seal(interval, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prunable_seal(kept_for interval, seals integer) RETURNS bigint
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


--
-- Name: prune_audit_v1(interval, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_audit_v1(kept_for interval, seals integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: prune_batch_v1(text, interval, interval, bigint, integer, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_batch_v1(of_class text, kept_for interval, audit_kept_for interval, run bigint, batch integer, after bigint, OUT archived integer, OUT pruned integer, OUT last bigint, OUT more boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '1s'
    AS $$
DECLARE
  older_than CONSTANT timestamptz := clock_timestamp() - kept_for;
  family bigint[];
BEGIN
  IF NOT powertools.take_part_v2('retention') THEN
    RETURN;
  END IF;
  archived := 0;
  pruned := 0;
  IF kept_for IS NULL THEN
    more := false;
    RETURN;
  END IF;
  CASE
    WHEN of_class = 'workflows' THEN
      SELECT d.family, d.last INTO family, last FROM powertools.due_families(older_than, after, batch) AS d;
      IF family IS NOT NULL THEN
        SELECT p.archived, p.pruned INTO archived, pruned FROM powertools.prune_workflows(family, run) AS p;
      END IF;
      more := last IS NOT NULL;
    WHEN of_class = 'audit' THEN
      pruned := powertools.archive_audit(kept_for, run, greatest(batch / 1000, 1));
      archived := pruned;
      more := pruned > 0;
    WHEN of_class IN ('signals', 'rescues', 'late_results', 'incidents') THEN
      SELECT p.archived, p.pruned INTO archived, pruned
      FROM powertools.prune_rows(of_class, older_than, run, batch) AS p;
      more := pruned >= batch;
    ELSE
      pruned := powertools.drop_rows(of_class, older_than, clock_timestamp() - audit_kept_for, batch);
      more := pruned >= CASE of_class WHEN 'bulks' THEN 1 ELSE batch END;
  END CASE;
  UPDATE powertools.prune_runs r
  SET archived = CASE WHEN prune_batch_v1.archived = 0 THEN r.archived ELSE
        r.archived || jsonb_build_object(of_class, coalesce((r.archived ->> of_class)::bigint, 0) + prune_batch_v1.archived)
      END,
      pruned = r.pruned || jsonb_build_object(of_class, coalesce((r.pruned ->> of_class)::bigint, 0) + prune_batch_v1.pruned)
  WHERE r.id = run AND prune_batch_v1.pruned > 0;
END $$;


--
-- Name: prune_events_v1(interval, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_events_v1(kept_for interval, batch integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  removed bigint[];
  upto bigint;
  pruned int;
BEGIN
  PERFORM l.head FROM powertools.event_log l FOR UPDATE;
  -- up to the first batch that is too young: a batch that committed late counts as old as those placed with it
  SELECT array_agg(o.id), max(o.last_cursor) INTO removed, upto
  FROM (
    SELECT b.id, b.last_cursor,
      bool_and(b.inserted_at < clock_timestamp() - kept_for) OVER (ORDER BY b.last_cursor) AS old_so_far
    FROM (
      SELECT b.* FROM powertools.event_batches b WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT batch
    ) AS b
  ) AS o
  WHERE o.old_so_far;
  IF removed IS NULL THEN
    RETURN 0;
  END IF;
  WITH batches AS (
    DELETE FROM powertools.event_batches b WHERE b.id = ANY (removed) RETURNING b.*
  ), old AS (
    SELECT n.workflow_id, max(n.last) AS last
    FROM batches b CROSS JOIN LATERAL unnest(b.workflow_ids, b.last_numbers) AS n (workflow_id, last)
    GROUP BY n.workflow_id
    LIMIT batch * 100000::bigint
  )
  DELETE FROM powertools.events e USING old o
  WHERE e.workflow_id = o.workflow_id AND e.number <= o.last
    AND EXISTS (SELECT FROM powertools.events n WHERE n.workflow_id = e.workflow_id AND n.number > e.number);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  DELETE FROM powertools.notices n WHERE n.batch_id = ANY (removed);
  UPDATE powertools.event_log l SET pruned_to = upto;
  RETURN pruned;
END $$;


--
-- Name: prune_rows(text, timestamp with time zone, bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_rows(of_class text, older_than timestamp with time zone, run bigint, batch integer, OUT archived integer, OUT pruned integer) RETURNS record
    LANGUAGE plpgsql
    AS $$
BEGIN
  archived := 0;
  pruned := 0;
  CASE of_class
    WHEN 'signals' THEN
      WITH gone AS (
        DELETE FROM powertools.signals g WHERE g.id = ANY (ARRAY(
          SELECT x.id FROM powertools.signals x
          WHERE x.inserted_at < older_than AND x.status <> 'stored'
            AND NOT EXISTS (SELECT FROM powertools.waits n WHERE n.id = x.wait_id)
          ORDER BY x.inserted_at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING g.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, g.id, run, to_jsonb(g) - 'payload' FROM gone g;
    WHEN 'rescues' THEN
      WITH gone AS (
        DELETE FROM powertools.rescues r WHERE r.id = ANY (ARRAY(
          SELECT x.id FROM powertools.rescues x
          WHERE x.at < older_than AND NOT EXISTS (  -- how often its executors died is counted while the job may run
            SELECT FROM public.oban_jobs j WHERE j.id = x.job_id AND j.state NOT IN ('completed', 'discarded', 'cancelled')
          ) AND NOT EXISTS (  -- its timeline tells of them
            SELECT FROM powertools.incidents i
            WHERE i.state <> 'resolved' AND i.evidence ->> 'id_type' = 'job' AND i.evidence -> 'ids' @> to_jsonb(x.job_id)
          ) ORDER BY x.at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING r.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, r.id, run, to_jsonb(r) FROM gone r;
    WHEN 'late_results' THEN
      WITH gone AS (
        DELETE FROM powertools.late_results l WHERE l.id = ANY (ARRAY(
          SELECT x.id FROM powertools.late_results x
          WHERE coalesce(x.adopted_at, x.dismissed_at) < older_than LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING l.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, l.id, run, to_jsonb(l) - '{result,error}'::text[] FROM gone l;
    WHEN 'incidents' THEN
      WITH gone AS (
        DELETE FROM powertools.incidents i WHERE i.id = ANY (ARRAY(
          SELECT x.id FROM powertools.incidents x
          WHERE x.state = 'resolved' AND x.resolved_at < older_than
            AND NOT EXISTS (SELECT FROM powertools.audit a WHERE a.incident_id = x.id)
          ORDER BY x.resolved_at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING i.*
      ), entries AS (
        DELETE FROM powertools.incident_entries e USING gone g WHERE e.incident_id = g.id RETURNING e.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, g.id, run, to_jsonb(g) || jsonb_build_object(
        'entries', (SELECT jsonb_agg(to_jsonb(e) - 'incident_id' ORDER BY e.id) FROM entries e WHERE e.incident_id = g.id)
      )
      FROM gone g;
  END CASE;
  GET DIAGNOSTICS archived = ROW_COUNT;
  pruned := archived;
END $$;


--
-- Name: prune_webhooks_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_webhooks_v1() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: prune_workflows(bigint[], bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.prune_workflows(family bigint[], run bigint, OUT archived integer, OUT pruned integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  gone int;
BEGIN
  INSERT INTO powertools.archive (class, original_id, run_id, record)
  SELECT 'workflows', w.id, run, to_jsonb(w) - '{context,on_finished}'::text[] || jsonb_build_object(
    'commands', (
      SELECT jsonb_agg(to_jsonb(c) - '{workflow_id,details}'::text[] ORDER BY c.id) FROM powertools.commands c WHERE c.workflow_id = w.id
    )
  )
  FROM unnest(family) AS f (id) JOIN powertools.workflows w ON w.id = f.id;
  GET DIAGNOSTICS archived = ROW_COUNT;
  WITH removed AS (
    DELETE FROM powertools.steps s USING unnest(family) AS f (id) WHERE s.workflow_id = f.id
    RETURNING s.workflow_id, s.position, s.name, s.state, s.cause, s.attempt, s.generation, s.worker, s.started_at, s.finished_at
  ), kept AS (
    INSERT INTO powertools.archive (class, original_id, part, run_id, record)
    SELECT 'workflows', r.workflow_id, 1 + r.position / 1000, run, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'position', r.position, 'name', r.name, 'state', r.state, 'cause', r.cause, 'attempt', r.attempt,
      'generation', r.generation, 'worker', r.worker, 'started_at', r.started_at, 'finished_at', r.finished_at
    )) ORDER BY r.position)
    FROM removed r GROUP BY r.workflow_id, 1 + r.position / 1000
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM removed), archived + (SELECT count(*) FROM kept) INTO pruned, archived;
  WITH waits AS (
    DELETE FROM powertools.waits n USING unnest(family) AS f (id) WHERE n.workflow_id = f.id RETURNING n.id
  ), signals AS (
    DELETE FROM powertools.signals g USING waits n WHERE g.wait_id = n.id RETURNING 1
  ), events AS (
    DELETE FROM powertools.events e USING unnest(family) AS f (id) WHERE e.workflow_id = f.id RETURNING 1
  ), callbacks AS (
    DELETE FROM powertools.callbacks c USING unnest(family) AS f (id) WHERE c.workflow_id = f.id RETURNING 1
  ), workflows AS (
    DELETE FROM powertools.workflows w USING unnest(family) AS f (id) WHERE w.id = f.id RETURNING 1
  )
  SELECT (SELECT count(*) FROM waits) + (SELECT count(*) FROM signals) + (SELECT count(*) FROM events)
    + (SELECT count(*) FROM callbacks) + (SELECT count(*) FROM workflows)
  INTO gone;
  pruned := pruned + gone;
END $$;


--
-- Name: put_by(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.put_by(batch integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  signals int;
  waits int;
BEGIN
  UPDATE powertools.signals g SET swept = true
  WHERE g.id = ANY (ARRAY(
    SELECT n.id FROM powertools.signals n
    WHERE n.status = 'stored' AND NOT n.swept AND NOT EXISTS (
      SELECT FROM powertools.waits w
      WHERE w.signal = n.signal AND w.correlation_key = n.correlation_key AND w.state = 'waiting' AND powertools.is_for(n, w)
    )
    ORDER BY n.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS signals = ROW_COUNT;
  UPDATE powertools.waits w SET swept = true
  WHERE w.id = ANY (ARRAY(
    SELECT n.id FROM powertools.waits n
    WHERE n.state = 'waiting' AND NOT n.swept AND NOT EXISTS (
      SELECT FROM powertools.signals g
      WHERE g.signal = n.signal AND g.correlation_key = n.correlation_key AND g.status = 'stored' AND powertools.is_for(g, n)
    )
    ORDER BY n.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS waits = ROW_COUNT;
  RETURN greatest(signals, waits);
END $$;


--
-- Name: queue_facts_v1(text[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.queue_facts_v1(queues text[]) RETURNS TABLE(queue text, executors bigint, paused bigint, places integer, running bigint)
    LANGUAGE sql STABLE
    AS $$
  SELECT
    q.queue,
    greatest(count(o.uuid), (
      SELECT count(*) FROM powertools.executors e
      WHERE e.producer_scope = q.queue AND e.stopped_at IS NULL AND e.beat_at > clock_timestamp() - e.gone_after
    )),
    count(o.uuid) FILTER (WHERE o.meta -> 'paused' = 'true'),
    CASE WHEN bool_and(jsonb_typeof(o.meta -> 'local_limit') = 'number')
      THEN least(sum(CASE WHEN o.meta -> 'paused' = 'true' THEN 0 ELSE (o.meta ->> 'local_limit')::numeric END), 1e9)::int
    END,
    (
      SELECT count(*)
      FROM public.oban_jobs j
      WHERE j.state = 'executing' AND j.queue = q.queue AND j.attempted_by[2] = ANY (array_agg(o.uuid::text))
    )
  FROM unnest(queues) AS q (queue)
  LEFT JOIN public.oban_producers o
    ON o.queue = q.queue AND o.updated_at > timezone('UTC', now()) - interval '60 seconds'
    AND NOT EXISTS (SELECT FROM powertools.gone_executors g WHERE g.node = o.node AND g.producer = o.uuid::text)
  GROUP BY q.queue
  ORDER BY q.queue
$$;


--
-- Name: queue_late_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.queue_late_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$ SELECT 'queue_late:' || j.queue WHERE j.state = 'available' $$;


--
-- Name: read_error(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.read_error(said text, OUT class text, OUT told text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
DECLARE
  frame CONSTANT text := E'\n  File "';
  group_head CONSTANT text := 'Exception Group Traceback (most recent call last):';
  named CONSTANT text := E'((?:[A-Za-z_<]\\w*>?\\.)*[A-Z]\\w*|(?:[A-Za-z_<]\\w*>?\\.)+\\w+)';
  last_frame int := strpos(reverse(said), reverse(frame));
  last_group int := strpos(reverse(said), reverse(group_head));
  leaves text[];
BEGIN
  told := btrim(said, E' \n');
  IF last_group > 0 AND (last_frame = 0 OR last_group < last_frame) THEN
    said := E'\n' || right(said, last_group + length(group_head) - 1);
    told := coalesce(substring(said FROM E'\n  \\| ([^\\s|+-][^\n]*)'), told);
    leaves := ARRAY(
      SELECT l[1] FROM regexp_matches(said, E'\n {4,}\\| (' || named || E'(?:: [^\n]*)?)(?=\n)', 'g') AS l
      WHERE l[1] !~ 'ExceptionGroup(:|$)'
    );
  ELSIF last_frame > 0 THEN
    told := coalesce(substring(right(said, last_frame + 7) FROM E'\n([^\n ].*)$'), told);
  ELSIF told LIKE 'Traceback%' THEN
    told := substring(told FROM E'[^\n]*$');
  ELSIF told LIKE '** (%' THEN
    class := substring(told FROM E'^\\*\\* \\(([\\w.]+)\\)');
    -- what follows are frames
    told := btrim(regexp_replace(substr(told, length(class) + 6), E'\n {4}\\S.*$', ''), E' \n');
    RETURN;
  END IF;
  class := substring(told FROM '^' || named || E'(?:[:(\n]|\\s*$)');
  IF class IS NOT NULL THEN
    told := regexp_replace(btrim(substr(told, length(class) + 1), E' \n'), E'^: *|^\\((.*)\\)$', E'\\1');
  END IF;
  IF leaves <> '{}' THEN
    told := told || ': ' || array_to_string(leaves[: 3], '; ');
    leaves := ARRAY(SELECT DISTINCT split_part(l, ':', 1) AS leaf FROM unnest(leaves) AS l ORDER BY leaf);
    class := format('%s(%s%s)', class, array_to_string(leaves[: 3], ', '), CASE WHEN cardinality(leaves) > 3 THEN ', ...' END);
  END IF;
END $_$;


--
-- Name: reconcile_v1(bigint, integer, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.reconcile_v1(INOUT after_workflow_id bigint, INOUT after_position integer, batch integer, OUT reconciled integer) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  since_workflow_id CONSTANT bigint := after_workflow_id;
  since_position CONSTANT int := after_position;
  outcomes powertools.outcome[];
  seen int;
BEGIN
  WITH chunk AS (
    SELECT s.workflow_id, s.position, s.job_id, s.state
    FROM powertools.workflows w
    JOIN powertools.steps s ON s.workflow_id = w.id
    WHERE w.state IN ('running', 'cancel_requested') AND w.id >= after_workflow_id
      AND (s.workflow_id > after_workflow_id OR s.position > after_position)
    ORDER BY w.id, s.position LIMIT batch
  ), lost AS (
    SELECT ROW (
      c.workflow_id, c.position, c.job_id, NULL, NULL,
      CASE WHEN j.state = 'completed' AND j.meta -> 'return' ? 'await' THEN 'awaiting_signal' ELSE coalesce(j.state::text, 'cancelled') END,
      CASE WHEN j.id IS NULL THEN 'job_deleted' END, coalesce(j.attempt, 0),
      CASE WHEN j.state = 'completed' THEN j.meta -> 'return' END,
      CASE WHEN j.state <> 'completed' THEN j.errors -> -1 END,
      j.inserted_at AT TIME ZONE 'UTC', j.attempted_at AT TIME ZONE 'UTC'
    )::powertools.outcome AS outcome
    FROM chunk c
    LEFT JOIN public.oban_jobs j ON j.id = c.job_id AND powertools.is_job_of_v1(j.meta, c.workflow_id, c.position)
    WHERE c.state = 'available' AND (j.id IS NULL OR j.state IN ('completed', 'discarded', 'cancelled'))
      AND NOT EXISTS (SELECT FROM powertools.settle_faults f WHERE f.job_id = c.job_id AND f.repaired_at IS NULL)
  )
  SELECT n.seen, n.workflow_id, n.position, l.outcomes
  INTO seen, after_workflow_id, after_position, outcomes
  FROM (
    SELECT count(*) AS seen, max(workflow_id) AS workflow_id,
      (array_agg(position ORDER BY workflow_id DESC, position DESC))[1] AS position
    FROM chunk
  ) AS n
  CROSS JOIN (SELECT array_agg(outcome) AS outcomes FROM lost) AS l;
  IF seen < batch THEN
    after_workflow_id := 0;
    after_position := -1;
  END IF;
  reconciled := coalesce(cardinality(outcomes), 0);
  -- Only now, because a row lock is a write, and a check that finds nothing writes nothing.
  IF outcomes IS NOT NULL THEN
    IF NOT powertools.take_part_v2('reconcile') THEN
      after_workflow_id := since_workflow_id;
      after_position := since_position;
      reconciled := NULL;
      RETURN;
    END IF;
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
END $$;


--
-- Name: record_callbacks(powertools.outcome[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.record_callbacks(outcomes powertools.outcome[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  UPDATE powertools.callbacks c
  SET state = o.state, attempt = o.attempt, attempted_at = o.started_at, error = powertools.told_error_v1(o.error),
      ended_at = CASE WHEN o.state IN ('completed', 'discarded', 'cancelled', 'job_deleted') THEN clock_timestamp() END
  FROM unnest(outcomes) AS o
  WHERE c.workflow_id = o.workflow_id AND c.generation = o.position AND c.job_id = o.job_id;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not write down what became of on_finished jobs: %', SQLERRM;
END $$;


--
-- Name: record_settle_fault(powertools.outcome, text, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.record_settle_fault(o powertools.outcome, code text, detail text) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO powertools.settle_faults AS f (
    job_id, workflow_id, position, state, attempt, result, error, released_at, started_at, cause, sqlstate, message
  )
  VALUES (
    o.job_id, o.workflow_id, o.position, o.state, o.attempt, o.result, powertools.told_error_v1(o.error), o.released_at, o.started_at,
    o.cause, code, detail
  )
  ON CONFLICT (job_id) DO UPDATE
  SET state = excluded.state, attempt = excluded.attempt, result = excluded.result, error = excluded.error,
      released_at = excluded.released_at, started_at = excluded.started_at, cause = excluded.cause,
      sqlstate = excluded.sqlstate, message = excluded.message,
      faults = f.faults + 1, last_fault_at = clock_timestamp(), repaired_at = NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not record the settle fault of job %: % (it was: %)', o.job_id, SQLERRM, detail;
  -- A bulk ack that sees its setting unused stores its results in the jobs, for the sweep.
  PERFORM set_config('powertools.results', '{}', true);
END $$;


--
-- Name: record_system_v1(text, text, text[], text, jsonb[], jsonb[], jsonb[], bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.record_system_v1(action text, target_type text, target_ids text[], reason text, befores jsonb[] DEFAULT NULL::jsonb[], afters jsonb[] DEFAULT NULL::jsonb[], details jsonb[] DEFAULT NULL::jsonb[], incident_id bigint DEFAULT NULL::bigint) RETURNS integer
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


--
-- Name: recount_pending(bigint, integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.recount_pending(of_workflow_id bigint, positions integer[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  WITH touched AS (
    SELECT of_workflow_id AS workflow_id, unnest(positions) AS position
    UNION
    SELECT s.workflow_id, c.child
    FROM unnest(array_fill(of_workflow_id, ARRAY[cardinality(positions)]), positions) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    CROSS JOIN LATERAL unnest(s.children || s.continue_children) AS c (child)
  ), counted AS (
    SELECT k.workflow_id, k.position, count(p.position) FILTER (WHERE p.finished_at IS NULL) AS open
    FROM touched t
    CROSS JOIN LATERAL (
      SELECT k.* FROM powertools.steps k WHERE k.workflow_id = t.workflow_id AND k.position = t.position OFFSET 0
    ) AS k
    LEFT JOIN LATERAL unnest(k.parents || k.continue_parents) AS e (parent) ON true
    LEFT JOIN powertools.steps p ON p.workflow_id = k.workflow_id AND p.position = e.parent
    WHERE k.state = 'pending'
    GROUP BY k.workflow_id, k.position
  )
  UPDATE powertools.steps s
  SET pending = c.open + (s.depth = 0 AND EXISTS (
    SELECT FROM powertools.workflows w
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    WHERE w.id = of_workflow_id AND p.state = 'pending'
  ))::int
  FROM counted c
  WHERE s.workflow_id = c.workflow_id AND s.position = c.position;
END $$;


--
-- Name: redacted(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.redacted(line text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    AS $_$
DECLARE
  said text COLLATE "C" := CASE WHEN length(line) > 1000 THEN regexp_replace(left(line, 1000), E'\\S*$', '…') ELSE line END;
  secret record;
BEGIN
  -- Most errors contain no secret, which one match shows.
  IF said !~* 'pass|pwd|secret|token|key|credential|authorization|cookie|://|bearer|basic|eyj|whsec_|[a-z0-9_-]{13}' THEN
    RETURN said;
  END IF;
  FOR secret IN SELECT * FROM powertools.secret_patterns() LOOP
    said := regexp_replace(said, secret.pattern, secret.put, secret.flags);
  END LOOP;
  RETURN said;
END $_$;


--
-- Name: register_waits(powertools.steps[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.register_waits(steps powertools.steps[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    AS $$
DECLARE
  registered bigint[];
  keyless powertools.outcome[];
BEGIN
  WITH given AS (
    SELECT s AS step, a.args ->> 'signal' AS signal, a.args ->> 'correlation_key' AS correlation_key
    FROM unnest(steps) AS s
    CROSS JOIN LATERAL (SELECT coalesce(s.args, powertools.resolve_args(s.workflow_id, s.template, NULL)) AS args) AS a
    WHERE s.kind = 'signal'
  ), waits AS (
    INSERT INTO powertools.waits (id, workflow_id, position, generation, signal, correlation_key, deadline_at)
    OVERRIDING SYSTEM VALUE
    SELECT (g.step).wait_id, (g.step).workflow_id, (g.step).position, (g.step).generation, g.signal,
      g.correlation_key, clock_timestamp() + (g.step).deadline
    FROM given g
    WHERE length(g.correlation_key) BETWEEN 1 AND 200
    RETURNING id
  )
  SELECT (SELECT array_agg(id) FROM waits), (
    SELECT array_agg(powertools.failed_outcome(g.step, CASE
      WHEN length(g.correlation_key) > 200
        THEN format('the correlation key has %s characters, at most 200 are allowed', length(g.correlation_key))
      ELSE 'the correlation key is empty: the reference resolved to nothing'
    END))
    FROM given g WHERE (length(g.correlation_key) BETWEEN 1 AND 200) IS NOT TRUE
  )
  INTO registered, keyless;
  IF registered IS NULL THEN
    RETURN keyless;
  END IF;
  RETURN keyless || powertools.consume_signals(registered);
END $$;


--
-- Name: release_v1(bigint[], integer[], integer, powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.release_v1(workflow_ids bigint[], positions integer[], ended integer, changes powertools.change[] DEFAULT NULL::powertools.change[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  job_ids regclass := pg_get_serial_sequence('public.oban_jobs', 'id');
  wait_ids regclass := pg_get_serial_sequence('powertools.waits', 'id');
  child_ids regclass := pg_get_serial_sequence('powertools.workflows', 'id');
  woken text[];
  jobless int;
  others powertools.steps[];
  released powertools.change[];
BEGIN
  WITH moved AS (
    UPDATE powertools.steps s
    SET pending = s.pending - c.ended,
        state = CASE
          WHEN s.pending > c.ended OR s.held_until > now() THEN 'pending'
          WHEN s.kind = 'job' THEN 'available'
          WHEN s.kind = 'signal' THEN 'awaiting_signal'
          ELSE 'executing'
        END,
        job_id = CASE WHEN s.kind <> 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.job_id ELSE nextval(job_ids) END,
        wait_id = CASE WHEN s.kind <> 'signal' OR s.pending > c.ended OR s.held_until > now() THEN s.wait_id ELSE nextval(wait_ids) END,
        child_id = CASE WHEN s.kind <> 'map' OR s.pending > c.ended OR s.held_until > now() THEN s.child_id ELSE nextval(child_ids) END,
        released_at = CASE WHEN s.kind = 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.released_at ELSE now() END
    FROM (
      SELECT e.workflow_id, e.position, count(*)::int * release_v1.ended AS ended
      FROM unnest(workflow_ids, positions) AS e (workflow_id, position)
      GROUP BY e.workflow_id, e.position
      ORDER BY e.workflow_id, e.position
      LIMIT cardinality(positions)
    ) AS c
    WHERE s.workflow_id = c.workflow_id AND s.position = c.position AND CASE s.state WHEN 'pending' THEN true END
    RETURNING s.*
  ), jobs AS (
    INSERT INTO public.oban_jobs (id, state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    OVERRIDING SYSTEM VALUE
    SELECT
      m.job_id,
      (CASE WHEN d.due_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      m.queue, m.worker, m.max_attempts, m.priority, a.args,
      coalesce(m.meta, '{}') || jsonb_build_object(
        'workflow_id', m.workflow_id, 'workflow_name', w.name, 'step', m.name, 'position', m.position, 'uid', w.uid
      )
      || CASE m.generation WHEN 1 THEN '{}' ELSE jsonb_build_object('generation', m.generation) END
      || CASE w.context WHEN '{}' THEN '{}' ELSE jsonb_build_object('context', w.context) END,
      coalesce(m.tags, '{}'),
      timezone('UTC', greatest(d.due_at, now()))
    FROM moved m
    CROSS JOIN LATERAL (SELECT f.* FROM powertools.workflows f WHERE f.id = m.workflow_id OFFSET 0) AS w
    CROSS JOIN LATERAL (SELECT greatest(m.scheduled_at, now() + m.delay) AS due_at) AS d
    CROSS JOIN LATERAL (
      SELECT coalesce(m.args, powertools.resolve_args(m.workflow_id, m.template, NULL)) AS args OFFSET 0
    ) AS a
    WHERE m.state = 'available' AND a.args IS NOT NULL
    RETURNING queue, state
  )
  SELECT
    (SELECT array_agg(queue) FROM jobs WHERE state = 'available'),
    (SELECT count(*) FROM moved m WHERE m.state = 'available') - (SELECT count(*) FROM jobs),
    (SELECT array_agg(m::powertools.steps) FROM moved m WHERE m.state IN ('awaiting_signal', 'executing')),
    (SELECT array_agg(ROW (
      m.workflow_id, m.position,
      CASE m.state WHEN 'available' THEN 'released' WHEN 'awaiting_signal' THEN 'awaiting' WHEN 'executing' THEN 'started' END,
      NULL, NULL, NULL, NULL, NULL
    )::powertools.change ORDER BY m.workflow_id, m.position) FROM moved m WHERE m.state <> 'pending')
  INTO woken, jobless, others, released;
  PERFORM powertools.write_events_v1(changes || released);
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  IF others IS NULL AND jobless = 0 THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN jobless > 0 THEN powertools.unresolved(workflow_ids, positions) END
    || powertools.register_waits(others)
    || powertools.start_nested(others)
    || powertools.expand_maps(others);
END $$;


--
-- Name: renew_nested(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.renew_nested(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  family bigint[] := powertools.family_of_v1(workflow_ids);
  one bigint;
BEGIN
  UPDATE powertools.steps s
  SET state = 'pending', generation = s.generation + 1, cause = NULL, result = NULL, error = NULL, finished_at = NULL,
      cancel_requested_at = NULL,
      pending = cardinality(s.parents) + coalesce(cardinality(s.continue_parents), 0) + (s.depth = 0)::int
  WHERE s.workflow_id = ANY (family);
  PERFORM powertools.write_events_v1(ARRAY(
    SELECT ROW (s.workflow_id, s.position, 'recovered', NULL, NULL, NULL, NULL, NULL)::powertools.change
    FROM powertools.steps s WHERE s.workflow_id = ANY (family) ORDER BY s.workflow_id, s.position
  ));
  FOREACH one IN ARRAY family LOOP
    PERFORM powertools.reopen(one);
  END LOOP;
  UPDATE powertools.workflows w SET expires_at = NULL WHERE w.id = ANY (family);
END $$;


--
-- Name: reopen(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.reopen(of_workflow_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE powertools.workflows w
  SET open = n.open, failed = n.failed, stopped = n.stopped, generation = w.generation + 1,
      state = 'running', finished_at = NULL, failures_handled = NULL, cancel_requested_at = NULL, expired_at = NULL,
      expires_at = clock_timestamp() + w.expires_in
  FROM (
    SELECT count(*) FILTER (WHERE s.finished_at IS NULL) AS open,
      count(*) FILTER (WHERE powertools.is_failure(s.state, s.cause)) AS failed,
      count(*) FILTER (WHERE s.cause IN ('cancel_requested', 'workflow_expired')) AS stopped
    FROM powertools.steps s WHERE s.workflow_id = of_workflow_id
  ) AS n
  WHERE w.id = of_workflow_id AND n.open > 0;
END $$;


--
-- Name: repair_after_v1(bigint[], bigint[], bigint[], bigint, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_after_v1(roots bigint[], job_ids bigint[], late_ids bigint[], marker bigint, last_job_id bigint) RETURNS TABLE(source text, id text, content json)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  family CONSTANT bigint[] := powertools.family_of_v1(roots);
BEGIN
  RETURN QUERY
  WITH steps AS MATERIALIZED (
    SELECT s.workflow_id, s.position, s.job_id, s.wait_id, s.xmin AS version,
      CASE WHEN powertools.is_since(s.xmin, marker) THEN powertools.repair_row(s) END AS content
    FROM powertools.steps s WHERE s.workflow_id = ANY (family)
  ), jobs AS (
    SELECT s.job_id FROM steps s WHERE s.job_id IS NOT NULL AND s.job_id <= repair_after_v1.last_job_id
    UNION
    SELECT unnest(repair_after_v1.job_ids)
    UNION
    SELECT j.id FROM public.oban_jobs j WHERE j.id > repair_after_v1.last_job_id
  ), waits AS MATERIALIZED (
    SELECT w.id, w.signal, w.correlation_key, w.xmin AS version, powertools.repair_row(w) AS content
    FROM (SELECT DISTINCT s.wait_id FROM steps s WHERE s.wait_id IS NOT NULL) AS s
    JOIN powertools.waits w ON w.id = s.wait_id
    WHERE powertools.is_since(w.xmin, marker)
  ), written AS MATERIALIZED (
    SELECT 'workflow' AS source, w.id::text AS id, w.xmin AS version, powertools.repair_row(w) AS content
    FROM powertools.workflows w WHERE w.id = ANY (family) AND powertools.is_since(w.xmin, marker)
    UNION ALL
    SELECT 'step', format('%s/%s', s.workflow_id, s.position), s.version, s.content FROM steps s WHERE s.content IS NOT NULL
    UNION ALL
    SELECT 'job', j.id::text, j.xmin, powertools.repair_row(j)
    FROM jobs k JOIN public.oban_jobs j ON j.id = k.job_id WHERE powertools.is_since(j.xmin, marker)
    UNION ALL
    SELECT 'wait', w.id::text, w.version, w.content FROM waits w
    UNION ALL
    SELECT 'signal', g.id::text, g.xmin, powertools.repair_row(g)
    FROM waits w
    JOIN powertools.signals g ON g.signal = w.signal AND g.correlation_key = w.correlation_key AND g.wait_id = w.id
    WHERE powertools.is_since(g.xmin, marker)
    UNION ALL
    SELECT 'late_result', l.id::text, l.xmin, powertools.repair_row(l)
    FROM powertools.late_results l WHERE l.id = ANY (late_ids) AND powertools.is_since(l.xmin, marker)
    UNION ALL
    SELECT 'settle_fault', f.job_id::text, f.xmin, powertools.repair_row(f)
    FROM jobs k JOIN powertools.settle_faults f ON f.job_id = k.job_id WHERE powertools.is_since(f.xmin, marker)
  ), versions AS MATERIALIZED (
    SELECT v.version::text, powertools.is_ours(v.version, marker) AS ours FROM (SELECT DISTINCT version FROM written) AS v
  )
  SELECT w.source, w.id, w.content
  FROM written w JOIN versions v ON v.version = w.version::text
  WHERE v.ours;
END $$;


--
-- Name: repair_before_v1(text[], text[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_before_v1(sources text[], ids text[]) RETURNS TABLE(source text, id text, content json)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT a.source, a.id, split_part(a.id, '/', 1)::bigint AS number, nullif(split_part(a.id, '/', 2), '')::int AS position
    FROM unnest(sources, ids) AS a (source, id)
  )
  SELECT a.source, a.id, powertools.repair_row(w)
  FROM asked a JOIN powertools.workflows w ON w.id = a.number WHERE a.source = 'workflow'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(s)
  FROM asked a JOIN powertools.steps s ON s.workflow_id = a.number AND s.position = a.position WHERE a.source = 'step'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(j)
  FROM asked a JOIN public.oban_jobs j ON j.id = a.number WHERE a.source = 'job'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(w)
  FROM asked a JOIN powertools.waits w ON w.id = a.number WHERE a.source = 'wait'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(g)
  FROM asked a JOIN powertools.signals g ON g.id = a.number WHERE a.source = 'signal'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(l)
  FROM asked a JOIN powertools.late_results l ON l.id = a.number WHERE a.source = 'late_result'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(f)
  FROM asked a JOIN powertools.settle_faults f ON f.job_id = a.number WHERE a.source = 'settle_fault';
END $$;


--
-- Name: repair_events_v1(bigint, bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_events_v1(marker bigint, last_batch_id bigint) RETURNS TABLE(change text, events bigint)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN QUERY
  SELECT e.change, count(*)
  FROM powertools.event_batches b
  CROSS JOIN LATERAL unnest(b.workflow_ids, b.first_numbers, b.last_numbers) AS n (workflow_id, first, last)
  JOIN powertools.events e ON e.workflow_id = n.workflow_id AND e.number BETWEEN n.first AND n.last
  WHERE b.id > repair_events_v1.last_batch_id AND powertools.is_since(b.xmin, marker) AND powertools.is_ours(b.xmin, marker)
  GROUP BY e.change ORDER BY e.change;
END $$;


--
-- Name: repair_faults(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_faults(batch integer, OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
DECLARE
  f powertools.settle_faults;
  code text;
  detail text;
  ended bool;
BEGIN
  done := 0;
  FOR f IN
    SELECT due.*
    FROM (
      SELECT * FROM powertools.settle_faults
      WHERE repaired_at IS NULL
        AND (
          last_fault_at + make_interval(secs => least(60, power(2, least(faults, 7)) - 2)) <= clock_timestamp()
          OR last_fault_at > clock_timestamp()  -- the clock was set back since
        )
      ORDER BY last_fault_at LIMIT batch
    ) AS due
    JOIN powertools.workflows w ON w.id = due.workflow_id
    ORDER BY w.root_id
  LOOP
    BEGIN
      PERFORM powertools.settle(ARRAY[ROW (
        f.workflow_id, f.position, f.job_id, NULL, NULL, f.state, f.cause, f.attempt, f.result, f.error, f.released_at, f.started_at
      )::powertools.outcome]);
      UPDATE powertools.settle_faults SET repaired_at = clock_timestamp() WHERE job_id = f.job_id;
      done := done + 1;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = MESSAGE_TEXT;
      ended := left(code, 2) IN ('22', '54') AND f.state IN ('completed', 'discarded', 'cancelled', 'awaiting_signal')
        AND powertools.settle_as_failed(f, detail);
      UPDATE powertools.settle_faults
      SET faults = faults + 1, last_fault_at = clock_timestamp(), sqlstate = code, message = detail,
          repaired_at = CASE WHEN ended THEN clock_timestamp() END
      WHERE job_id = f.job_id;
      done := done + ended::int;
    END;
  END LOOP;
  more := done > 0;
END $$;


--
-- Name: repair_mark_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_mark_v1(OUT marker bigint, OUT last_job_id bigint, OUT last_batch_id bigint) RETURNS record
    LANGUAGE sql
    AS $$
  SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('public.oban_jobs', 'id')::regclass), 0),
    coalesce(pg_sequence_last_value('powertools.event_batches_id_seq'::regclass), 0)
$$;


--
-- Name: repair_row(powertools.late_results); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(l powertools.late_results) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'state', l.state, 'job_id', l.job_id, 'attempt', l.attempt, 'adopted_at', l.adopted_at, 'dismissed_at', l.dismissed_at,
    'decided_by', l.decided_by
  )
$$;


--
-- Name: repair_row(powertools.settle_faults); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(f powertools.settle_faults) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'workflow_id', f.workflow_id, 'position', f.position, 'state', f.state, 'sqlstate', f.sqlstate, 'repaired_at', f.repaired_at
  )
$$;


--
-- Name: repair_row(powertools.signals); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(g powertools.signals) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'signal', g.signal, 'correlation_key', g.correlation_key, 'status', g.status, 'wait_id', g.wait_id, 'consumed_at', g.consumed_at
  )
$$;


--
-- Name: repair_row(powertools.steps); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(s powertools.steps) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'workflow_id', s.workflow_id, 'position', s.position, 'name', s.name, 'state', s.state, 'pending', s.pending,
    'generation', s.generation, 'job_id', s.job_id, 'wait_id', s.wait_id, 'child_id', s.child_id, 'attempt', s.attempt,
    'cause', s.cause, 'cancel_requested_at', s.cancel_requested_at, 'released_at', s.released_at,
    'started_at', s.started_at, 'finished_at', s.finished_at, 'held_until', s.held_until, 'hold_reason', s.hold_reason,
    'effects', s.effects, 'result', powertools.payload_hash_v1(s.result), 'error', powertools.payload_hash_v1(s.error - 'at')
  )
$$;


--
-- Name: repair_row(powertools.waits); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(w powertools.waits) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'workflow_id', w.workflow_id, 'position', w.position, 'generation', w.generation, 'state', w.state, 'signal', w.signal,
    'correlation_key', w.correlation_key, 'deadline_at', w.deadline_at, 'ended_at', w.ended_at
  )
$$;


--
-- Name: repair_row(powertools.workflows); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(w powertools.workflows) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'name', w.name, 'state', w.state, 'generation', w.generation, 'total', w.total, 'open', w.open, 'failed', w.failed,
    'stopped', w.stopped, 'failures_handled', w.failures_handled, 'finished_at', w.finished_at,
    'cancel_requested_at', w.cancel_requested_at, 'expired_at', w.expired_at, 'expires_at', w.expires_at,
    'parent_id', w.parent_id, 'parent_position', w.parent_position, 'semantics_version', w.semantics_version
  )
$$;


--
-- Name: repair_row(public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_row(j public.oban_jobs) RETURNS json
    LANGUAGE sql STABLE
    AS $$
  SELECT json_build_object(
    'state', j.state, 'queue', j.queue, 'worker', j.worker, 'attempt', j.attempt, 'max_attempts', j.max_attempts,
    'priority', j.priority, 'tags', j.tags, 'attempted_by', j.attempted_by, 'scheduled_at', j.scheduled_at,
    'attempted_at', j.attempted_at, 'completed_at', j.completed_at, 'discarded_at', j.discarded_at,
    'cancelled_at', j.cancelled_at, 'workflow_id', j.meta -> 'workflow_id', 'position', j.meta -> 'position',
    'args', powertools.payload_hash_v1(j.args), 'meta', powertools.payload_hash_v1(j.meta - '{workflow_id,uid}'::text[]),
    'errors', powertools.errors_hash(j.errors)
  )
$$;


--
-- Name: repair_secret_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.repair_secret_v1() RETURNS bytea
    LANGUAGE sql
    AS $$
  INSERT INTO powertools.repair_secret (secret)
  VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
  ON CONFLICT (only_one) DO UPDATE SET only_one = excluded.only_one
  RETURNING secret
$$;


--
-- Name: require_audit_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.require_audit_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: rescue_jobs_v1(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.rescue_jobs_v1(job_ids bigint[]) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  woken text[];
BEGIN
  WITH facts AS (
    SELECT j.id, j.attempt, j.queue, j.worker, j.attempted_by, e.executor_id, s.workflow_id, s.position,
      coalesce(j.attempted_at, j.inserted_at) AT TIME ZONE 'UTC' AS attempted_at,
      CASE WHEN e.executor_id IS NULL THEN 'unknown' WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END AS why
    FROM public.oban_jobs j
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE j.id = ANY (job_ids) AND j.state = 'executing'
  ), moved AS (
    UPDATE public.oban_jobs j
    SET state = 'available', max_attempts = greatest(j.max_attempts, j.attempt + 1),
        errors = j.errors || powertools.operator_error(j.attempt, 'Rescued by an operator: it runs again'),
        meta = j.meta || jsonb_build_object('rescued', powertools.count_of(j.meta -> 'rescued') + 1)
    FROM facts f WHERE j.id = f.id
    RETURNING j.queue
  ), written AS (
    INSERT INTO powertools.rescues (
      job_id, attempt, attempted_at, executor_id, attempted_by, why, action, crashes, queue, worker, workflow_id, position
    )
    SELECT f.id, f.attempt, f.attempted_at, f.executor_id, coalesce(f.attempted_by, '{}'), f.why, 'retried', 0, f.queue, f.worker,
      f.workflow_id, f.position
    FROM facts f ORDER BY f.id
  )
  SELECT array_agg(m.queue) INTO woken FROM moved m;
  PERFORM powertools.notify_queues(woken);
  RETURN cardinality(woken);
END $$;


--
-- Name: rescue_lost_v1(bigint[], timestamp without time zone[], jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.rescue_lost_v1(job_ids bigint[], attempted_ats timestamp without time zone[], modes jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN powertools.rescue_these(ARRAY(
    SELECT ROW (j.id, e.executor_id, 'lost')::powertools.orphan
    FROM public.oban_jobs j
    JOIN unnest(job_ids, attempted_ats) AS l (id, attempted_at) ON l.id = j.id AND l.attempted_at = j.attempted_at
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  ), modes);
END $$;


--
-- Name: rescue_these(powertools.orphan[], jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.rescue_these(orphans powertools.orphan[], modes jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  woken text[];
  quarantined bigint[];
  moved bigint[];
BEGIN
  WITH facts AS (
    SELECT j.id, j.attempt, j.max_attempts, j.queue, j.worker, j.attempted_by, o.executor_id, o.why, s.workflow_id, s.position,
      coalesce(j.attempted_at, j.inserted_at) AT TIME ZONE 'UTC' AS attempted_at,
      CASE
        WHEN coalesce(modes ->> j.queue, modes ->> '*') = 'operator' THEN 'ask'
        WHEN j.meta ->> 'rescue' IN ('ask', 'fail') THEN j.meta ->> 'rescue'
        WHEN s.effects = 'never' THEN 'ask'
        ELSE 'retry'
      END AS policy,
      CASE WHEN o.why IN ('gone', 'ended') OR o.why = 'stopped' AND n.ends >= 10 THEN n.ends ELSE 0 END AS crashes,
      -- one stop is normal, but so many are not: something in this job stops its executors, or kills them in another
      -- way
      CASE o.why WHEN 'stopped' THEN 10 ELSE 3 END AS patience
    FROM unnest(orphans) AS o
    JOIN public.oban_jobs j ON j.id = o.job_id
    LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
    CROSS JOIN LATERAL (
      SELECT count(DISTINCT r.executor_id) + 1 AS ends
      FROM powertools.rescues r
      WHERE r.job_id = j.id AND r.worker = j.worker AND r.executor_id <> o.executor_id
        AND CASE o.why WHEN 'stopped' THEN r.why = 'stopped' AND r.at > clock_timestamp() - interval '1 hour'
          ELSE r.why IN ('gone', 'ended') END
        AND r.id > coalesce((
          SELECT max(q.id) FROM powertools.rescues q WHERE q.job_id = j.id AND q.action = 'quarantined'
        ), 0)
    ) AS n
  ), suspects AS (
    SELECT f.*, f.crashes = max(f.crashes) OVER (PARTITION BY f.executor_id) AND f.crashes >= f.patience AS suspect,
      count(*) OVER same AS alike, row_number() OVER (PARTITION BY f.executor_id, f.crashes ORDER BY random()) - 1 AS turn
    FROM facts f
    WINDOW same AS (PARTITION BY f.executor_id, f.crashes)
  ), decided AS (
    SELECT s.*, CASE
        WHEN s.policy = 'ask' THEN 'left'
        WHEN s.policy = 'fail' OR s.attempt >= s.max_attempts AND s.why NOT IN ('ended', 'stopped') THEN 'discarded'
        WHEN s.suspect AND (s.alike = 1 OR s.crashes >= s.patience + 7) THEN 'quarantined'
        WHEN s.suspect THEN 'isolated'
        ELSE 'retried'
      END AS action
    FROM suspects s
  ), moved AS (
    UPDATE public.oban_jobs j
    SET state = (CASE d.action
          WHEN 'discarded' THEN 'discarded' WHEN 'isolated' THEN 'retryable'
          WHEN 'retried' THEN 'available' WHEN 'quarantined' THEN 'available'
        END)::public.oban_job_state,
        discarded_at = CASE d.action WHEN 'discarded' THEN timezone('UTC', clock_timestamp()) ELSE j.discarded_at END,
        max_attempts = CASE d.action WHEN 'discarded' THEN j.max_attempts ELSE greatest(j.max_attempts, j.attempt + 1) END,
        -- all turns together take five minutes at most
        scheduled_at = CASE d.action
          WHEN 'isolated' THEN timezone('UTC', clock_timestamp()) + d.turn * least(interval '15 s', interval '5 min' / d.alike)
          ELSE j.scheduled_at
        END,
        errors = j.errors || jsonb_build_object(
          'attempt', j.attempt, 'at', to_char(timezone('UTC', clock_timestamp()), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
          'error', format(
            'Rescued: %s; %s',
            CASE d.why
              WHEN 'gone' THEN format('the executor %s was gone while it ran', d.executor_id)
              WHEN 'ended' THEN format('the process of executor %s ended while it ran', d.executor_id)
              WHEN 'stopped' THEN format('the executor %s stopped before it had ended', d.executor_id)
              WHEN 'lost' THEN format('the executor %s does not run it', d.executor_id)
              ELSE format('nobody knows its executor %s', array_to_string(d.attempted_by, ' '))
            END,
            CASE d.action
              WHEN 'retried' THEN 'it runs again'
              WHEN 'isolated' THEN 'it runs again apart from others that were running whenever an executor died'
              WHEN 'quarantined' THEN format('it is quarantined, because %s executors %s while they ran it', d.crashes,
                CASE d.why WHEN 'stopped' THEN 'stopped within an hour' ELSE 'died' END)
              WHEN 'discarded' THEN CASE d.policy WHEN 'fail' THEN 'its worker asks to fail then' ELSE 'it has no attempt left' END
            END
          )
        ),
        -- as Oban's own rescue, which does not count what it discards
        meta = j.meta || CASE WHEN d.action = 'discarded' THEN '{}'
          ELSE jsonb_build_object('rescued', powertools.count_of(j.meta -> 'rescued') + 1)
        END || CASE d.action WHEN 'quarantined' THEN jsonb_build_object('quarantined', j.attempt) ELSE '{}' END
    FROM decided d
    WHERE j.id = d.id AND d.action <> 'left'
  ), written AS (
    INSERT INTO powertools.rescues (
      job_id, attempt, attempted_at, executor_id, attempted_by, why, action, crashes, queue, worker, workflow_id, position
    )
    SELECT d.id, d.attempt, d.attempted_at, d.executor_id, d.attempted_by, d.why, d.action, d.crashes, d.queue, d.worker,
      d.workflow_id, d.position
    FROM decided d
    ORDER BY d.id
    RETURNING id, job_id, queue, action
  )
  SELECT array_agg(w.queue) FILTER (WHERE w.action = 'retried'), array_agg(w.job_id) FILTER (WHERE w.action = 'quarantined'),
    array_agg(w.id) FILTER (WHERE w.action <> 'left')
  INTO woken, quarantined, moved
  FROM written w;
  IF quarantined IS NOT NULL THEN
    -- Through available, in one transaction, so that the event log has the end of the attempt.
    UPDATE public.oban_jobs j SET state = 'suspended' WHERE j.id = ANY (quarantined);
  END IF;
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  PERFORM powertools.record_system_v1(g.action, 'job', g.job_ids, g.reason, g.befores, g.afters, g.details)
  FROM (
    SELECT a.action, format('its executor: %s', r.why) AS reason, array_agg(r.job_id::text) AS job_ids,
      array_agg(jsonb_build_object('state', 'executing', 'attempt', r.attempt)) AS befores,
      array_agg(jsonb_build_object('state', j.state, 'attempt', j.attempt, 'max_attempts', j.max_attempts)) AS afters,
      array_agg(
        jsonb_build_object('rescue_id', r.id, 'executor_id', r.executor_id, 'crashes', r.crashes)
          || CASE WHEN e.died_at IS NULL THEN '{}' ELSE jsonb_build_object('process_ended_seen_by', e.died_seen_by) END
      ) AS details
    FROM powertools.rescues r
    JOIN public.oban_jobs j ON j.id = r.job_id
    LEFT JOIN powertools.executors e ON e.executor_id = r.executor_id
    CROSS JOIN LATERAL (
      SELECT CASE r.action
        WHEN 'discarded' THEN 'job_discard' WHEN 'quarantined' THEN 'job_quarantine'
        WHEN 'retried' THEN 'job_rescue' WHEN 'isolated' THEN 'job_rescue'
      END
    ) AS a (action)
    WHERE r.id = ANY (moved)
    GROUP BY a.action, r.why
  ) AS g;
  RETURN coalesce(cardinality(moved), 0);
END $$;


--
-- Name: rescue_v1(jsonb, integer, interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.rescue_v1(modes jsonb, batch integer, unknown_after interval) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  gone text[];
  orphans powertools.orphan[];
  unknown powertools.orphan[];
  -- whether an executor of ours has sent heartbeats for so long that a row still dated in the future has ended
  -- (executors/R6)
  watched bool;
BEGIN
  PERFORM powertools.undate_executors();
  gone := ARRAY(
    SELECT g.executor_id FROM powertools.gone_executors g WHERE g.relieved_at IS NULL OR unknown_after IS NOT NULL
  );
  IF gone = '{}' AND unknown_after IS NULL THEN
    RETURN 0;
  END IF;
  IF NOT powertools.take_part_v2('rescue') THEN
    RETURN NULL;
  END IF;
  orphans := ARRAY(
    SELECT ROW (j.id, e.executor_id, CASE WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END)::powertools.orphan
    FROM public.oban_jobs j
    JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND e.executor_id = ANY (gone) AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
  );
  watched := EXISTS (
    SELECT FROM powertools.executors w
    WHERE w.stopped_at IS NULL AND w.beat_at > clock_timestamp() - w.gone_after / 2
      AND w.beating_since < clock_timestamp() - greatest(unknown_after, '1 min')
  );
  IF unknown_after IS NOT NULL AND powertools.server_started_at() < clock_timestamp() - least(unknown_after, '1 min')
    AND (watched OR powertools.server_started_at() > '-infinity') THEN
    unknown := ARRAY(
      SELECT ROW (j.id, NULL, 'unknown')::powertools.orphan
      FROM public.oban_jobs j
      WHERE j.state = 'executing'
        AND (
          coalesce(j.attempted_at, j.inserted_at) < timezone('UTC', clock_timestamp()) - unknown_after
          OR watched AND coalesce(j.attempted_at, j.inserted_at) > timezone('UTC', clock_timestamp()) + interval '1 s'
        )
        AND NOT EXISTS (
          SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
        )
        AND NOT EXISTS (
          SELECT FROM public.oban_producers p
          WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
            AND NOT (watched AND p.updated_at > timezone('UTC', clock_timestamp()) + interval '1 s')
        )
        AND NOT EXISTS (
          SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
        )
      ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
    );
  END IF;
  UPDATE powertools.executors e SET relieved_at = clock_timestamp()
  WHERE e.executor_id = ANY (gone) AND e.relieved_at IS NULL AND NOT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.state = 'executing' AND j.attempted_by[1] = e.node AND j.attempted_by[2] = e.producer
      AND j.id NOT IN (SELECT o.job_id FROM unnest(orphans) AS o) AND NOT EXISTS (
        SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
      )
  );
  IF orphans || unknown = '{}' THEN
    RETURN 0;
  END IF;
  RETURN powertools.rescue_these(orphans || unknown, modes);
END $$;


--
-- Name: resolve_args(bigint, jsonb, jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.resolve_args(of_workflow_id bigint, template jsonb, item jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
  resolved CONSTANT text := (
  SELECT string_agg(
    CASE jsonb_typeof(part)
      WHEN 'string' THEN part #>> '{}'
      ELSE coalesce(CASE part ->> 1 WHEN 'item' THEN
        (item #> ARRAY(SELECT jsonb_array_elements_text(part -> 2)))::text
      ELSE (
        SELECT (
          CASE part ->> 1 WHEN 'result' THEN p.result ELSE p.error END
          #> ARRAY(SELECT jsonb_array_elements_text(part -> 2))
        )::text
        FROM powertools.steps p
        WHERE p.workflow_id = of_workflow_id AND p.position = (part ->> 0)::int
      ) END, 'null')
    END, '' ORDER BY place)
  FROM jsonb_array_elements(template) WITH ORDINALITY AS t (part, place)
  );
BEGIN
  RETURN CASE WHEN octet_length(resolved) <= powertools.gathered_limit() THEN resolved::jsonb END;
END $$;


--
-- Name: resume_parent(bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.resume_parent(of_workflow_id bigint, of_position integer) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  revived int[] := powertools.revived_with(of_workflow_id, ARRAY[of_position]);
  here bigint[] := array_fill(of_workflow_id, ARRAY[cardinality(revived)]);
  unstarted bigint[];
  parent record;
BEGIN
  unstarted := ARRAY(
    SELECT s.child_id
    FROM unnest(here, revived) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.kind = 'workflow' AND s.position <> of_position
  );
  UPDATE powertools.steps s
  SET state = CASE WHEN s.position = of_position THEN 'executing' ELSE 'pending' END,
      generation = s.generation + 1, pending = 0, job_id = NULL, wait_id = NULL, attempt = 0, cause = NULL, result = NULL,
      error = NULL, finished_at = NULL, cancel_requested_at = NULL
  FROM unnest(here, revived) AS r (workflow_id, position)
  WHERE s.workflow_id = r.workflow_id AND s.position = r.position;
  PERFORM powertools.write_recovered(of_workflow_id, revived);
  IF unstarted <> '{}' THEN
    PERFORM powertools.renew_nested(unstarted);
  END IF;
  PERFORM powertools.recount_pending(of_workflow_id, revived);
  PERFORM powertools.reopen(of_workflow_id);
  SELECT p.workflow_id, p.position, p.finished_at IS NOT NULL AS ended INTO parent
  FROM powertools.workflows w
  JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
  WHERE w.id = of_workflow_id;
  IF parent.ended THEN
    PERFORM powertools.resume_parent(parent.workflow_id, parent.position);
  END IF;
END $$;


--
-- Name: retry_job_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.retry_job_v1(of_job_id bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  woken text;
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'available', max_attempts = greatest(j.max_attempts, j.attempt + 1), scheduled_at = timezone('UTC', now()),
      completed_at = NULL, cancelled_at = NULL, discarded_at = NULL
  WHERE j.id = of_job_id AND j.state NOT IN ('available', 'executing', 'completed')
  RETURNING j.queue INTO woken;
  PERFORM powertools.notify_queues(ARRAY[woken]);
END $$;


--
-- Name: retry_refusal_v1(bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.retry_refusal_v1(of_workflow_id bigint, of_position integer) RETURNS text
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN (
    SELECT CASE
      WHEN f.name IS NOT NULL THEN format('step %L before it is %s: recover that one first', f.name, f.state)
      WHEN s.child_id IS NOT NULL AND powertools.has_started(s.child_id) AND powertools.retryable_v1(s.child_id) = '{}'
        THEN format('no step of workflow %s may run again', s.child_id)
    END
    FROM powertools.steps s
    LEFT JOIN LATERAL (
      SELECT p.name, p.state
      FROM unnest(s.parents) AS e (parent)
      JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
      WHERE p.state IN ('discarded', 'expired', 'cancelled')
      ORDER BY p.position LIMIT 1
    ) AS f ON true
    WHERE s.workflow_id = of_workflow_id AND s.position = of_position
  );
END $$;


--
-- Name: retryable_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.retryable_v1(of_workflow_id bigint) RETURNS integer[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE failed AS MATERIALIZED (
      SELECT s.workflow_id, s.position, CASE
          WHEN s.effects = 'never' THEN true
          WHEN s.child_id IS NOT NULL AND powertools.has_started(s.child_id) THEN powertools.retryable_v1(s.child_id) = '{}'
          ELSE false
        END AS stuck
      FROM powertools.steps s
      WHERE s.workflow_id = of_workflow_id AND s.state IN ('discarded', 'expired', 'cancelled')
        AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
    ), stuck AS (
      SELECT f.workflow_id, f.position FROM failed f WHERE f.stuck
      UNION
      SELECT k.workflow_id, k.position
      FROM stuck d
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = d.workflow_id AND s.position = d.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = d.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.state IN ('discarded', 'expired', 'cancelled')
    )
    SELECT f.position FROM failed f
    EXCEPT
    SELECT d.position FROM stuck d
    ORDER BY position
  );
END $$;


--
-- Name: revival_refusal_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.revival_refusal_v1(of_workflow_id bigint) RETURNS text
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN (
    WITH RECURSIVE above AS (
      SELECT w.id, w.state, w.parent_id, w.parent_position, NULL AS step, NULL AS outcome
      FROM powertools.workflows w WHERE w.id = of_workflow_id
      UNION ALL
      SELECT w.id, w.state, w.parent_id, w.parent_position, p.name,
        CASE
          WHEN p.state = 'completed' OR p.cause = 'cancelled_by_dependency'
            OR p.finished_at IS NOT NULL AND NOT powertools.has_started(a.id) THEN p.state
        END
      FROM above a
      JOIN powertools.workflows w ON w.id = a.parent_id
      JOIN powertools.steps p ON p.workflow_id = a.parent_id AND p.position = a.parent_position
    )
    SELECT CASE
      WHEN a.outcome IS NOT NULL THEN format('step %L of workflow %s, which ran it, is %s', a.step, a.id, a.outcome)
      ELSE format('workflow %s is being cancelled: recover it when it has ended', a.id)
    END
    FROM above a WHERE a.outcome IS NOT NULL OR a.state = 'cancel_requested'
    ORDER BY a.id DESC LIMIT 1
  );
END $$;


--
-- Name: revive_v1(bigint, integer[], boolean, jsonb, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.revive_v1(of_workflow_id bigint, targets integer[], completed boolean, payload jsonb, of_cause text) RETURNS integer[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  revived int[] := powertools.revived_with(of_workflow_id, targets);
  here bigint[] := array_fill(of_workflow_id, ARRAY[cardinality(revived)]);
  running int[];
  unstarted bigint[];
  nested record;
  parent record;
  ready int[];
BEGIN
  running := CASE WHEN NOT completed THEN ARRAY(
    SELECT s.position
    FROM unnest(here[: cardinality(targets)], targets) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.child_id IS NOT NULL AND powertools.has_started(s.child_id)
  ) END;
  unstarted := ARRAY(
    SELECT s.child_id
    FROM unnest(here, revived) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.kind = 'workflow' AND s.position <> ALL (coalesce(running, '{}')) AND NOT (completed AND s.position = ANY (targets))
  );

  UPDATE powertools.steps s
  SET state = CASE WHEN r.position = ANY (running) THEN 'executing' ELSE 'pending' END,
      generation = s.generation + 1, pending = 0, job_id = NULL, wait_id = NULL, attempt = 0, cause = NULL, result = NULL,
      error = NULL, released_at = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL,
      child_id = CASE WHEN s.kind = 'map' AND r.position = ANY (running) IS NOT TRUE THEN NULL ELSE s.child_id END
  FROM unnest(here, revived) AS r (workflow_id, position)
  WHERE s.workflow_id = r.workflow_id AND s.position = r.position;
  PERFORM powertools.write_recovered(of_workflow_id, revived);
  IF unstarted <> '{}' THEN
    PERFORM powertools.renew_nested(unstarted);
  END IF;
  PERFORM powertools.recount_pending(of_workflow_id, revived);
  PERFORM powertools.reopen(of_workflow_id);

  FOR nested IN
    SELECT s.child_id, powertools.retryable_v1(s.child_id) AS failed
    FROM unnest(here[: cardinality(running)], running) AS r (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = r.workflow_id AND s.position = r.position OFFSET 0
    ) AS s
  LOOP
    PERFORM powertools.revive_v1(nested.child_id, nested.failed, false, NULL, NULL);
  END LOOP;

  SELECT p.workflow_id, p.position, p.finished_at IS NOT NULL AS ended, w.open > 0 AS reopened INTO parent
  FROM powertools.workflows w
  JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
  WHERE w.id = of_workflow_id;
  IF parent.ended AND parent.reopened THEN
    PERFORM powertools.resume_parent(parent.workflow_id, parent.position);
  END IF;

  IF completed THEN
    PERFORM powertools.complete_step_v1(of_workflow_id, t.position, payload, of_cause) FROM unnest(targets) AS t (position);
  END IF;
  ready := ARRAY(
    SELECT s.position
    FROM unnest(here, revived) AS r (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = r.workflow_id AND s.position = r.position OFFSET 0
    ) AS s
    WHERE s.state = 'pending' AND s.pending = 0
  );
  IF ready <> '{}' THEN
    PERFORM powertools.move_on_v1(powertools.apply_outcomes_v1(
      powertools.release_v1(here[: cardinality(ready)], ready, 0), NULL), NULL);
  END IF;
  RETURN revived;
END $$;


--
-- Name: revived_with(bigint, integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.revived_with(of_workflow_id bigint, targets integer[]) RETURNS integer[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  decided CONSTANT int := CASE cardinality(targets) WHEN 1 THEN targets[1] END;
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE back AS (
      SELECT of_workflow_id AS workflow_id, unnest(targets) AS position
      UNION
      SELECT k.workflow_id, k.position
      FROM back b
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = b.workflow_id AND s.position = b.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = b.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.cause = 'cancelled_by_dependency'
    ), other_parents AS (
      SELECT b.workflow_id, e.parent AS position
      FROM back b
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = b.workflow_id AND k.position = b.position OFFSET 0
      ) AS k
      CROSS JOIN LATERAL unnest(k.parents) AS e (parent)
      WHERE k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
      EXCEPT
      SELECT b.workflow_id, b.position FROM back b
    ), still_doomed AS (
      SELECT k.workflow_id, k.position
      FROM other_parents o
      CROSS JOIN LATERAL (
        SELECT p.* FROM powertools.steps p WHERE p.workflow_id = o.workflow_id AND p.position = o.position OFFSET 0
      ) AS p
      CROSS JOIN LATERAL unnest(p.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = o.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE p.state IN ('discarded', 'expired', 'cancelled')
        AND k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
      UNION
      SELECT k.workflow_id, k.position
      FROM still_doomed d
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = d.workflow_id AND s.position = d.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = d.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
    )
    SELECT b.position FROM back b
    EXCEPT
    SELECT d.position FROM still_doomed d
    ORDER BY position
  );
END $$;


--
-- Name: root_of(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.root_of(of_workflow_id bigint) RETURNS bigint
    LANGUAGE sql STABLE
    AS $$
  SELECT w.root_id FROM powertools.workflows w WHERE w.id = of_workflow_id
$$;


--
-- Name: seal_audit_v1(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.seal_audit_v1(batch integer, OUT sealed integer, OUT head text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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


--
-- Name: seal_digest(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.seal_digest(seal bigint) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  SELECT sha256(coalesce(string_agg(int8send(k.audit_id) || k.row_hash, '' ORDER BY k.audit_id), ''))
  FROM powertools.audit_links k WHERE k.seal_id = seal
$$;


--
-- Name: seal_hash_v1(bytea, bigint, timestamp with time zone, timestamp with time zone, bytea); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.seal_hash_v1(previous_hash bytea, seal_id bigint, sealed_at timestamp with time zone, kept_until timestamp with time zone, digest bytea) RETURNS bytea
    LANGUAGE sql STABLE
    AS $$
  SELECT sha256(
    previous_hash || int8send(seal_id) || powertools.instant_bytes(sealed_at) || powertools.instant_bytes(kept_until)
    || digest
  )
$$;


--
-- Name: secret_patterns(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.secret_patterns(OUT pattern text, OUT put text, OUT flags text) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT p.pattern, p.put, p.flags
  FROM (SELECT E'\\s\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000' AS spaces) AS s
  CROSS JOIN LATERAL (
    SELECT '[' || s.spaces || E'\\u200b-\\u200d\\u2060\\ufeff]{0,8}' AS gap, '[^' || s.spaces || E',;&)}\\]]' AS rest
  ) AS g
  CROSS JOIN LATERAL (VALUES
    (1, E'(?<=://)[^\\s/@:]*:[^\\s/]+(?=@)', '[redacted]', 'g'),
    (2, '-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(-----END [A-Z ]{0,40}PRIVATE KEY-----)?', '[redacted]', 'g'),
    (3, E'\\y(bearer|basic)[' || s.spaces || E']+[\\w.~+/=-]{8,}', E'\\1 [redacted]', 'gi'),
    (4, '((pass(word|wd|phrase|code)|pwd|secret|token|(api|private|access|signing)[_-]?key|credential|authorization'
      || E'|cookie)[\\w-]{0,40}[\\\\"'']{0,4}' || g.gap || '[=:]{1,3}>?' || g.gap || E')(\\[redacted\\]' || g.rest
      || E'*|"([^"\\\\]|\\\\.)*"' || g.rest || E'*|''([^''\\\\]|\\\\.)*''' || g.rest || E'*|\\\\"[^"\\\\]*\\\\"' || g.rest
      || '*|' || g.rest || '+)', E'\\1[redacted]', 'gi'),
    (5, E'\\yeyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*|\\y(sk|pk|rk|ghp|gho|github_pat|glpat|npm|xox[a-z])[_-][\\w-]{10,}'
      || E'|\\ywhsec_[\\w+/=-]{10,}|\\yAKIA[A-Z0-9]{12,}|\\yAIza[\\w-]{30,}', '[redacted]', 'g'),
    (6, E'\\y(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}\\y', '[redacted]', 'g'),
    (7, E'(?<![\\w-])(?=[\\w-]*[a-z])(?=[\\w-]*[A-Z])(?=[\\w-]*[0-9])[\\w-]{32,}(?![\\w-])', '[redacted]', 'g')
  ) AS p (place, pattern, put, flags)
  ORDER BY p.place
$$;


--
-- Name: server_started_at(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.server_started_at() RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
  SELECT CASE WHEN pg_postmaster_start_time() <= statement_timestamp() THEN pg_postmaster_start_time() ELSE '-infinity' END
$$;


--
-- Name: setting_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.setting_v1(of_name text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
  value jsonb;
BEGIN
  SELECT s.value INTO value FROM powertools.settings s WHERE s.name = of_name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the setting % has no row in powertools.settings', of_name
    USING ERRCODE = 'no_data_found', HINT = 'Insert it again, with its value.';
  END IF;
  RETURN value;
END $$;


--
-- Name: settle(powertools.outcome[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.settle(outcomes powertools.outcome[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  asked CONSTANT powertools.outcome[] := outcomes;
  ended powertools.ended[];
  stopping bigint[];
  changes powertools.change[];
BEGIN
  stopping := powertools.lock_families_v1(ARRAY(SELECT o.workflow_id FROM unnest(outcomes) AS o));
  changes := powertools.take_starts_v1(ARRAY(SELECT o.job_id FROM unnest(outcomes) AS o WHERE o.job_id IS NOT NULL));
  IF EXISTS (SELECT FROM unnest(outcomes) AS o WHERE o.state IN ('executing', 'retryable', 'scheduled', 'available')) THEN
    changes := changes || powertools.own_changes(ARRAY(
      SELECT ROW (
        o.workflow_id, o.position,
        CASE o.state WHEN 'executing' THEN 'started' WHEN 'scheduled' THEN 'snoozed' WHEN 'retryable' THEN 'retrying' WHEN 'available' THEN 'retrying' END,
        o.state, o.job_id, o.attempt, powertools.error_summary_v1(o.error), NULL
      )::powertools.change
      FROM unnest(outcomes) AS o WHERE o.state IN ('executing', 'retryable', 'scheduled', 'available')
    ));
  END IF;
  IF EXISTS (SELECT FROM unnest(outcomes) AS o WHERE o.state = 'awaiting_signal' OR o.result ? 'append') THEN
    PERFORM powertools.write_events_v1(changes);
    changes := NULL;
    outcomes := powertools.extend(outcomes, stopping);
  END IF;
  ended := powertools.apply_outcomes_v1(outcomes, stopping);
  IF cardinality(ended) IS DISTINCT FROM cardinality(asked) THEN
    PERFORM powertools.keep_untaken(asked);
  END IF;
  PERFORM powertools.move_on_v1(ended, stopping, changes);
END $$;


--
-- Name: settle_as_failed(powertools.settle_faults, text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.settle_as_failed(f powertools.settle_faults, reason text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM powertools.settle(ARRAY[ROW (
    f.workflow_id, f.position, f.job_id, NULL, NULL, CASE f.state WHEN 'cancelled' THEN f.state ELSE 'discarded' END, f.cause,
    f.attempt, NULL, jsonb_build_object('attempt', f.attempt, 'error', format(
      'what its job came to (%s) cannot be settled, and is kept in powertools.settle_faults of job %s: %s', f.state, f.job_id, reason
    )), f.released_at, f.started_at
  )::powertools.outcome]);
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END $$;


--
-- Name: settle_guarded(powertools.outcome[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.settle_guarded(outcomes powertools.outcome[]) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '5s'
    AS $$
DECLARE
  o powertools.outcome;
  contended bool;
BEGIN
  PERFORM powertools.settle(outcomes);
EXCEPTION WHEN OTHERS THEN
  contended := SQLSTATE IN ('40001', '40P01', '55P03');
  FOREACH o IN ARRAY outcomes LOOP
    IF contended OR cardinality(outcomes) = 1 THEN
      PERFORM powertools.record_settle_fault(o, SQLSTATE, SQLERRM);
    ELSE
      PERFORM powertools.settle_guarded(ARRAY[o]);
    END IF;
  END LOOP;
END $$;


--
-- Name: shortened(text, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.shortened(said text, most integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE WHEN length(said) <= most THEN said
    ELSE format('%s ... %s characters are left out ... %s', left(said, most / 2), length(said) - most / 2 * 2, right(said, most / 2))
  END
$$;


--
-- Name: span_in_words(interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.span_in_words(span interval) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE
    WHEN s.seconds >= 7200 THEN round(s.seconds / 3600) || ' h'
    WHEN s.seconds >= 120 THEN round(s.seconds / 60) || ' min'
    WHEN s.seconds >= 1 THEN round(s.seconds) || ' s'
    ELSE 'less than 1 s'
  END
  FROM (SELECT extract(epoch FROM span)) AS s (seconds)
$$;


--
-- Name: span_setting_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.span_setting_v1(of_name text) RETURNS interval
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
  RETURN make_interval(secs => nullif(powertools.setting_v1(of_name), 'null')::float8);
END $$;


--
-- Name: start_nested(powertools.steps[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.start_nested(steps powertools.steps[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql
    AS $$
DECLARE
  workflow_ids bigint[];
  roots int[];
  ended bigint[];
BEGIN
  SELECT array_agg(k.workflow_id), array_agg(k.position), array_agg(DISTINCT w.id) FILTER (WHERE w.open = 0)
  INTO workflow_ids, roots, ended
  FROM unnest(steps) AS s
  JOIN powertools.workflows w ON w.id = s.child_id
  JOIN powertools.steps k ON k.workflow_id = w.id AND k.depth = 0
  WHERE s.kind = 'workflow';
  IF roots IS NULL THEN
    RETURN NULL;
  END IF;
  UPDATE powertools.workflows w SET expires_at = clock_timestamp() + w.expires_in
  WHERE w.id = ANY (workflow_ids) AND w.expires_in IS NOT NULL AND w.open > 0;
  RETURN powertools.release_v1(workflow_ids, roots, 1)
    || CASE WHEN ended IS NOT NULL THEN powertools.nested_outcomes(ended) END;
END $$;


--
-- Name: step_at_v1(bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.step_at_v1(of_workflow_id bigint, of_position integer) RETURNS SETOF powertools.steps
    LANGUAGE sql STABLE ROWS 1
    AS $$
  SELECT * FROM powertools.steps WHERE workflow_id = of_workflow_id AND position = of_position LIMIT 1
$$;


--
-- Name: step_words_v1(bigint); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.step_words_v1(of_workflow bigint) RETURNS TABLE("position" integer, word text, code text)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE leaves AS MATERIALIZED (
    SELECT * FROM powertools.leaves_of(ARRAY[step_words_v1.of_workflow])
  ), own AS MATERIALIZED (
    -- released ones, also those that run a workflow; and those that only a hold keeps
    SELECT s.position FROM powertools.steps s
    WHERE s.workflow_id = step_words_v1.of_workflow AND s.finished_at IS NULL
      AND (s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL)
  ), worded AS MATERIALIZED (
    SELECT w.* FROM (
      SELECT array_agg(p.workflow_id) AS workflow_ids, array_agg(p.position) AS positions FROM (
        SELECT l.workflow_id, l.position FROM leaves l
        UNION
        SELECT step_words_v1.of_workflow, o.position FROM own o
      ) AS p
    ) AS a, powertools.leaf_words(a.workflow_ids, a.positions) AS w
  ), above AS MATERIALIZED (
    SELECT l.via, bool_or(w.word IN ('Needs Review', 'Blocked')) AS stuck, bool_or(w.word = 'Running') AS running,
      bool_or(l.workflow_id <> step_words_v1.of_workflow) AS nested
    FROM leaves l JOIN worded w ON w.workflow_id = l.workflow_id AND w.position = l.position
    GROUP BY l.via
  ), waiting (position, stuck) AS (
    SELECT a.via, a.stuck FROM above a WHERE a.via IS NOT NULL
    UNION
    SELECT c.position, w.stuck
    FROM waiting w
    CROSS JOIN LATERAL (
      SELECT s.children || s.continue_children AS children FROM powertools.steps s
      WHERE s.workflow_id = step_words_v1.of_workflow AND s.position = w.position LIMIT 1
    ) AS s
    CROSS JOIN LATERAL unnest(s.children) AS e (child)
    CROSS JOIN LATERAL (
      SELECT c.position, c.state FROM powertools.steps c
      WHERE c.workflow_id = step_words_v1.of_workflow AND c.position = e.child LIMIT 1
    ) AS c
    WHERE c.state = 'pending'
  ), reached AS MATERIALIZED (
    SELECT w.position, bool_or(w.stuck) AS stuck FROM waiting w GROUP BY w.position
  )
  SELECT s.position,
    CASE
      WHEN s.finished_at IS NOT NULL THEN 'Finished'
      WHEN w.position IS NULL THEN CASE coalesce(r.stuck, o.stuck) WHEN true THEN 'Blocked' WHEN false THEN 'Waiting' ELSE 'Needs Review' END
      WHEN a.nested THEN CASE WHEN a.stuck THEN 'Blocked' WHEN a.running THEN 'Running' ELSE 'Waiting' END
      ELSE w.word
    END,
    CASE
      WHEN s.finished_at IS NOT NULL THEN NULL
      WHEN w.position IS NULL THEN CASE WHEN coalesce(r.stuck, o.stuck) IS NULL THEN 'bookkeeping_fault' ELSE 'waiting_on_dependencies' END
      ELSE w.code
    END
  FROM powertools.steps s
  LEFT JOIN worded w ON w.workflow_id = s.workflow_id AND w.position = s.position
  LEFT JOIN above a ON a.via = s.position
  LEFT JOIN above o ON o.via IS NULL
  LEFT JOIN reached r ON r.position = s.position
  WHERE s.workflow_id = step_words_v1.of_workflow;
END $$;


--
-- Name: still_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.still_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
DECLARE
  holds_by text;
  holds bool;
BEGIN
  IF i.holds_until > clock_timestamp() THEN
    RETURN true;
  END IF;
  SELECT c.holds_by INTO STRICT holds_by FROM powertools.incident_classes c WHERE c.name = i.class;
  IF holds_by IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('SELECT powertools.%I($1)', holds_by) INTO STRICT holds USING i;
  RETURN holds;
END $_$;


--
-- Name: stop_workflows_v1(bigint[], boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.stop_workflows_v1(workflow_ids bigint[], as_expired boolean) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  family bigint[];
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(workflow_ids);
  family := powertools.family_of_v1(workflow_ids);
  UPDATE powertools.workflows w
  SET state = 'cancel_requested',
      cancel_requested_at = CASE WHEN as_expired THEN w.cancel_requested_at ELSE coalesce(w.cancel_requested_at, clock_timestamp()) END,
      expired_at = CASE WHEN as_expired THEN clock_timestamp() ELSE w.expired_at END
  WHERE w.id = ANY (family) AND w.open > 0;
  WITH stopped AS (
    UPDATE powertools.steps s
    SET state = CASE WHEN as_expired THEN 'expired' ELSE 'cancelled' END,
        cause = CASE WHEN as_expired THEN 'workflow_expired' ELSE 'cancel_requested' END,
        finished_at = clock_timestamp(), held_until = NULL, hold_reason = NULL
    WHERE s.workflow_id = ANY (family) AND s.state IN ('pending', 'awaiting_signal')
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO ended FROM stopped s;
  PERFORM powertools.move_on_v1(ended, family);
  PERFORM powertools.cancel_idle_jobs(family);
  -- Afterwards, because a job that was waited for may have started.
  PERFORM powertools.tell_executing_jobs(family, NULL);
END $$;


--
-- Name: stopping(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.stopping() RETURNS SETOF boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT true FROM powertools.workflows WHERE state = 'cancel_requested'
  UNION ALL
  SELECT true FROM powertools.steps WHERE cancel_requested_at IS NOT NULL AND state = 'available'
$$;


--
-- Name: stuck_candidates(boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.stuck_candidates(move_on boolean) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  open CONSTANT bigint[] := ARRAY(
    SELECT i.subject_id::bigint FROM powertools.incidents i
    WHERE i.class = 'workflow_stuck' AND i.state <> 'resolved' AND i.subject_type = 'workflow'
  );
  after_id CONSTANT bigint := coalesce((SELECT p.after_workflow_id FROM powertools.incident_projection p), 0);
  next_ids bigint[];
  at_end bool;
BEGIN
  IF NOT move_on THEN
    RETURN open;
  END IF;
  SELECT array_agg(n.id ORDER BY n.id) FILTER (WHERE n.before < 200000), count(*) < 5000 AND max(n.before + n.total) < 200000
  INTO next_ids, at_end
  FROM (
    SELECT w.id, w.total, sum(w.total) OVER (ORDER BY w.id) - w.total AS before
    FROM (
      SELECT w.id, w.total FROM powertools.workflows w
      WHERE w.state IN ('running', 'cancel_requested') AND w.id > after_id ORDER BY w.id LIMIT 5000
    ) AS w
  ) AS n;
  INSERT INTO powertools.incident_projection AS p (projected_at, after_workflow_id)
  VALUES (clock_timestamp(), CASE WHEN at_end THEN 0 ELSE coalesce(next_ids[cardinality(next_ids)], 0) END)
  ON CONFLICT (only_one) DO UPDATE SET projected_at = excluded.projected_at, after_workflow_id = excluded.after_workflow_id;
  RETURN ARRAY(SELECT unnest(open) UNION SELECT unnest(next_ids));
END $$;


--
-- Name: sweep_by_halves(text, bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.sweep_by_halves(swept_by text, ids bigint[], OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
BEGIN
  done := powertools.do_by_halves(swept_by, ids);
  failed := cardinality(ids) - done;
  more := done > failed;
END $$;


--
-- Name: sweep_incidents_v1(interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.sweep_incidents_v1(every interval) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF EXISTS (
      SELECT FROM powertools.incident_projection p WHERE p.projected_at BETWEEN clock_timestamp() - every AND clock_timestamp()
    )
    OR NOT powertools.take_part_v2('project_incidents') THEN
    RETURN false;
  END IF;
  PERFORM powertools.project_incidents_v1();
  RETURN true;
END $$;


--
-- Name: sweep_incidents_v1(jsonb, interval); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.sweep_incidents_v1(thresholds jsonb, every interval) RETURNS boolean
    LANGUAGE sql
    AS $$
  SELECT powertools.sweep_incidents_v1(every)
$$;


--
-- Name: sweep_part_v1(text, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.sweep_part_v1(part text, batch integer, OUT swept boolean, OUT done integer, OUT failed integer, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    AS $$
DECLARE
  tally record;
BEGIN
  swept := powertools.take_part_v2(part);
  IF NOT swept THEN
    RETURN;
  END IF;
  CASE part
    WHEN 'repair_settle_faults' THEN tally := powertools.repair_faults(batch);
    WHEN 'match_signals' THEN tally := powertools.match_missed(batch);
    WHEN 'expire_waits' THEN tally := powertools.sweep_by_halves('expire_waits', powertools.waits_to_expire(batch));
    WHEN 'expire_workflows' THEN tally := powertools.sweep_by_halves('expire_workflows', powertools.workflows_to_expire(batch));
    WHEN 'cancel_stopping_jobs' THEN tally := powertools.cancel_idle_jobs(batch);
    WHEN 'expire_holds' THEN tally := powertools.sweep_by_halves('expire_holds', powertools.holds_to_expire(batch));
    WHEN 'analyze_outgrown' THEN tally := powertools.analyze_tables(batch);
  END CASE;
  done := tally.done;
  failed := tally.failed;
  more := tally.more;
END $$;


--
-- Name: take_part_v1(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.take_part_v1(part text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
  RETURN NOT (part = 'dispatch_webhooks' AND EXISTS (
    SELECT FROM powertools.webhook_endpoints e
    WHERE e.format <> 'cloudevents' OR EXISTS (SELECT FROM unnest(e.types) AS t (name) WHERE t.name NOT LIKE 'workflow.%')
  )) AND powertools.take_part_v2(part);
END $$;


--
-- Name: take_part_v2(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.take_part_v2(part text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM FROM powertools.sweep_parts p WHERE p.name = part FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND OR EXISTS (SELECT FROM powertools.sweep_parts p WHERE p.name = part) THEN
    RETURN FOUND;
  END IF;
  -- somebody removed the row
  INSERT INTO powertools.sweep_parts (name) VALUES (part) ON CONFLICT DO NOTHING;
  RETURN FOUND;
END $$;


--
-- Name: take_starts_v1(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.take_starts_v1(job_ids bigint[]) RETURNS powertools.change[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  starts powertools.change[];
BEGIN
  WITH due AS (
    DELETE FROM powertools.deferred_starts d WHERE d.job_id = ANY (job_ids) RETURNING d.*
  )
  SELECT array_agg(ROW (
    d.workflow_id, d.position, 'started', 'executing', d.job_id, d.attempt, NULL, d.at
  )::powertools.change ORDER BY d.at, d.job_id)
  INTO starts FROM due d;
  RETURN powertools.own_changes(starts);
END $$;


--
-- Name: tell_executing_jobs(bigint[], integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.tell_executing_jobs(workflow_ids bigint[], of_position integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
DECLARE
  told int;
BEGIN
  SELECT count(powertools.notify_v1('public.oban_signal', json_build_object('action', 'pkill', 'job_id', j.id)::text) IS NULL) INTO told
  FROM powertools.steps s
  JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
  WHERE s.workflow_id = ANY (workflow_ids) AND s.state = 'available' AND j.state = 'executing'
    AND (of_position IS NULL OR s.position = of_position);
  RETURN told;
END $$;


--
-- Name: tell_of_incidents_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.tell_of_incidents_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM powertools.write_notices('incident', array_agg(t.id ORDER BY t.entry), array_agg(t.kind ORDER BY t.entry), array_agg(t.data ORDER BY t.entry))
  FROM (
    SELECT a.id AS entry, i.id::text AS id, 'incident.' || CASE a.kind WHEN 'detected' THEN 'opened' ELSE a.kind END AS kind,
      jsonb_build_object(
        'fingerprint', i.fingerprint, 'incident_class', i.class, 'state', i.state, 'subject_type', i.subject_type,
        'subject_id', i.subject_id, 'title', i.title, 'count', i.count, 'waiting_workflows', i.waiting_workflows,
        'waiting_steps', i.waiting_steps, 'opened_at', i.opened_at, 'actor', a.actor, 'because', a.detail -> 'because',
        'muted', coalesce(i.muted_until > clock_timestamp(), false) OR a.detail ? 'muted'
      ) AS data
    FROM added a
    JOIN powertools.incidents i ON i.id = a.incident_id
    WHERE a.kind IN ('detected', 'reopened', 'changed', 'resolved', 'acknowledged')
  ) AS t;
  RETURN NULL;
END $$;


--
-- Name: tell_of_repairs_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.tell_of_repairs_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM powertools.write_notices('audit', array_agg(a.id::text ORDER BY a.id), array_agg('repair.' || a.outcome ORDER BY a.id), array_agg(jsonb_build_object(
    'action', a.action, 'target_type', a.target_type, 'target_id', a.target_id, 'workflow_id', a.workflow_id, 'step', a.step,
    'actor', nullif(a.actor_id, ''), 'actor_type', a.actor_type, 'reason', a.reason, 'surface', a.surface,
    'incident_id', a.incident_id, 'code', CASE jsonb_typeof(a.details) WHEN 'object' THEN a.details -> 'code' END
  ) ORDER BY a.id))
  FROM added a
  WHERE a.actor_type <> 'system' AND (a.actor_id, a.actor_type) <> ('host', 'service')
    AND a.target_type IN ('job', 'step', 'late_result', 'workflow', 'executor', 'callback')
    AND a.action NOT IN ('preview_repair', 'step_publish');
  RETURN NULL;
END $$;


--
-- Name: tell_of_retention_v1(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.tell_of_retention_v1() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM powertools.write_notices('audit', ARRAY[NEW.id::text], ARRAY['retention.ran'], ARRAY[jsonb_build_object(
    'outcome', NEW.outcome, 'actor', NEW.actor, 'reason', NEW.reason, 'error', NEW.error, 'archived', NEW.archived,
    'pruned', NEW.pruned, 'started_at', NEW.started_at
  )]);
  RETURN NULL;
END $$;


--
-- Name: told_error_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.told_error_v1(error jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    AS $$
DECLARE
  said text := CASE jsonb_typeof(error) WHEN 'object' THEN error ->> 'error' ELSE error #>> '{}' END;
  found record;
BEGIN
  IF jsonb_typeof(error -> 'text') = 'string' AND coalesce(length(said), 0) <= 21000
    AND length(error ->> 'text') <= 2100 AND length(coalesce(error ->> 'class', '')) <= 200 THEN
    RETURN error;
  END IF;
  IF error = 'null' THEN
    RETURN NULL;
  END IF;
  said := powertools.shortened(coalesce(said, ''), 20000);
  SELECT * INTO found FROM powertools.read_error(said);
  error := CASE jsonb_typeof(error) WHEN 'object' THEN error ELSE '{}' END
    -- an error of one line is not repeated
    || CASE WHEN error ? 'text' OR found.class IS NOT NULL OR found.told <> said OR jsonb_typeof(error -> 'error') IS DISTINCT FROM 'string'
      THEN jsonb_build_object('text', powertools.shortened(coalesce(error ->> 'text', found.told), 2000)) ELSE '{}' END
    || CASE WHEN coalesce(error ->> 'class', found.class) IS NULL THEN '{}'
      ELSE jsonb_build_object('class', left(coalesce(error ->> 'class', found.class), 200)) END;
  -- An error written by somebody else may be more than a text.
  IF jsonb_typeof(error -> 'error') IS NOT DISTINCT FROM 'string' OR length(error ->> 'error') > 20000 OR NOT error ? 'error' THEN
    error := error || jsonb_build_object('error', said);
  END IF;
  RETURN error;
END $$;


--
-- Name: unclaimed_signal_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unclaimed_signal_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.signals g
    WHERE g.id IN (SELECT jsonb_array_elements_text(i.evidence -> 'signal_ids')::bigint) AND g.status = 'stored'
      AND powertools.is_unclaimed(g.inserted_at, g.expires_at)
  )
$$;


--
-- Name: undate_executors(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.undate_executors() RETURNS void
    LANGUAGE sql
    AS $$
  UPDATE powertools.executors e
  SET started_at = least(e.started_at, t.now), beat_at = least(e.beat_at, t.now), loop_beat_at = least(e.loop_beat_at, t.now),
      beating_since = CASE WHEN e.beat_at > t.now THEN t.now ELSE least(e.beating_since, t.now) END,
      stopped_at = CASE WHEN e.stopped_at > t.now THEN t.now ELSE e.stopped_at END
  FROM (SELECT clock_timestamp() AS now OFFSET 0) AS t
  WHERE e.executor_id = ANY (ARRAY(
    SELECT d.executor_id FROM powertools.executors d
    WHERE d.executor_id IN (SELECT a.executor_id FROM powertools.executors_dated_ahead a)
    ORDER BY d.executor_id FOR UPDATE SKIP LOCKED
  ))
$$;


--
-- Name: unfinished_workflows(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unfinished_workflows() RETURNS SETOF powertools.workflows
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.workflows WHERE state IN ('running', 'cancel_requested')
$$;


--
-- Name: unhold_v1(bigint, integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unhold_v1(of_workflow_id bigint, of_position integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
  positions int[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  positions := ARRAY(
    SELECT s.position FROM powertools.steps s
    WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position) AND s.held_until IS NOT NULL
  );
  PERFORM powertools.end_holds(array_fill(of_workflow_id, ARRAY[cardinality(positions)]), positions);
  RETURN cardinality(positions);
END $$;


--
-- Name: unmatched(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unmatched() RETURNS SETOF boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND NOT swept)
    OR EXISTS (SELECT FROM powertools.waits WHERE state = 'waiting' AND NOT swept)
    OR EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND expires_at <= clock_timestamp())
    OR EXISTS (
      SELECT FROM powertools.signals WHERE status = 'stored' AND last_workflow_id < (SELECT powertools.oldest_unfinished())
    )
$$;


--
-- Name: unresolved(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unresolved(error jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT coalesce(CASE WHEN error::text LIKE '%WorkerResolutionError%'
    THEN left(powertools.error_summary_v1(error), 200) LIKE '%WorkerResolutionError%' END, false)
$$;


--
-- Name: unresolved(bigint[], integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unresolved(workflow_ids bigint[], positions integer[]) RETURNS powertools.outcome[]
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN (
    SELECT array_agg(powertools.failed_outcome(s, format(
      'its args come to more than %s bytes with what they refer to: pass where it is instead', powertools.gathered_limit()
    )))
    FROM (SELECT DISTINCT e.* FROM unnest(workflow_ids, positions) AS e (workflow_id, position)) AS e
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
    ) AS s
    WHERE s.state = 'available' AND s.template IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = s.job_id)
  );
END $$;


--
-- Name: audit_links; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.audit_links (
    audit_id bigint NOT NULL,
    seal_id bigint,
    row_hash bytea NOT NULL
);


--
-- Name: unsealed(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.unsealed() RETURNS SETOF powertools.audit_links
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.audit_links WHERE seal_id IS NULL
$$;


--
-- Name: wait_overdue_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.wait_overdue_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'wait_overdue:' || v.signal
  FROM powertools.waits v WHERE v.id = s.wait_id AND v.state = 'waiting' AND v.deadline_at < clock_timestamp()
$$;


--
-- Name: wait_overdue_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.wait_overdue_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM powertools.waits w WHERE w.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND w.state = 'waiting' AND w.deadline_at < clock_timestamp()
  )
$$;


--
-- Name: waits_to_expire(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.waits_to_expire(batch integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT w.id, w.workflow_id FROM powertools.overdue_waits() w ORDER BY w.deadline_at LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;


--
-- Name: waits_to_match(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.waits_to_match(batch integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT m.wait_id AS id, m.workflow_id FROM powertools.missed(batch) AS m LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;


--
-- Name: webhook_endpoints; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.webhook_endpoints (
    id bigint NOT NULL,
    url text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    types text[] DEFAULT '{}'::text[] NOT NULL,
    workflow_name text,
    allow_private boolean DEFAULT false NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    disabled_reason text,
    cursor bigint NOT NULL,
    missed bigint DEFAULT 0 NOT NULL,
    job_id bigint,
    lease uuid,
    leased_until timestamp with time zone,
    format text DEFAULT 'cloudevents'::text NOT NULL,
    console_url text,
    storms jsonb DEFAULT '{}'::jsonb NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhook_endpoint_disabled CHECK ((enabled = (disabled_reason IS NULL))),
    CONSTRAINT webhook_endpoint_format CHECK ((format = ANY (ARRAY['cloudevents'::text, 'chat'::text, 'pagerduty'::text, 'alertmanager'::text]))),
    CONSTRAINT webhook_endpoint_lease CHECK (((lease IS NULL) = (leased_until IS NULL)))
);


--
-- Name: webhook_addresses(); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.webhook_addresses() RETURNS SETOF powertools.webhook_endpoints
    LANGUAGE sql STABLE
    AS $$
  SELECT * FROM powertools.webhook_endpoints
$$;


--
-- Name: what_blocks(text, boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.what_blocks(of_executor text, loop_responsive boolean) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
  SELECT coalesce((
    SELECT jsonb_build_object('stacks', jsonb_build_array(t.entry - 'blocks_loop'))
    FROM powertools.executors e CROSS JOIN LATERAL jsonb_array_elements(e.stacks) AS t (entry)
    WHERE e.executor_id = of_executor AND NOT loop_responsive AND t.entry @> '{"blocks_loop": true}' LIMIT 1
  ), '{}')
$$;


--
-- Name: word_of(text[], boolean); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.word_of(codes text[], executing boolean) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT CASE
    WHEN NOT codes <@ '{
      waiting_on_dependencies, waiting_on_retryable_dependency, waiting_on_signal, waiting_on_workflow, waiting_on_items,
      held, cancel_requested, workflow_expired, scheduled, retry_backoff, queue_saturated,
      queue_paused, queue_has_no_executor, orphaned_by_missing_executor, locked
    }'::text[] THEN 'Needs Review'
    WHEN codes && '{queue_paused, queue_has_no_executor, orphaned_by_missing_executor, locked}'::text[] THEN 'Blocked'
    WHEN executing THEN 'Running'
    WHEN codes = '{}' THEN 'Runnable'
    ELSE 'Waiting'
  END
$$;


--
-- Name: words_of(text); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.words_of(said text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    AS $$
  SELECT array_remove(regexp_split_to_array(lower(said), '[^[:alnum:]]+'), '')
$$;


--
-- Name: worker_not_importable_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.worker_not_importable_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'worker_not_importable:' || j.worker
  WHERE j.meta ? 'not_run' AND j.state IN ('retryable', 'available', 'executing')
$$;


--
-- Name: worker_not_importable_holds(powertools.incidents); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.worker_not_importable_holds(i powertools.incidents) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND powertools.not_run(j.meta, j.errors) AND (
      j.state IN ('retryable', 'available')
      OR j.state = 'executing' AND j.attempted_at > timezone('UTC', clock_timestamp()) - interval '1 min'
    )
  )
$$;


--
-- Name: workflow_of_v1(jsonb); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.workflow_of_v1(meta jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    AS $_$
  SELECT CASE WHEN meta ? 'position' AND meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' THEN (meta ->> 'workflow_id')::bigint END
$_$;


--
-- Name: workflow_stuck_concerns(powertools.steps, powertools.workflows, public.oban_jobs); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.workflow_stuck_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs) RETURNS SETOF text
    LANGUAGE sql STABLE
    AS $$
  SELECT 'workflow_stuck:' || cause
  FROM (VALUES
    (j.state = 'available', 'queue:' || j.queue),
    (w.open > 0, 'workflow:' || w.id),
    (w.open > 0, 'semantics:' || w.semantics_version)
  ) AS c (holds, cause)
  WHERE c.holds
$$;


--
-- Name: workflow_words_v1(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.workflow_words_v1(ids bigint[]) RETURNS TABLE(id bigint, word text, code text, leaf_workflow_id bigint, leaf_position integer, leaf_name text)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT w.id, w.open, w.failed FROM unnest(ids) AS u (id) JOIN powertools.workflows w ON w.id = u.id
  ), leaves AS MATERIALIZED (
    SELECT * FROM powertools.leaves_of(ARRAY(SELECT a.id FROM asked a WHERE a.open > 0))
  ), worded AS MATERIALIZED (
    SELECT w.* FROM powertools.leaf_words(ARRAY(SELECT l.workflow_id FROM leaves l), ARRAY(SELECT l.position FROM leaves l)) AS w
  ), first AS (
    SELECT DISTINCT ON (l.of_workflow) l.of_workflow, w.*
    FROM leaves l
    JOIN worded w ON w.workflow_id = l.workflow_id AND w.position = l.position
    ORDER BY l.of_workflow, array_position('{Needs Review,Blocked,Running,Runnable,Waiting}', w.word), w.workflow_id, w.position
  )
  SELECT a.id, CASE WHEN a.open = 0 THEN 'Finished' ELSE coalesce(f.word, 'Needs Review') END,
    CASE WHEN a.open > 0 AND f.word IS NULL THEN 'bookkeeping_fault' ELSE f.code END,
    coalesce(f.workflow_id, s.workflow_id), coalesce(f.position, s.position), coalesce(f.name, s.name)
  FROM asked a
  LEFT JOIN first f ON f.of_workflow = a.id
  LEFT JOIN LATERAL (
    SELECT s.workflow_id, s.position, s.name FROM powertools.steps s
    WHERE a.open = 0 AND a.failed > 0 AND s.workflow_id = a.id AND s.state <> 'completed'
      AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
    ORDER BY s.position LIMIT 1
  ) AS s ON true;
END $$;


--
-- Name: workflows_to_expire(integer); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.workflows_to_expire(batch integer) RETURNS bigint[]
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT w.id, w.root_id FROM powertools.overdue_workflows() w ORDER BY w.expires_at LIMIT batch
    ) AS d
    ORDER BY d.root_id
  );
END $$;


--
-- Name: write_ends(bigint[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.write_ends(workflow_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  batch CONSTANT bigint := nextval('powertools.event_batches_id_seq');
BEGIN
  WITH written AS (
    INSERT INTO powertools.events (workflow_id, number, batch_id, place, change, state, generation, failed_steps)
    SELECT w.id,
      coalesce((
        SELECT e.number FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
      ), 0) + 1,
      batch, row_number() OVER (ORDER BY f.place), 'finished', w.state, w.generation,
      CASE WHEN w.failed = 0 THEN '{}' ELSE powertools.failed_steps_v1(w.id) END
    FROM (
      SELECT * FROM unnest(workflow_ids) WITH ORDINALITY AS given (workflow_id, place) LIMIT cardinality(workflow_ids)
    ) AS f
    JOIN powertools.workflows w ON w.id = f.workflow_id
    RETURNING workflow_id, number
  )
  INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
  OVERRIDING SYSTEM VALUE
  SELECT batch, count(*), array_agg(r.workflow_id), array_agg(r.number), array_agg(r.number) FROM written r;
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;


--
-- Name: write_events_v1(powertools.change[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.write_events_v1(changes powertools.change[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_material TO 'off'
    SET random_page_cost TO '0.01'
    SET jit TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET cpu_tuple_cost TO '1'
    AS $$
DECLARE
  most CONSTANT int := 20000;
  batch bigint;
  part powertools.change[];
BEGIN
  FOR start IN 1 .. coalesce(cardinality(changes), 0) BY most LOOP
    part := CASE WHEN cardinality(changes) <= most THEN changes ELSE changes[start : start + most - 1] END;
    batch := nextval('powertools.event_batches_id_seq');
    WITH written AS (
      INSERT INTO powertools.events (
        workflow_id, number, position, batch_id, place, at, job_id, attempt, has_result, change, state, error
      )
      SELECT c.workflow_id,
        -- read once per workflow, before its first new row: finding the last among rows of this statement is slow
        c.nth + max(CASE WHEN c.nth = 1 THEN coalesce((
          SELECT e.number FROM powertools.events e WHERE e.workflow_id = c.workflow_id ORDER BY e.number DESC LIMIT 1
        ), 0) END) OVER (PARTITION BY c.workflow_id),
        c.position, batch, c.place, coalesce(c.at, clock_timestamp()), coalesce(c.job_id, s.job_id),
        coalesce(c.attempt, s.attempt), c.change = 'completed' AND s.result IS NOT NULL, c.change,
        coalesce(c.state, CASE
          WHEN s.state = 'available' AND greatest(s.scheduled_at, now() + s.delay) > now() THEN 'scheduled'
          ELSE s.state
        END),
        coalesce(c.error, CASE WHEN c.change = s.state AND s.error IS NOT NULL THEN powertools.error_summary_v1(s.error) END)
      FROM (
        SELECT given.*, row_number() OVER (PARTITION BY given.workflow_id ORDER BY given.place) AS nth
        FROM unnest(part) WITH ORDINALITY
          AS given (workflow_id, position, change, state, job_id, attempt, error, at, place)
        LIMIT cardinality(part)
      ) AS c
      CROSS JOIN LATERAL (
        SELECT * FROM powertools.steps s WHERE s.workflow_id = c.workflow_id AND s.position = c.position OFFSET 0
      ) AS s
      RETURNING workflow_id, number
    )
    INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
    OVERRIDING SYSTEM VALUE
    SELECT batch, sum(n.events), array_agg(n.workflow_id), array_agg(n.first), array_agg(n.last)
    FROM (
      SELECT r.workflow_id, count(*) AS events, min(r.number) AS first, max(r.number) AS last
      FROM written r GROUP BY r.workflow_id
    ) AS n
    HAVING count(*) > 0;
  END LOOP;
  IF batch IS NOT NULL THEN
    PERFORM powertools.notify_v1('powertools.events', '');
  END IF;
END $$;


--
-- Name: write_notices(text, text[], text[], jsonb[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.write_notices(of_topic text, ids text[], kinds text[], datas jsonb[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  batch bigint;
BEGIN
  IF coalesce(cardinality(ids), 0) = 0 THEN
    RETURN;
  END IF;
  batch := nextval('powertools.event_batches_id_seq');
  INSERT INTO powertools.notices (batch_id, place, topic, subject_id, kind, data)
  SELECT batch, n.place, of_topic, n.id, n.kind, n.data
  FROM unnest(ids, kinds, datas) WITH ORDINALITY AS n (id, kind, data, place);
  INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
  OVERRIDING SYSTEM VALUE
  VALUES (batch, cardinality(ids), '{}', '{}', '{}');
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;


--
-- Name: write_recovered(bigint, integer[]); Type: FUNCTION; Schema: powertools; Owner: -
--

CREATE FUNCTION powertools.write_recovered(of_workflow_id bigint, positions integer[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM powertools.write_events_v1(ARRAY(
    SELECT ROW (of_workflow_id, r.position, 'recovered', NULL, NULL, NULL, NULL, NULL)::powertools.change
    FROM unnest(positions) AS r (position)
  ));
END $$;


--
-- Name: oban_count_estimate(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.oban_count_estimate(state text, queue text) RETURNS integer
    LANGUAGE plpgsql
    AS $_$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON)
           SELECT id
           FROM public.oban_jobs
           WHERE state = $1::public.oban_job_state
           AND queue = $2'
    INTO plan
    USING state, queue;
  RETURN plan->0->'Plan'->'Plan Rows';
END;
$_$;


--
-- Name: archive; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.archive (
    class text NOT NULL,
    original_id bigint NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    run_id bigint NOT NULL,
    archived_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    record jsonb NOT NULL
);


--
-- Name: audit_chain; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.audit_chain (
    only_one boolean DEFAULT true NOT NULL,
    pruned_to bigint NOT NULL,
    pruned_hash bytea NOT NULL,
    pruned_previous_hash bytea,
    pruned_sealed_at timestamp with time zone,
    pruned_kept_until timestamp with time zone,
    pruned_digest bytea,
    sealed_to bigint DEFAULT 0 NOT NULL,
    kept_for_at_least interval DEFAULT '90 days'::interval NOT NULL,
    CONSTRAINT audit_chain_kept CHECK (((kept_for_at_least >= '00:00:00'::interval) AND (kept_for_at_least <= '1000 years'::interval))),
    CONSTRAINT audit_chain_only_one_check CHECK (only_one),
    CONSTRAINT audit_chain_order CHECK ((pruned_to <= sealed_to))
);


--
-- Name: audit_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: audit_seals; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.audit_seals (
    id bigint NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    kept_until timestamp with time zone NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    count integer NOT NULL,
    ids int8multirange NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL
);


--
-- Name: bulk_items; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.bulk_items (
    bulk_id bigint NOT NULL,
    place integer NOT NULL,
    target_id text NOT NULL,
    state_hash text,
    outcome text DEFAULT 'pending'::text NOT NULL,
    detail text,
    ended_at timestamp with time zone,
    CONSTRAINT bulk_item_ended CHECK (((ended_at IS NULL) = (outcome = 'pending'::text))),
    CONSTRAINT bulk_item_outcome CHECK ((outcome = ANY (ARRAY['pending'::text, 'done'::text, 'refused'::text, 'drifted'::text, 'failed'::text])))
);


--
-- Name: bulks; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.bulks (
    id bigint NOT NULL,
    status text DEFAULT 'ready'::text NOT NULL,
    actor_id text NOT NULL,
    action text NOT NULL,
    filter jsonb NOT NULL,
    arguments json NOT NULL,
    manifest_hash text NOT NULL,
    total integer NOT NULL,
    token_hash bytea NOT NULL,
    reason text,
    inserted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT bulk_ended CHECK (((ended_at IS NOT NULL) = (status = ANY (ARRAY['done'::text, 'expired'::text])))),
    CONSTRAINT bulk_started CHECK (((started_at IS NOT NULL) = (status = ANY (ARRAY['running'::text, 'done'::text])))),
    CONSTRAINT bulk_status CHECK ((status = ANY (ARRAY['ready'::text, 'running'::text, 'done'::text, 'expired'::text])))
);


--
-- Name: bulks_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.bulks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.bulks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: callbacks; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.callbacks (
    workflow_id bigint NOT NULL,
    generation integer NOT NULL,
    job_id bigint NOT NULL,
    worker text NOT NULL,
    state text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    inserted_at timestamp with time zone DEFAULT now() NOT NULL,
    attempted_at timestamp with time zone,
    ended_at timestamp with time zone,
    error jsonb,
    CONSTRAINT callback_ended CHECK (((ended_at IS NOT NULL) = (state = ANY (ARRAY['completed'::text, 'discarded'::text, 'cancelled'::text, 'job_deleted'::text]))))
)
WITH (fillfactor='80');


--
-- Name: commands; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.commands AS
 SELECT a.id,
    a.workflow_id,
    a.step,
    a.action,
    a.actor_id AS actor,
    a.surface AS source,
    a.reason,
        CASE a.outcome
            WHEN 'executed'::text THEN 'accepted'::text
            ELSE 'rejected'::text
        END AS outcome,
    (a.details ->> 'code'::text) AS reason_code,
    ARRAY( SELECT jsonb_array_elements_text(
                CASE jsonb_typeof((a.details -> 'legal_next_steps'::text))
                    WHEN 'array'::text THEN (a.details -> 'legal_next_steps'::text)
                    ELSE '[]'::jsonb
                END) AS jsonb_array_elements_text) AS legal_next_steps,
        CASE jsonb_typeof(a.details)
            WHEN 'object'::text THEN (jsonb_strip_nulls(jsonb_build_object('preview_id', a.preview_id)) || (a.details - '{code,legal_next_steps}'::text[]))
            ELSE a.details
        END AS details,
    a.at AS inserted_at
   FROM powertools.audit a
  WHERE ((a.workflow_id IS NOT NULL) AND (a.outcome <> 'failed'::text) AND (a.action <> 'preview_repair'::text));


--
-- Name: deferred_starts; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.deferred_starts (
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    workflow_id bigint NOT NULL,
    "position" integer NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');


--
-- Name: edges; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.edges AS
 SELECT s.workflow_id,
    p.parent,
    s."position" AS child,
    'cancel'::text AS policy
   FROM (powertools.steps s
     CROSS JOIN LATERAL unnest(s.parents) p(parent))
UNION ALL
 SELECT s.workflow_id,
    p.parent,
    s."position" AS child,
    'continue'::text AS policy
   FROM (powertools.steps s
     CROSS JOIN LATERAL unnest(s.continue_parents) p(parent));


--
-- Name: event_batches; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.event_batches (
    id bigint NOT NULL,
    last_cursor bigint,
    events integer NOT NULL,
    workflow_ids bigint[] NOT NULL,
    first_numbers integer[] NOT NULL,
    last_numbers integer[] NOT NULL,
    inserted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: event_batches_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.event_batches ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.event_batches_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: event_log; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.event_log (
    only_one boolean DEFAULT true NOT NULL,
    head bigint NOT NULL,
    pruned_to bigint NOT NULL,
    CONSTRAINT event_log_only_one_check CHECK (only_one),
    CONSTRAINT event_log_order CHECK ((pruned_to <= head))
);


--
-- Name: events; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.events (
    workflow_id bigint NOT NULL,
    number integer NOT NULL,
    "position" integer,
    batch_id bigint NOT NULL,
    place integer NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    job_id bigint,
    attempt integer,
    has_result boolean DEFAULT false NOT NULL,
    published boolean DEFAULT false NOT NULL,
    change text NOT NULL,
    state text NOT NULL,
    error text,
    generation integer,
    failed_steps text[],
    CONSTRAINT event_change CHECK ((((change = ANY (ARRAY['released'::text, 'started'::text, 'completed'::text, 'retrying'::text, 'snoozed'::text, 'cancelled'::text, 'discarded'::text, 'expired'::text, 'awaiting'::text, 'recovered'::text])) AND ("position" IS NOT NULL)) OR ((change = 'finished'::text) AND ("position" IS NULL) AND (generation IS NOT NULL) AND (failed_steps IS NOT NULL))))
);


--
-- Name: executors; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.executors (
    executor_id text NOT NULL,
    node text NOT NULL,
    producer text NOT NULL,
    producer_scope text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    beat_at timestamp with time zone NOT NULL,
    loop_beat_at timestamp with time zone NOT NULL,
    beating_since timestamp with time zone NOT NULL,
    gone_after interval NOT NULL,
    late_after interval DEFAULT '00:00:45'::interval NOT NULL,
    missing_after interval DEFAULT '00:02:00'::interval NOT NULL,
    started_with jsonb DEFAULT '{}'::jsonb NOT NULL,
    aside integer DEFAULT 0 NOT NULL,
    aside_since timestamp with time zone,
    stopped_at timestamp with time zone,
    abrupt boolean DEFAULT false NOT NULL,
    host text,
    pid integer,
    ticks bigint,
    session_pid integer,
    died_at timestamp with time zone,
    died_seen_by text,
    missing_at timestamp with time zone,
    told_as text DEFAULT 'healthy'::text NOT NULL,
    stacks jsonb,
    relieved_at timestamp with time zone,
    CONSTRAINT executor_aside CHECK (((aside >= 0) AND ((aside = 0) = (aside_since IS NULL)))),
    CONSTRAINT executor_died CHECK (((died_at IS NULL) = (died_seen_by IS NULL))),
    CONSTRAINT executor_gone_after CHECK ((gone_after > '00:00:00'::interval)),
    CONSTRAINT executor_late_after CHECK ((('00:00:00'::interval < late_after) AND (late_after <= missing_after))),
    CONSTRAINT executor_named CHECK (((executor_id <> ''::text) AND (producer <> ''::text))),
    CONSTRAINT executor_process CHECK ((num_nonnulls(host, pid, ticks) = ANY (ARRAY[0, 3])))
)
WITH (fillfactor='50');


--
-- Name: executors_dated_ahead; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.executors_dated_ahead AS
 SELECT e.executor_id
   FROM powertools.executors e
  WHERE (GREATEST(e.started_at, e.beat_at, e.loop_beat_at, e.beating_since, e.stopped_at) > (clock_timestamp() + '00:00:01'::interval));


--
-- Name: gone_executors; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.gone_executors AS
 SELECT e.executor_id,
    e.node,
    e.producer,
    e.relieved_at,
        CASE
            WHEN (e.stopped_at IS NULL) THEN 'gone'::text
            WHEN e.abrupt THEN 'ended'::text
            ELSE 'stopped'::text
        END AS why,
    COALESCE(e.stopped_at, e.beat_at) AS seen_at
   FROM powertools.executors e
  WHERE ((e.stopped_at IS NOT NULL) OR (e.died_at IS NOT NULL) OR ((e.beat_at < (clock_timestamp() - e.gone_after)) AND (EXISTS ( SELECT
           FROM powertools.executors w
          WHERE ((w.stopped_at IS NULL) AND (w.beat_at > GREATEST((clock_timestamp() - (w.gone_after / (2)::double precision)), powertools.server_started_at())) AND (GREATEST(e.beat_at, w.beating_since) < (clock_timestamp() - GREATEST(e.gone_after, w.gone_after))))))));


--
-- Name: incident_classes; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.incident_classes (
    name text NOT NULL,
    found_by text NOT NULL,
    holds_by text,
    over_because text NOT NULL,
    concerns_by text DEFAULT 'evidence_concerns'::text NOT NULL
);


--
-- Name: incident_entries; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.incident_entries (
    id bigint NOT NULL,
    incident_id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    actor text,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT entry_kind CHECK (((actor IS NOT NULL) OR (kind = ANY (ARRAY['detected'::text, 'reopened'::text, 'changed'::text, 'resolved'::text]))))
);


--
-- Name: incident_entries_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.incident_entries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.incident_entries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: incident_projection; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.incident_projection (
    only_one boolean DEFAULT true NOT NULL,
    projected_at timestamp with time zone NOT NULL,
    after_workflow_id bigint NOT NULL,
    CONSTRAINT incident_projection_only_one_check CHECK (only_one)
)
WITH (fillfactor='50');


--
-- Name: incidents_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.incidents ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.incidents_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: late_results_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.late_results ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.late_results_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: rescues; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.rescues (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    attempted_at timestamp with time zone NOT NULL,
    executor_id text,
    attempted_by text[] NOT NULL,
    why text NOT NULL,
    action text NOT NULL,
    crashes integer NOT NULL,
    queue text NOT NULL,
    worker text NOT NULL,
    workflow_id bigint,
    "position" integer,
    CONSTRAINT rescue_action CHECK ((action = ANY (ARRAY['retried'::text, 'isolated'::text, 'quarantined'::text, 'discarded'::text, 'left'::text]))),
    CONSTRAINT rescue_why CHECK ((why = ANY (ARRAY['gone'::text, 'ended'::text, 'stopped'::text, 'unknown'::text, 'lost'::text])))
);


--
-- Name: left_attempts; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.left_attempts AS
 SELECT r.job_id,
    (r.attempted_at AT TIME ZONE 'UTC'::text) AS attempted_at
   FROM powertools.rescues r
  WHERE (r.action = 'left'::text);


--
-- Name: migrations; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.migrations (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    compatible_from integer
);


--
-- Name: notices; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.notices (
    batch_id bigint NOT NULL,
    place integer NOT NULL,
    cursor bigint,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    topic text NOT NULL,
    subject_id text NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL,
    CONSTRAINT notice_kind CHECK ((
CASE topic
    WHEN 'incident'::text THEN (kind = ANY (ARRAY['incident.opened'::text, 'incident.changed'::text, 'incident.acknowledged'::text, 'incident.resolved'::text, 'incident.reopened'::text]))
    WHEN 'executor'::text THEN (kind = ANY (ARRAY['executor.late'::text, 'executor.missing'::text, 'executor.recovered'::text]))
    WHEN 'audit'::text THEN (kind = ANY (ARRAY['repair.executed'::text, 'repair.refused'::text, 'repair.drifted'::text, 'repair.expired'::text, 'repair.failed'::text, 'retention.ran'::text]))
    ELSE NULL::boolean
END IS TRUE))
);


--
-- Name: placed_events; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.placed_events AS
 SELECT e.workflow_id,
    e.number,
    ((b.last_cursor - b.events) + e.place) AS cursor,
    e.at,
    e."position",
    s.name AS step_name,
    s.worker,
    COALESCE((w.context ->> 'label'::text), w.name) AS workflow_label,
    w.name AS workflow_name,
    e.change,
    e.state,
    e.job_id,
    e.attempt,
    e.has_result,
    e.published,
    e.error,
    e.generation,
    e.failed_steps
   FROM (((powertools.events e
     JOIN powertools.event_batches b ON (((b.id = e.batch_id) AND (b.last_cursor IS NOT NULL))))
     LEFT JOIN powertools.workflows w ON ((w.id = e.workflow_id)))
     LEFT JOIN powertools.steps s ON (((s.workflow_id = e.workflow_id) AND (s."position" = e."position"))));


--
-- Name: previews; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.previews (
    id bigint NOT NULL,
    status text DEFAULT 'ready'::text NOT NULL,
    actor_id text NOT NULL,
    action text NOT NULL,
    target_type text NOT NULL,
    target_id text NOT NULL,
    arguments json NOT NULL,
    incident_fingerprint text,
    nonce bytea DEFAULT (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) NOT NULL,
    token_hash bytea,
    plan_hash text NOT NULL,
    plan jsonb NOT NULL,
    written json NOT NULL,
    inserted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT preview_ended CHECK (((ended_at IS NULL) = (status = 'ready'::text))),
    CONSTRAINT preview_status CHECK ((status = ANY (ARRAY['ready'::text, 'consumed'::text, 'drifted'::text, 'expired'::text])))
);


--
-- Name: previews_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.previews ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.previews_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: prune_runs; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.prune_runs (
    id bigint NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    actor text,
    reason text NOT NULL,
    outcome text,
    error text,
    archived jsonb DEFAULT '{}'::jsonb NOT NULL,
    pruned jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT prune_run_ended CHECK ((((finished_at IS NULL) = (outcome IS NULL)) AND (outcome = ANY (ARRAY['done'::text, 'failed'::text])) AND ((outcome = 'failed'::text) = (error IS NOT NULL))))
)
WITH (fillfactor='50');


--
-- Name: prune_runs_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.prune_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.prune_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: repair_secret; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.repair_secret (
    only_one boolean DEFAULT true NOT NULL,
    secret bytea NOT NULL,
    CONSTRAINT repair_secret_only_one_check CHECK (only_one)
);


--
-- Name: rescues_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.rescues ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.rescues_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: settings; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.settings (
    name text NOT NULL,
    value jsonb NOT NULL,
    changed_at timestamp with time zone,
    changed_by text,
    CONSTRAINT setting_changed CHECK (((changed_at IS NOT NULL) OR (changed_by IS NULL))),
    CONSTRAINT setting_value CHECK (
CASE
    WHEN (name = 'rescue'::text) THEN (jsonb_typeof(value) = 'object'::text)
    WHEN (name ~~ 'retention.%'::text) THEN (jsonb_typeof(value) = ANY (ARRAY['number'::text, 'null'::text]))
    ELSE (jsonb_typeof(value) = 'number'::text)
END)
);


--
-- Name: signals_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.signals ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.signals_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: step_states; Type: VIEW; Schema: powertools; Owner: -
--

CREATE VIEW powertools.step_states AS
 SELECT s.workflow_id,
    s."position",
    s.name,
    s.kind,
    s.worker,
    s.queue,
    s.effects,
    s.generation,
    s.pending,
    s.cause,
    s.job_id,
    s.wait_id,
    s.child_id,
    s.cancel_requested_at,
    s.held_until,
    s.hold_reason,
    COALESCE((j.state)::text, s.state) AS state,
    COALESCE((j.attempt)::integer, s.attempt) AS attempt,
    COALESCE(j.max_attempts, s.max_attempts) AS max_attempts,
    ((s.state = 'available'::text) AND (j.id IS NULL)) AS job_missing,
    s.parents,
    s.continue_parents,
    s.children,
    s.continue_children,
    s.depth,
    COALESCE(j.args, s.args) AS args,
    s.template,
    s.result,
    COALESCE((j.errors -> '-1'::integer), s.error) AS error,
    COALESCE((j.inserted_at AT TIME ZONE 'UTC'::text), s.released_at) AS released_at,
    (j.scheduled_at AT TIME ZONE 'UTC'::text) AS scheduled_at,
    COALESCE((j.attempted_at AT TIME ZONE 'UTC'::text), s.started_at) AS started_at,
    s.finished_at
   FROM (powertools.steps s
     LEFT JOIN public.oban_jobs j ON (((s.state = 'available'::text) AND (j.id = s.job_id) AND powertools.is_job_of_v1(j.meta, s.workflow_id, s."position"))));


--
-- Name: sweep_parts; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.sweep_parts (
    name text NOT NULL,
    succeeded_at timestamp with time zone
)
WITH (fillfactor='25');


--
-- Name: waits_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.waits ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.waits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: webhook_deliveries; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.webhook_deliveries (
    endpoint_id bigint NOT NULL,
    cursor bigint NOT NULL,
    message jsonb NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    attempted_at timestamp with time zone,
    status smallint,
    error text,
    finished_at timestamp with time zone,
    CONSTRAINT webhook_delivery_state CHECK ((((state = 'pending'::text) AND (finished_at IS NULL)) OR ((state = ANY (ARRAY['delivered'::text, 'dead'::text])) AND (finished_at IS NOT NULL))))
);


--
-- Name: webhook_endpoints_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.webhook_endpoints ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.webhook_endpoints_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: webhook_secrets; Type: TABLE; Schema: powertools; Owner: -
--

CREATE TABLE powertools.webhook_secrets (
    endpoint_id bigint NOT NULL,
    place smallint NOT NULL,
    secret text NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT webhook_secret_place CHECK ((((place = 1) AND (expires_at IS NULL)) OR ((place = 2) AND (expires_at IS NOT NULL))))
);


--
-- Name: workflows_id_seq; Type: SEQUENCE; Schema: powertools; Owner: -
--

ALTER TABLE powertools.workflows ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME powertools.workflows_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: oban_jobs_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.oban_jobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.oban_jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: oban_leaders; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.oban_leaders (
    name text DEFAULT 'oban'::text NOT NULL,
    node text NOT NULL,
    elected_at timestamp without time zone NOT NULL,
    expires_at timestamp without time zone NOT NULL
);


--
-- Name: oban_producers; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.oban_producers (
    uuid uuid NOT NULL,
    name text DEFAULT 'oban'::text NOT NULL,
    node text NOT NULL,
    queue text NOT NULL,
    meta jsonb DEFAULT '{}'::jsonb NOT NULL,
    started_at timestamp without time zone DEFAULT timezone('UTC'::text, now()) NOT NULL,
    updated_at timestamp without time zone DEFAULT timezone('UTC'::text, now()) NOT NULL
);


--
-- Data for Name: archive; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: audit; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.audit OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-30 10:13:10.931676+00', 'ana', 'user', NULL, 'step_hold', 'step', '5/c', 5, 'c', 'not before the audit', 'executed', '{"step": {"name": "c", "state": "pending", "attempt": 0, "generation": 1}, "workflow": {"open": 3, "state": "running", "failed": 0, "generation": 1}}', '{"held": 1, "step": {"name": "c", "state": "pending", "attempt": 0, "generation": 1, "held_until": "2036-11-27T10:13:10.92765+00:00", "hold_reason": "not before the audit"}, "workflow": {"open": 3, "state": "running", "failed": 0, "generation": 1}}', NULL, NULL, NULL, 'api', NULL, '{}');


--
-- Data for Name: audit_chain; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.audit_chain VALUES (true, 0, '\x', NULL, NULL, NULL, NULL, 1, '90 days');


--
-- Data for Name: audit_links; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.audit_links VALUES (1, 1, '\x69ff4ae3dcb13046b42d0b7923e789479060240f45059ebe9ccf8de941ae2808');


--
-- Data for Name: audit_seals; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.audit_seals VALUES (1, '2026-11-30 10:13:11.810211+00', '2027-02-28 10:13:11.810211+00', 1, 1, 1, '{[1,2)}', '\x', '\x9e742dbcf58f4a2325a95459d6e2310b4477e3453fc1dda4143a64fb66a3aab6');


--
-- Data for Name: bulk_items; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: bulks; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: callbacks; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: deferred_starts; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: event_batches; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (1, 1, 1, '{1}', '{1}', '{1}', '2026-11-30 10:13:10.755884+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (2, 2, 1, '{2}', '{1}', '{1}', '2026-11-30 10:13:10.786308+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (3, 3, 1, '{3}', '{1}', '{1}', '2026-11-30 10:13:10.801858+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (4, 4, 1, '{4}', '{1}', '{1}', '2026-11-30 10:13:10.82194+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (5, 5, 1, '{5}', '{1}', '{1}', '2026-11-30 10:13:10.834228+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (6, 8, 3, '{1}', '{2}', '{4}', '2026-11-30 10:13:10.836444+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (7, 9, 1, '{6}', '{1}', '{1}', '2026-11-30 10:13:10.8595+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (8, 10, 1, '{7}', '{1}', '{1}', '2026-11-30 10:13:10.867965+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (9, 13, 3, '{2}', '{2}', '{4}', '2026-11-30 10:13:10.872834+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (10, 14, 1, '{9}', '{1}', '{1}', '2026-11-30 10:13:10.881857+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (11, 15, 1, '{10}', '{1}', '{1}', '2026-11-30 10:13:10.899138+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (12, 24, 9, '{1,3,4}', '{5,2,2}', '{7,4,4}', '2026-11-30 10:13:10.901745+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (13, 25, 1, '{}', '{}', '{}', '2026-11-30 10:13:10.934486+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (14, 34, 9, '{5,6,7}', '{2,2,2}', '{4,4,4}', '2026-11-30 10:13:10.940646+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (15, 35, 1, '{8}', '{1}', '{1}', '2026-11-30 10:13:10.941888+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (16, 36, 1, '{6}', '{5}', '{5}', '2026-11-30 10:13:10.947146+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (17, 44, 8, '{1,9,10}', '{8,2,2}', '{9,4,4}', '2026-11-30 10:13:10.960504+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (18, 47, 3, '{11}', '{1}', '{3}', '2026-11-30 10:13:10.96838+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (19, 48, 1, '{1}', '{10}', '{10}', '2026-11-30 10:13:10.96962+00');
INSERT INTO powertools.event_batches OVERRIDING SYSTEM VALUE VALUES (20, 51, 3, '{8}', '{2}', '{4}', '2026-11-30 10:13:10.975603+00');


--
-- Data for Name: event_log; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.event_log VALUES (true, 51, 0);


--
-- Data for Name: events; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.events VALUES (1, 1, 0, 1, 1, '2026-11-30 10:13:10.751598+00', 1, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (2, 1, 0, 2, 1, '2026-11-30 10:13:10.78628+00', 2, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (3, 1, 0, 3, 1, '2026-11-30 10:13:10.801787+00', 3, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (4, 1, 0, 4, 1, '2026-11-30 10:13:10.821897+00', 4, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (5, 1, 0, 5, 1, '2026-11-30 10:13:10.834187+00', 6, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 2, 0, 6, 1, '2026-11-30 10:13:10.788955+00', 1, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 3, 0, 6, 2, '2026-11-30 10:13:10.83642+00', 1, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 4, 1, 6, 3, '2026-11-30 10:13:10.836425+00', 5, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (6, 1, 0, 7, 1, '2026-11-30 10:13:10.859432+00', 7, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (7, 1, 0, 8, 1, '2026-11-30 10:13:10.867922+00', 8, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (2, 2, 0, 9, 1, '2026-11-30 10:13:10.798238+00', 2, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (2, 3, 0, 9, 2, '2026-11-30 10:13:10.872816+00', 2, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (2, 4, 1, 9, 3, '2026-11-30 10:13:10.87282+00', 9, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (9, 1, 0, 10, 1, '2026-11-30 10:13:10.881816+00', 10, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (10, 1, 0, 11, 1, '2026-11-30 10:13:10.899091+00', 12, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 5, 1, 12, 3, '2026-11-30 10:13:10.843137+00', 5, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 6, 1, 12, 6, '2026-11-30 10:13:10.901684+00', 5, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 7, 2, 12, 7, '2026-11-30 10:13:10.901689+00', 11, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (3, 2, 0, 12, 1, '2026-11-30 10:13:10.843097+00', 3, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (3, 3, 0, 12, 4, '2026-11-30 10:13:10.901711+00', 3, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (3, 4, 1, 12, 8, '2026-11-30 10:13:10.901714+00', NULL, 0, false, false, 'awaiting', 'awaiting_signal', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (4, 2, 0, 12, 2, '2026-11-30 10:13:10.843131+00', 4, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (4, 3, 0, 12, 5, '2026-11-30 10:13:10.901729+00', 4, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (4, 4, 1, 12, 9, '2026-11-30 10:13:10.901732+00', 13, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (5, 2, 0, 14, 1, '2026-11-30 10:13:10.882213+00', 6, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (5, 3, 0, 14, 4, '2026-11-30 10:13:10.939661+00', 6, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (5, 4, 1, 14, 8, '2026-11-30 10:13:10.939666+00', 14, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (6, 2, 0, 14, 2, '2026-11-30 10:13:10.882249+00', 7, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (6, 3, 0, 14, 5, '2026-11-30 10:13:10.939688+00', 7, 1, false, false, 'discarded', 'discarded', 'RuntimeError: mail is broken', NULL, NULL);
INSERT INTO powertools.events VALUES (6, 4, 1, 14, 7, '2026-11-30 10:13:10.940545+00', NULL, 0, false, false, 'cancelled', 'cancelled', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (7, 2, 0, 14, 3, '2026-11-30 10:13:10.882255+00', 8, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (7, 3, 0, 14, 6, '2026-11-30 10:13:10.940624+00', 8, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (7, 4, 1, 14, 9, '2026-11-30 10:13:10.940628+00', NULL, 0, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (8, 1, 0, 15, 1, '2026-11-30 10:13:10.94185+00', 15, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (6, 5, NULL, 16, 1, '2026-11-30 10:13:10.947086+00', NULL, NULL, false, false, 'finished', 'failed', NULL, 1, '{b,c}');
INSERT INTO powertools.events VALUES (1, 8, 2, 17, 2, '2026-11-30 10:13:10.914714+00', 11, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 9, 2, 17, 5, '2026-11-30 10:13:10.960412+00', 11, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (9, 2, 0, 17, 1, '2026-11-30 10:13:10.914672+00', 10, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (9, 3, 0, 17, 4, '2026-11-30 10:13:10.960451+00', 10, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (9, 4, 1, 17, 7, '2026-11-30 10:13:10.960454+00', NULL, 0, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (10, 2, 0, 17, 3, '2026-11-30 10:13:10.914719+00', 12, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (10, 3, 0, 17, 6, '2026-11-30 10:13:10.96048+00', 12, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (10, 4, 1, 17, 8, '2026-11-30 10:13:10.960484+00', 16, 0, false, false, 'released', 'scheduled', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (11, 1, 0, 18, 1, '2026-11-30 10:13:10.968322+00', 17, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (11, 2, 1, 18, 2, '2026-11-30 10:13:10.968361+00', 18, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (11, 3, 2, 18, 3, '2026-11-30 10:13:10.968367+00', 19, 0, false, false, 'released', 'available', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (1, 10, NULL, 19, 1, '2026-11-30 10:13:10.969582+00', NULL, NULL, false, false, 'finished', 'completed', NULL, 1, '{}');
INSERT INTO powertools.events VALUES (8, 2, 0, 20, 1, '2026-11-30 10:13:10.952042+00', 15, 1, false, false, 'started', 'executing', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (8, 3, 0, 20, 2, '2026-11-30 10:13:10.97559+00', 15, 1, true, false, 'completed', 'completed', NULL, NULL, NULL);
INSERT INTO powertools.events VALUES (8, 4, 1, 20, 3, '2026-11-30 10:13:10.975594+00', 20, 0, false, false, 'released', 'available', NULL, NULL, NULL);


--
-- Data for Name: executors; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.executors VALUES ('app:oban:default:vm.18413:f650c292-bdab-4b6c-9ce4-6fd4386ec72a', 'vm.18413', 'f650c292-bdab-4b6c-9ce4-6fd4386ec72a', 'default', '2026-11-30 10:13:10.706362+00', '2026-11-30 10:13:16.731685+00', '2026-11-30 10:13:13.726791+00', '2026-11-30 10:13:10.706362+00', '00:00:15', '00:00:45', '00:02:00', '{}', 0, NULL, '2026-11-30 10:13:18.966618+00', false, '049b16fcb229e2c86676b6a8b646907b', 18413, 3852857, 18433, NULL, NULL, NULL, 'healthy', NULL, NULL);


--
-- Data for Name: incident_classes; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.incident_classes VALUES ('executor_late', 'detect_executors', 'executor_late_holds', 'it beats in time, has stopped, was replaced or removed, or is missing by now', 'executor_concerns');
INSERT INTO powertools.incident_classes VALUES ('executor_missing', 'detect_executors', NULL, 'it beats again, has stopped, was replaced or removed, or has been missing for a day', 'executor_concerns');
INSERT INTO powertools.incident_classes VALUES ('dead_executor', 'detect_executors', NULL, 'it has no job in hand any more', 'executor_concerns');
INSERT INTO powertools.incident_classes VALUES ('orphaned_jobs', 'detect_orphans', 'orphaned_jobs_holds', 'none of the jobs is executing any more, or their executor is known', 'orphaned_jobs_concerns');
INSERT INTO powertools.incident_classes VALUES ('workflow_stuck', 'detect_stuck', NULL, 'it can move again', 'workflow_stuck_concerns');
INSERT INTO powertools.incident_classes VALUES ('wait_overdue', 'detect_overdue_waits', 'wait_overdue_holds', 'the waits have ended', 'wait_overdue_concerns');
INSERT INTO powertools.incident_classes VALUES ('webhook_unserved', 'detect_unserved_webhooks', NULL, 'somebody works on its deliveries, there is none left, or it was disabled or removed', 'evidence_concerns');
INSERT INTO powertools.incident_classes VALUES ('unclaimed_signal', 'detect_unclaimed_signals', 'unclaimed_signal_holds', 'each was taken or has expired, or a day has passed', 'evidence_concerns');
INSERT INTO powertools.incident_classes VALUES ('poison_job', 'detect_poison', 'poison_job_holds', 'the job is not quarantined any more', 'evidence_concerns');
INSERT INTO powertools.incident_classes VALUES ('failing_jobs', 'detect_failing_jobs', NULL, 'no job has failed like this for the whole window', 'failing_jobs_concerns');
INSERT INTO powertools.incident_classes VALUES ('hung_jobs', 'detect_hung_jobs', 'hung_jobs_holds', 'each of these attempts has ended, or its executor is gone', 'hung_jobs_concerns');
INSERT INTO powertools.incident_classes VALUES ('queue_late', 'detect_late_queues', NULL, 'its oldest due job has not waited for so long, or nobody works on the queue any more', 'queue_late_concerns');
INSERT INTO powertools.incident_classes VALUES ('worker_not_importable', 'detect_not_importable', 'worker_not_importable_holds', 'none of the jobs waits for it any more', 'worker_not_importable_concerns');
INSERT INTO powertools.incident_classes VALUES ('late_result', 'detect_late_results', 'late_result_holds', 'each was adopted or dismissed, or the job has a result of its own', 'late_result_concerns');
INSERT INTO powertools.incident_classes VALUES ('outside_edit', 'detect_outside_edits', NULL, 'it was undone, or happened a day ago', 'outside_edit_concerns');
INSERT INTO powertools.incident_classes VALUES ('bookkeeping_fault', 'detect_settle_faults', 'bookkeeping_fault_holds', 'every job was settled', 'bookkeeping_fault_concerns');
INSERT INTO powertools.incident_classes VALUES ('callback_failed', 'detect_failed_callbacks', 'callback_failed_holds', 'none of the callbacks is discarded any more', 'callback_failed_concerns');


--
-- Data for Name: incident_entries; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: incident_projection; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.incident_projection VALUES (true, '2026-11-30 10:13:15.873634+00', 0);


--
-- Data for Name: incidents; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: late_results; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: migrations; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.migrations VALUES (1, 'workflows', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (2, 'events', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (5, 'triggers', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (7, 'sweep', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (8, 'signals', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (14, 'webhooks', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (15, 'executors', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (16, 'audit', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (17, 'incidents', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (18, 'repairs', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (19, 'retention', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (3, 'settle', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (20, 'before_release', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (21, 'audited', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (22, 'settings', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (23, 'classes_and_callbacks', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (24, 'compatible', '2026-11-30 10:13:10.353495+00', NULL);
INSERT INTO powertools.migrations VALUES (13, 'finding', '2026-11-30 10:13:10.607947+00', NULL);


--
-- Data for Name: notices; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.notices VALUES (13, 1, 25, '2026-11-30 10:13:10.933933+00', 'audit', '1', 'repair.executed', '{"code": null, "step": "c", "actor": "ana", "action": "step_hold", "reason": "not before the audit", "surface": "api", "target_id": "5/c", "actor_type": "user", "incident_id": null, "target_type": "step", "workflow_id": 5}');


--
-- Data for Name: previews; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: prune_runs; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: repair_secret; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: rescues; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: settings; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.settings VALUES ('rescue', '{}', NULL, NULL);
INSERT INTO powertools.settings VALUES ('events_kept_for', '604800', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.audit', '31536000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.bulks', '604800', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.archive', 'null', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.rescues', '2592000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.signals', '2592000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.previews', '604800', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_hung_after', '300', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.executors', '604800', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.incidents', '7776000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.workflows', '2592000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_failing_for', '600', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_hung_factor', '10', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_stuck_after', '300', NULL, NULL);
INSERT INTO powertools.settings VALUES ('rescue_unknown_after', '300', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.prune_runs', '31536000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_failing_count', '5', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.late_results', '7776000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('retention.settle_faults', '2592000', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_unclaimed_after', '3600', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_queue_late_after', '600', NULL, NULL);
INSERT INTO powertools.settings VALUES ('incident_hung_unknown_after', '7200', NULL, NULL);


--
-- Data for Name: settle_faults; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: signals; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.signals OVERRIDING SYSTEM VALUE VALUES (1, 'early', 'k', NULL, NULL, '{"told": "early"}', 'stored', NULL, NULL, '2026-11-30 10:13:10.910511+00', NULL, NULL, NULL, true);


--
-- Data for Name: steps; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.steps VALUES (2, 0, 0, 1, 2, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.776932+00', '2026-11-30 10:13:10.794062+00', '2026-11-30 10:13:10.865471+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (2, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (3, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (1, 2, 0, 1, 11, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.88815+00', '2026-11-30 10:13:10.912741+00', '2026-11-30 10:13:10.956928+00', '[1, 2, 3]', NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (4, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'signal', 1, 0, 2, 's', NULL, NULL, 'ask', '{"signal": "early", "correlation_key": "k"}', NULL, '{1}', '{3}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (4, 3, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 3, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [2, "result", []], "}"]', '{2}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (1, 0, 0, 1, 1, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.723907+00', '2026-11-30 10:13:10.777598+00', '2026-11-30 10:13:10.823161+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (2, 1, 0, 1, 9, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 1, 'b', 'tests.released.work.Echo', 'later', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (3, 0, 0, 1, 3, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.791459+00', '2026-11-30 10:13:10.841089+00', '2026-11-30 10:13:10.889953+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (4, 0, 0, 1, 4, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.812864+00', '2026-11-30 10:13:10.841089+00', '2026-11-30 10:13:10.890102+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (1, 1, 0, 1, 5, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.806966+00', '2026-11-30 10:13:10.841089+00', '2026-11-30 10:13:10.890115+00', '[1, 2, 3]', NULL, 'job', 20, 0, 1, 'b', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (3, 1, 0, 1, NULL, 1, NULL, 0, 'awaiting_signal', NULL, NULL, '2026-11-30 10:13:10.88815+00', NULL, NULL, NULL, NULL, 'signal', 1, 0, 1, 'b', NULL, NULL, 'ask', '{"signal": "go", "correlation_key": "k"}', NULL, '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (4, 1, 0, 1, 13, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 1, 'b', 'tests.released.work.Echo', 'later', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (10, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (5, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2036-11-27 10:13:10.92765+00', 'not before the audit');
INSERT INTO powertools.steps VALUES (5, 0, 0, 1, 6, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.828911+00', '2026-11-30 10:13:10.878831+00', '2026-11-30 10:13:10.936562+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (5, 1, 0, 1, 14, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 1, 'b', 'tests.released.work.Echo', 'later', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (10, 0, 0, 1, 12, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.884935+00', '2026-11-30 10:13:10.912741+00', '2026-11-30 10:13:10.956944+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (10, 1, 0, 1, 16, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 1, 'b', 'tests.released.work.Echo', 'default', 'ask', '{"x": 1}', NULL, '{0}', '{2}', NULL, NULL, NULL, NULL, '2027-11-30 10:13:10.712046+00', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (11, 0, 0, 1, 17, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 0, 'b[0]', 'tests.released.work.Item', 'later', 'ask', '{"item": 1}', NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (11, 1, 0, 1, 18, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 0, 'b[1]', 'tests.released.work.Item', 'later', 'ask', '{"item": 2}', NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (11, 2, 0, 1, 19, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 0, 'b[2]', 'tests.released.work.Item', 'later', 'ask', '{"item": 3}', NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (9, 0, 0, 1, 10, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.875424+00', '2026-11-30 10:13:10.912741+00', '2026-11-30 10:13:10.956771+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (7, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (9, 1, 0, 1, NULL, NULL, 11, 0, 'executing', NULL, NULL, '2026-11-30 10:13:10.954384+00', NULL, NULL, NULL, NULL, 'map', 20, 0, 1, 'b', 'tests.released.work.Item', 'later', 'ask', NULL, '["{\"over\":", [0, "result", []], "}"]', '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '["{\"item\":", [-1, "item", []], "}"]', 0, NULL, NULL);
INSERT INTO powertools.steps VALUES (9, 2, 1, 1, NULL, NULL, NULL, 0, 'pending', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 2, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [1, "result", []], "}"]', '{1}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (8, 0, 0, 1, 15, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.921223+00', '2026-11-30 10:13:10.949641+00', '2026-11-30 10:13:10.974795+00', '7', NULL, 'job', 20, 0, 0, 'x', 'tests.released.work.Echo', 'default', 'ask', '{"x": 7}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (6, 0, 0, 1, 7, NULL, NULL, 1, 'discarded', NULL, NULL, '2026-11-30 10:13:10.844551+00', '2026-11-30 10:13:10.878831+00', '2026-11-30 10:13:10.936734+00', NULL, '{"at": "2026-11-30T10:13:10.893976+00:00", "text": "mail is broken", "class": "RuntimeError", "error": "Traceback (most recent call last):\n  File \"/srv/app/src/oban_powertools/runtime/oban_attempts.py\", line 116, in _process\n    self.result = await self._perform(self.worker)\n                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/app/.venv/lib/python3.13/site-packages/oban/_executor.py\", line 116, in _perform\n    return await worker.process(self.job)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/app/tests/released/work.py\", line 23, in process\n    raise RuntimeError(f\"{job.args[''needs'']} is broken\")\nRuntimeError: mail is broken\n", "attempt": 1}', 'job', 1, 0, 0, 'b', 'tests.released.work.FailUntilMended', 'default', 'ask', '{"needs": "mail"}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (7, 0, 0, 1, 8, NULL, NULL, 1, 'completed', NULL, NULL, '2026-11-30 10:13:10.863259+00', '2026-11-30 10:13:10.878831+00', '2026-11-30 10:13:10.937474+00', '[1, 2, 3]', NULL, 'job', 20, 0, 0, 'a', 'tests.released.work.Echo', 'default', 'ask', '{"x": [1, 2, 3]}', NULL, '{}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (6, 1, 1, 1, NULL, NULL, NULL, 0, 'cancelled', 'cancelled_by_dependency', NULL, NULL, NULL, '2026-11-30 10:13:10.938574+00', NULL, NULL, 'job', 20, 0, 1, 'c', 'tests.released.work.Echo', 'default', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (7, 1, 0, 1, NULL, NULL, 8, 0, 'executing', NULL, NULL, '2026-11-30 10:13:10.921223+00', NULL, NULL, NULL, NULL, 'workflow', 1, 0, 1, 'b', NULL, NULL, 'ask', '{}', NULL, '{0}', '{2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO powertools.steps VALUES (8, 1, 0, 1, 20, NULL, NULL, 0, 'available', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'job', 20, 0, 1, 'y', 'tests.released.work.Echo', 'later', 'ask', NULL, '["{\"x\":", [0, "result", []], "}"]', '{0}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);


--
-- Data for Name: sweep_parts; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.sweep_parts VALUES ('retention', NULL);
INSERT INTO powertools.sweep_parts VALUES ('repair_settle_faults', '2026-11-30 10:13:15.878643+00');
INSERT INTO powertools.sweep_parts VALUES ('match_signals', '2026-11-30 10:13:15.878651+00');
INSERT INTO powertools.sweep_parts VALUES ('expire_waits', '2026-11-30 10:13:15.878652+00');
INSERT INTO powertools.sweep_parts VALUES ('expire_workflows', '2026-11-30 10:13:15.878653+00');
INSERT INTO powertools.sweep_parts VALUES ('cancel_stopping_jobs', '2026-11-30 10:13:15.878654+00');
INSERT INTO powertools.sweep_parts VALUES ('expire_holds', '2026-11-30 10:13:15.878655+00');
INSERT INTO powertools.sweep_parts VALUES ('analyze_outgrown', '2026-11-30 10:13:15.878655+00');
INSERT INTO powertools.sweep_parts VALUES ('reconcile', '2026-11-30 10:13:15.878656+00');
INSERT INTO powertools.sweep_parts VALUES ('rescue', '2026-11-30 10:13:15.878657+00');
INSERT INTO powertools.sweep_parts VALUES ('project_incidents', '2026-11-30 10:13:15.878657+00');
INSERT INTO powertools.sweep_parts VALUES ('keep_events', '2026-11-30 10:13:15.878658+00');
INSERT INTO powertools.sweep_parts VALUES ('seal_audit', '2026-11-30 10:13:15.878659+00');
INSERT INTO powertools.sweep_parts VALUES ('dispatch_webhooks', '2026-11-30 10:13:15.878659+00');


--
-- Data for Name: waits; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.waits OVERRIDING SYSTEM VALUE VALUES (1, 3, 1, 1, 'waiting', 'go', 'k', NULL, '2026-11-30 10:13:10.903048+00', NULL, true);


--
-- Data for Name: webhook_deliveries; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: webhook_endpoints; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: webhook_secrets; Type: TABLE DATA; Schema: powertools; Owner: -
--



--
-- Data for Name: workflows; Type: TABLE DATA; Schema: powertools; Owner: -
--

INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (2, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'chain', '{}', '{}', NULL, NULL, NULL, 'cf17a1fb', '{"args": {"x": "told"}, "meta": {}, "tags": [], "queue": "later", "worker": "tests.released.work.Echo", "priority": 0, "max_attempts": 20, "scheduled_at": null}', NULL, NULL, '2026-11-30 10:13:10.776932+00', 2, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (3, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'waiting', '{}', '{}', NULL, NULL, NULL, '08660acf', NULL, NULL, NULL, '2026-11-30 10:13:10.791459+00', 3, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (4, 'running', 1, 4, 3, 0, 0, NULL, NULL, NULL, NULL, 2, 'early', '{}', '{}', NULL, NULL, NULL, '041e5cfd', NULL, NULL, NULL, '2026-11-30 10:13:10.812864+00', 4, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (5, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'held', '{}', '{}', NULL, NULL, NULL, '38d836d2', NULL, NULL, NULL, '2026-11-30 10:13:10.828911+00', 5, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (7, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'nested', '{}', '{}', NULL, NULL, NULL, '5cd4579b', NULL, NULL, NULL, '2026-11-30 10:13:10.863259+00', 7, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (6, 'failed', 1, 2, 0, 2, 0, false, '2026-11-30 10:13:10.942493+00', NULL, NULL, 2, 'failed', '{}', '{}', NULL, NULL, NULL, 'ec592274', NULL, NULL, NULL, '2026-11-30 10:13:10.844551+00', 6, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (11, 'running', 1, 3, 3, 0, 0, NULL, NULL, NULL, NULL, 2, 'mapped/b', '{}', '{}', NULL, NULL, NULL, '524a06a7', NULL, NULL, NULL, '2026-11-30 10:13:10.954384+00', 9, 9, 1, 0);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (1, 'completed', 1, 3, 0, 0, 0, NULL, '2026-11-30 10:13:10.968735+00', NULL, NULL, 2, 'finished', '{}', '{}', NULL, NULL, NULL, '98c0dc3e', NULL, NULL, NULL, '2026-11-30 10:13:10.723907+00', 1, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (9, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'mapped', '{}', '{}', NULL, NULL, NULL, '524a06a7', NULL, NULL, NULL, '2026-11-30 10:13:10.875424+00', 9, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (10, 'running', 1, 3, 2, 0, 0, NULL, NULL, NULL, NULL, 2, 'delayed', '{}', '{}', NULL, NULL, NULL, '643d02af', NULL, NULL, NULL, '2026-11-30 10:13:10.884935+00', 10, NULL, NULL, NULL);
INSERT INTO powertools.workflows OVERRIDING SYSTEM VALUE VALUES (8, 'running', 1, 2, 1, 0, 0, NULL, NULL, NULL, NULL, 2, 'inner', '{}', '{}', NULL, NULL, NULL, '34962df7', NULL, NULL, NULL, '2026-11-30 10:13:10.863259+00', 7, 7, 1, NULL);


--
-- Data for Name: oban_jobs; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (1, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "98c0dc3e", "step": "a", "position": 0, "workflow_id": 1, "workflow_name": "finished"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.723907', '2026-11-30 10:13:10.723907', '2026-11-30 10:13:10.777598', NULL, '2026-11-30 10:13:10.806966', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (2, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "cf17a1fb", "step": "a", "position": 0, "workflow_id": 2, "workflow_name": "chain"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.776932', '2026-11-30 10:13:10.776932', '2026-11-30 10:13:10.794062', NULL, '2026-11-30 10:13:10.849048', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (9, 'available', 'later', 'tests.released.work.Echo', 0, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "cf17a1fb", "step": "b", "position": 1, "workflow_id": 2, "workflow_name": "chain"}', '{}', '[]', '{}', '2026-11-30 10:13:10.849048', '2026-11-30 10:13:10.849048', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (3, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "08660acf", "step": "a", "position": 0, "workflow_id": 3, "workflow_name": "waiting"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.791459', '2026-11-30 10:13:10.791459', '2026-11-30 10:13:10.841089', NULL, '2026-11-30 10:13:10.88815', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (4, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "041e5cfd", "step": "a", "position": 0, "workflow_id": 4, "workflow_name": "early"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.812864', '2026-11-30 10:13:10.812864', '2026-11-30 10:13:10.841089', NULL, '2026-11-30 10:13:10.88815', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (5, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "98c0dc3e", "step": "b", "position": 1, "workflow_id": 1, "workflow_name": "finished"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.806966', '2026-11-30 10:13:10.806966', '2026-11-30 10:13:10.841089', NULL, '2026-11-30 10:13:10.88815', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (6, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "38d836d2", "step": "a", "position": 0, "workflow_id": 5, "workflow_name": "held"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.828911', '2026-11-30 10:13:10.828911', '2026-11-30 10:13:10.878831', NULL, '2026-11-30 10:13:10.921223', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (7, 'discarded', 'default', 'tests.released.work.FailUntilMended', 1, 1, 0, '{"needs": "mail"}', '{"uid": "ec592274", "step": "b", "position": 0, "workflow_id": 6, "workflow_name": "failed"}', '{}', '[{"at": "2026-11-30T10:13:10.893976+00:00", "text": "mail is broken", "class": "RuntimeError", "error": "Traceback (most recent call last):\n  File \"/srv/app/src/oban_powertools/runtime/oban_attempts.py\", line 116, in _process\n    self.result = await self._perform(self.worker)\n                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/app/.venv/lib/python3.13/site-packages/oban/_executor.py\", line 116, in _perform\n    return await worker.process(self.job)\n           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  File \"/srv/app/tests/released/work.py\", line 23, in process\n    raise RuntimeError(f\"{job.args[''needs'']} is broken\")\nRuntimeError: mail is broken\n", "attempt": 1}]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.844551', '2026-11-30 10:13:10.844551', '2026-11-30 10:13:10.878831', NULL, NULL, '2026-11-30 10:13:10.921223');
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (8, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "5cd4579b", "step": "a", "position": 0, "workflow_id": 7, "workflow_name": "nested"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.863259', '2026-11-30 10:13:10.863259', '2026-11-30 10:13:10.878831', NULL, '2026-11-30 10:13:10.921223', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (10, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "524a06a7", "step": "a", "position": 0, "workflow_id": 9, "workflow_name": "mapped"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.875424', '2026-11-30 10:13:10.875424', '2026-11-30 10:13:10.912741', NULL, '2026-11-30 10:13:10.954384', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (12, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "643d02af", "step": "a", "position": 0, "workflow_id": 10, "workflow_name": "delayed"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.884935', '2026-11-30 10:13:10.884935', '2026-11-30 10:13:10.912741', NULL, '2026-11-30 10:13:10.954384', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (16, 'scheduled', 'default', 'tests.released.work.Echo', 0, 20, 0, '{"x": 1}', '{"uid": "643d02af", "step": "b", "position": 1, "workflow_id": 10, "workflow_name": "delayed"}', '{}', '[]', '{}', '2026-11-30 10:13:10.954384', '2027-11-30 10:13:10.712046', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (17, 'available', 'later', 'tests.released.work.Item', 0, 20, 0, '{"item": 1}', '{"uid": "524a06a7", "step": "b[0]", "position": 0, "workflow_id": 11, "workflow_name": "mapped/b"}', '{}', '[]', '{}', '2026-11-30 10:13:10.954384', '2026-11-30 10:13:10.954384', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (18, 'available', 'later', 'tests.released.work.Item', 0, 20, 0, '{"item": 2}', '{"uid": "524a06a7", "step": "b[1]", "position": 1, "workflow_id": 11, "workflow_name": "mapped/b"}', '{}', '[]', '{}', '2026-11-30 10:13:10.954384', '2026-11-30 10:13:10.954384', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (19, 'available', 'later', 'tests.released.work.Item', 0, 20, 0, '{"item": 3}', '{"uid": "524a06a7", "step": "b[2]", "position": 2, "workflow_id": 11, "workflow_name": "mapped/b"}', '{}', '[]', '{}', '2026-11-30 10:13:10.954384', '2026-11-30 10:13:10.954384', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (13, 'available', 'later', 'tests.released.work.Echo', 0, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "041e5cfd", "step": "b", "position": 1, "workflow_id": 4, "workflow_name": "early"}', '{}', '[]', '{}', '2026-11-30 10:13:10.88815', '2026-11-30 10:13:10.88815', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (14, 'available', 'later', 'tests.released.work.Echo', 0, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "38d836d2", "step": "b", "position": 1, "workflow_id": 5, "workflow_name": "held"}', '{}', '[]', '{}', '2026-11-30 10:13:10.921223', '2026-11-30 10:13:10.921223', NULL, NULL, NULL, NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (11, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": [1, 2, 3]}', '{"uid": "98c0dc3e", "step": "c", "position": 2, "workflow_id": 1, "workflow_name": "finished"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.88815', '2026-11-30 10:13:10.88815', '2026-11-30 10:13:10.912741', NULL, '2026-11-30 10:13:10.954384', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (15, 'completed', 'default', 'tests.released.work.Echo', 1, 20, 0, '{"x": 7}', '{"uid": "34962df7", "step": "x", "position": 0, "workflow_id": 8, "workflow_name": "inner"}', '{}', '[]', '{vm.18413,f650c292-bdab-4b6c-9ce4-6fd4386ec72a}', '2026-11-30 10:13:10.921223', '2026-11-30 10:13:10.921223', '2026-11-30 10:13:10.949641', NULL, '2026-11-30 10:13:10.973967', NULL);
INSERT INTO public.oban_jobs OVERRIDING SYSTEM VALUE VALUES (20, 'available', 'later', 'tests.released.work.Echo', 0, 20, 0, '{"x": 7}', '{"uid": "34962df7", "step": "y", "position": 1, "workflow_id": 8, "workflow_name": "inner"}', '{}', '[]', '{}', '2026-11-30 10:13:10.973967', '2026-11-30 10:13:10.973967', NULL, NULL, NULL, NULL);


--
-- Data for Name: oban_leaders; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: oban_producers; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Name: audit_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.audit_id_seq', 1, true);


--
-- Name: bulks_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.bulks_id_seq', 1, false);


--
-- Name: event_batches_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.event_batches_id_seq', 20, true);


--
-- Name: incident_entries_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.incident_entries_id_seq', 1, false);


--
-- Name: incidents_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.incidents_id_seq', 1, false);


--
-- Name: late_results_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.late_results_id_seq', 1, false);


--
-- Name: previews_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.previews_id_seq', 1, false);


--
-- Name: prune_runs_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.prune_runs_id_seq', 1, false);


--
-- Name: rescues_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.rescues_id_seq', 1, false);


--
-- Name: signals_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.signals_id_seq', 1, true);


--
-- Name: waits_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.waits_id_seq', 1, true);


--
-- Name: webhook_endpoints_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.webhook_endpoints_id_seq', 1, false);


--
-- Name: workflows_id_seq; Type: SEQUENCE SET; Schema: powertools; Owner: -
--

SELECT pg_catalog.setval('powertools.workflows_id_seq', 11, true);


--
-- Name: oban_jobs_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.oban_jobs_id_seq', 20, true);


--
-- Name: archive archive_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.archive
    ADD CONSTRAINT archive_pkey PRIMARY KEY (class, original_id, part);


--
-- Name: audit_chain audit_chain_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.audit_chain
    ADD CONSTRAINT audit_chain_pkey PRIMARY KEY (only_one);


--
-- Name: audit_links audit_links_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.audit_links
    ADD CONSTRAINT audit_links_pkey PRIMARY KEY (audit_id);


--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);


--
-- Name: audit_seals audit_seals_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.audit_seals
    ADD CONSTRAINT audit_seals_pkey PRIMARY KEY (id);


--
-- Name: bulk_items bulk_items_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.bulk_items
    ADD CONSTRAINT bulk_items_pkey PRIMARY KEY (bulk_id, place);


--
-- Name: bulks bulks_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.bulks
    ADD CONSTRAINT bulks_pkey PRIMARY KEY (id);


--
-- Name: bulks bulks_token_hash_key; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.bulks
    ADD CONSTRAINT bulks_token_hash_key UNIQUE (token_hash);


--
-- Name: callbacks callbacks_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.callbacks
    ADD CONSTRAINT callbacks_pkey PRIMARY KEY (workflow_id, generation);


--
-- Name: deferred_starts deferred_starts_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.deferred_starts
    ADD CONSTRAINT deferred_starts_pkey PRIMARY KEY (job_id, attempt);


--
-- Name: event_batches event_batches_last_cursor_key; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.event_batches
    ADD CONSTRAINT event_batches_last_cursor_key UNIQUE (last_cursor);


--
-- Name: event_batches event_batches_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.event_batches
    ADD CONSTRAINT event_batches_pkey PRIMARY KEY (id);


--
-- Name: event_log event_log_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.event_log
    ADD CONSTRAINT event_log_pkey PRIMARY KEY (only_one);


--
-- Name: events events_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (workflow_id, number);


--
-- Name: executors executors_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.executors
    ADD CONSTRAINT executors_pkey PRIMARY KEY (executor_id);


--
-- Name: incident_classes incident_classes_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incident_classes
    ADD CONSTRAINT incident_classes_pkey PRIMARY KEY (name);


--
-- Name: incident_entries incident_entries_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incident_entries
    ADD CONSTRAINT incident_entries_pkey PRIMARY KEY (id);


--
-- Name: incidents incident_fingerprint; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incidents
    ADD CONSTRAINT incident_fingerprint UNIQUE (fingerprint);


--
-- Name: incident_projection incident_projection_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incident_projection
    ADD CONSTRAINT incident_projection_pkey PRIMARY KEY (only_one);


--
-- Name: incidents incidents_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incidents
    ADD CONSTRAINT incidents_pkey PRIMARY KEY (id);


--
-- Name: late_results late_result_once; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.late_results
    ADD CONSTRAINT late_result_once UNIQUE (job_id, attempted_at);


--
-- Name: late_results late_results_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.late_results
    ADD CONSTRAINT late_results_pkey PRIMARY KEY (id);


--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);


--
-- Name: notices notices_cursor_key; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.notices
    ADD CONSTRAINT notices_cursor_key UNIQUE (cursor);


--
-- Name: notices notices_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.notices
    ADD CONSTRAINT notices_pkey PRIMARY KEY (batch_id, place);


--
-- Name: previews previews_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.previews
    ADD CONSTRAINT previews_pkey PRIMARY KEY (id);


--
-- Name: prune_runs prune_runs_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.prune_runs
    ADD CONSTRAINT prune_runs_pkey PRIMARY KEY (id);


--
-- Name: repair_secret repair_secret_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.repair_secret
    ADD CONSTRAINT repair_secret_pkey PRIMARY KEY (only_one);


--
-- Name: rescues rescues_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.rescues
    ADD CONSTRAINT rescues_pkey PRIMARY KEY (id);


--
-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);


--
-- Name: settle_faults settle_faults_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.settle_faults
    ADD CONSTRAINT settle_faults_pkey PRIMARY KEY (job_id);


--
-- Name: signals signals_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.signals
    ADD CONSTRAINT signals_pkey PRIMARY KEY (id);


--
-- Name: steps step_name_unique; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.steps
    ADD CONSTRAINT step_name_unique UNIQUE (name, workflow_id);


--
-- Name: steps steps_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (workflow_id, "position");


--
-- Name: sweep_parts sweep_parts_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.sweep_parts
    ADD CONSTRAINT sweep_parts_pkey PRIMARY KEY (name);


--
-- Name: waits waits_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.waits
    ADD CONSTRAINT waits_pkey PRIMARY KEY (id);


--
-- Name: webhook_deliveries webhook_deliveries_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (endpoint_id, cursor);


--
-- Name: webhook_endpoints webhook_endpoints_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id);


--
-- Name: webhook_secrets webhook_secrets_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.webhook_secrets
    ADD CONSTRAINT webhook_secrets_pkey PRIMARY KEY (endpoint_id, place);


--
-- Name: workflows workflows_pkey; Type: CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.workflows
    ADD CONSTRAINT workflows_pkey PRIMARY KEY (id);


--
-- Name: oban_jobs oban_jobs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oban_jobs
    ADD CONSTRAINT oban_jobs_pkey PRIMARY KEY (id);


--
-- Name: oban_leaders oban_leaders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oban_leaders
    ADD CONSTRAINT oban_leaders_pkey PRIMARY KEY (name);


--
-- Name: oban_producers oban_producers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.oban_producers
    ADD CONSTRAINT oban_producers_pkey PRIMARY KEY (uuid);


--
-- Name: archive_archived_at; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX archive_archived_at ON powertools.archive USING brin (archived_at);


--
-- Name: audit_action; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_action ON powertools.audit USING btree (action, id);


--
-- Name: audit_actor_id; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_actor_id ON powertools.audit USING btree (actor_id, id);


--
-- Name: audit_at; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_at ON powertools.audit USING btree (at);


--
-- Name: audit_incident; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_incident ON powertools.audit USING btree (incident_id, id) WHERE (incident_id IS NOT NULL);


--
-- Name: audit_links_seal; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_links_seal ON powertools.audit_links USING btree (seal_id, audit_id) WHERE (seal_id IS NOT NULL);


--
-- Name: audit_links_unsealed; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_links_unsealed ON powertools.audit_links USING btree (audit_id) WHERE (seal_id IS NULL);


--
-- Name: audit_not_executed; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_not_executed ON powertools.audit USING btree (id) WHERE (outcome <> 'executed'::text);


--
-- Name: audit_target; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_target ON powertools.audit USING btree (target_type, target_id, id);


--
-- Name: audit_workflow; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX audit_workflow ON powertools.audit USING btree (workflow_id, id) WHERE (workflow_id IS NOT NULL);


--
-- Name: event_batches_unplaced; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX event_batches_unplaced ON powertools.event_batches USING btree (id) WHERE (last_cursor IS NULL);


--
-- Name: incident_entries_incident; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX incident_entries_incident ON powertools.incident_entries USING btree (incident_id, id);


--
-- Name: incidents_open; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX incidents_open ON powertools.incidents USING btree (class) WHERE (state <> 'resolved'::text);


--
-- Name: incidents_opened; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX incidents_opened ON powertools.incidents USING btree (opened_at, id);


--
-- Name: late_results_open; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX late_results_open ON powertools.late_results USING btree (id) WHERE ((adopted_at IS NULL) AND (dismissed_at IS NULL));


--
-- Name: notices_subject; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX notices_subject ON powertools.notices USING btree (topic, subject_id, cursor);


--
-- Name: notices_topic; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX notices_topic ON powertools.notices USING btree (topic, cursor);


--
-- Name: previews_ready; Type: INDEX; Schema: powertools; Owner: -
--

CREATE UNIQUE INDEX previews_ready ON powertools.previews USING btree (actor_id, plan_hash) WHERE (status = 'ready'::text);


--
-- Name: previews_token; Type: INDEX; Schema: powertools; Owner: -
--

CREATE UNIQUE INDEX previews_token ON powertools.previews USING btree (token_hash);


--
-- Name: rescues_at; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX rescues_at ON powertools.rescues USING btree (at);


--
-- Name: rescues_job; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX rescues_job ON powertools.rescues USING btree (job_id, attempted_at);


--
-- Name: rescues_quarantined; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX rescues_quarantined ON powertools.rescues USING btree (job_id, id) WHERE (action = 'quarantined'::text);


--
-- Name: settle_faults_open; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX settle_faults_open ON powertools.settle_faults USING btree (last_fault_at) WHERE (repaired_at IS NULL);


--
-- Name: signals_dedupe; Type: INDEX; Schema: powertools; Owner: -
--

CREATE UNIQUE INDEX signals_dedupe ON powertools.signals USING btree (signal, correlation_key, dedupe_key) WHERE ((dedupe_key IS NOT NULL) AND (status <> 'duplicate'::text));


--
-- Name: signals_expiring; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_expiring ON powertools.signals USING btree (expires_at) WHERE ((status = 'stored'::text) AND (expires_at IS NOT NULL));


--
-- Name: signals_for_begun; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_for_begun ON powertools.signals USING btree (last_workflow_id) WHERE ((status = 'stored'::text) AND (last_workflow_id IS NOT NULL));


--
-- Name: signals_for_workflow; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_for_workflow ON powertools.signals USING btree (workflow_id) WHERE ((status = 'stored'::text) AND (workflow_id IS NOT NULL));


--
-- Name: signals_inserted_at; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_inserted_at ON powertools.signals USING btree (inserted_at);


--
-- Name: signals_new; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_new ON powertools.signals USING btree (id) WHERE ((status = 'stored'::text) AND (NOT swept));


--
-- Name: signals_stored; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_stored ON powertools.signals USING btree (signal, correlation_key, id) WHERE (status = 'stored'::text);


--
-- Name: signals_wait; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX signals_wait ON powertools.signals USING btree (wait_id) WHERE (wait_id IS NOT NULL);


--
-- Name: steps_error; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX steps_error ON powertools.steps USING gin (to_tsvector('simple'::regconfig, regexp_replace("left"(((COALESCE((error ->> 'class'::text), ''::text) || ' '::text) || COALESCE((error ->> 'text'::text), (error ->> 'error'::text), ''::text)), 2500), '[^[:alnum:]]+'::text, ' '::text, 'g'::text))) WHERE (error IS NOT NULL);


--
-- Name: steps_held; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX steps_held ON powertools.steps USING btree (held_until) WHERE (held_until IS NOT NULL);


--
-- Name: steps_job_deleted; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX steps_job_deleted ON powertools.steps USING btree (workflow_id, "position") WHERE (cause = 'job_deleted'::text);


--
-- Name: steps_stopping; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX steps_stopping ON powertools.steps USING btree (workflow_id, "position") WHERE (cancel_requested_at IS NOT NULL);


--
-- Name: steps_worker; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX steps_worker ON powertools.steps USING btree (hashtext(worker), workflow_id) WHERE (worker IS NOT NULL);


--
-- Name: waits_deadline; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX waits_deadline ON powertools.waits USING btree (deadline_at) WHERE ((state = 'waiting'::text) AND (deadline_at IS NOT NULL));


--
-- Name: waits_key; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX waits_key ON powertools.waits USING btree (signal, correlation_key, id);


--
-- Name: waits_new; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX waits_new ON powertools.waits USING btree (id) WHERE ((state = 'waiting'::text) AND (NOT swept));


--
-- Name: waits_waiting; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX waits_waiting ON powertools.waits USING btree (signal, correlation_key, workflow_id) WHERE (state = 'waiting'::text);


--
-- Name: waits_workflow; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX waits_workflow ON powertools.waits USING btree (workflow_id);


--
-- Name: webhook_deliveries_dead; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX webhook_deliveries_dead ON powertools.webhook_deliveries USING btree (endpoint_id, cursor) WHERE (state = 'dead'::text);


--
-- Name: webhook_deliveries_finished; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX webhook_deliveries_finished ON powertools.webhook_deliveries USING btree (state, finished_at) WHERE (finished_at IS NOT NULL);


--
-- Name: webhook_deliveries_pending; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX webhook_deliveries_pending ON powertools.webhook_deliveries USING btree (endpoint_id, cursor) WHERE (state = 'pending'::text);


--
-- Name: workflows_context; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_context ON powertools.workflows USING gin (context jsonb_path_ops) WHERE (context <> '{}'::jsonb);


--
-- Name: workflows_expiring; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_expiring ON powertools.workflows USING btree (expires_at) WHERE ((expires_at IS NOT NULL) AND (state = 'running'::text));


--
-- Name: workflows_finished; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_finished ON powertools.workflows USING btree (finished_at) WHERE (finished_at IS NOT NULL);


--
-- Name: workflows_idempotency_key; Type: INDEX; Schema: powertools; Owner: -
--

CREATE UNIQUE INDEX workflows_idempotency_key ON powertools.workflows USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);


--
-- Name: workflows_name; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_name ON powertools.workflows USING btree (name, id);


--
-- Name: workflows_not_completed; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_not_completed ON powertools.workflows USING btree (state, id) WHERE (state = ANY (ARRAY['failed'::text, 'cancelled'::text, 'expired'::text]));


--
-- Name: workflows_parent; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_parent ON powertools.workflows USING btree (parent_id) WHERE (parent_id IS NOT NULL);


--
-- Name: workflows_stopping; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_stopping ON powertools.workflows USING btree (id) WHERE (state = 'cancel_requested'::text);


--
-- Name: workflows_tags; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_tags ON powertools.workflows USING gin (tags) WHERE (tags <> '{}'::text[]);


--
-- Name: workflows_unfinished; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_unfinished ON powertools.workflows USING btree (id) WHERE (state = ANY (ARRAY['running'::text, 'cancel_requested'::text]));


--
-- Name: workflows_unknown_semantics; Type: INDEX; Schema: powertools; Owner: -
--

CREATE INDEX workflows_unknown_semantics ON powertools.workflows USING btree (id) WHERE (semantics_version <> 2);


--
-- Name: oban_jobs_cancelled_at_index; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oban_jobs_cancelled_at_index ON public.oban_jobs USING btree (cancelled_at) WHERE (state = 'cancelled'::public.oban_job_state);


--
-- Name: oban_jobs_completed_at_index; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oban_jobs_completed_at_index ON public.oban_jobs USING btree (completed_at) WHERE (state = 'completed'::public.oban_job_state);


--
-- Name: oban_jobs_discarded_at_index; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oban_jobs_discarded_at_index ON public.oban_jobs USING btree (discarded_at) WHERE (state = 'discarded'::public.oban_job_state);


--
-- Name: oban_jobs_staging_index; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oban_jobs_staging_index ON public.oban_jobs USING btree (scheduled_at, id) INCLUDE (queue) WHERE (state = ANY (ARRAY['scheduled'::public.oban_job_state, 'retryable'::public.oban_job_state]));


--
-- Name: oban_jobs_state_queue_priority_scheduled_at_id_index; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX oban_jobs_state_queue_priority_scheduled_at_id_index ON public.oban_jobs USING btree (state, queue, priority, scheduled_at, id) WITH (fillfactor='90');


--
-- Name: audit audit_guard; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard BEFORE DELETE OR UPDATE ON powertools.audit FOR EACH ROW EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard;


--
-- Name: audit_chain audit_guard; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard BEFORE DELETE OR UPDATE ON powertools.audit_chain FOR EACH ROW EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_chain ENABLE ALWAYS TRIGGER audit_guard;


--
-- Name: audit_links audit_guard; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard BEFORE DELETE OR UPDATE ON powertools.audit_links FOR EACH ROW EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_links ENABLE ALWAYS TRIGGER audit_guard;


--
-- Name: audit_seals audit_guard; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard BEFORE DELETE OR UPDATE ON powertools.audit_seals FOR EACH ROW EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_seals ENABLE ALWAYS TRIGGER audit_guard;


--
-- Name: audit audit_guard_all; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON powertools.audit FOR EACH STATEMENT EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard_all;


--
-- Name: audit_chain audit_guard_all; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON powertools.audit_chain FOR EACH STATEMENT EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_chain ENABLE ALWAYS TRIGGER audit_guard_all;


--
-- Name: audit_links audit_guard_all; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON powertools.audit_links FOR EACH STATEMENT EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_links ENABLE ALWAYS TRIGGER audit_guard_all;


--
-- Name: audit_seals audit_guard_all; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON powertools.audit_seals FOR EACH STATEMENT EXECUTE FUNCTION powertools.guard_audit_v1();

ALTER TABLE powertools.audit_seals ENABLE ALWAYS TRIGGER audit_guard_all;


--
-- Name: audit audit_link; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER audit_link AFTER INSERT ON powertools.audit REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.link_audit_v1();


--
-- Name: audit audit_of_a_preview; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audit_of_a_preview AFTER INSERT ON powertools.audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((new.outcome = 'executed'::text) AND (new.preview_id IS NOT NULL))) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: bulk_items audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.bulk_items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((new.outcome = 'done'::text) AND (old.outcome <> 'done'::text))) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: incident_entries audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER INSERT ON powertools.incident_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.actor IS NOT NULL)) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: late_results audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.late_results DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.decided_by IS DISTINCT FROM old.decided_by)) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: previews audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.previews DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((new.status = 'consumed'::text) AND (old.status <> 'consumed'::text))) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: prune_runs audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER INSERT ON powertools.prune_runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.actor IS NOT NULL)) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: settings audited; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.changed_by IS NOT NULL)) EXECUTE FUNCTION powertools.require_audit_v1();


--
-- Name: steps check_edges; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER check_edges AFTER INSERT ON powertools.steps REFERENCING NEW TABLE AS new_steps FOR EACH STATEMENT EXECUTE FUNCTION powertools.check_edges_v1();


--
-- Name: audit told; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER told AFTER INSERT ON powertools.audit REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_repairs_v1();


--
-- Name: incident_entries told; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER told AFTER INSERT ON powertools.incident_entries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_incidents_v1();


--
-- Name: prune_runs told; Type: TRIGGER; Schema: powertools; Owner: -
--

CREATE TRIGGER told AFTER UPDATE ON powertools.prune_runs FOR EACH ROW WHEN (((old.finished_at IS NULL) AND (new.finished_at IS NOT NULL))) EXECUTE FUNCTION powertools.tell_of_retention_v1();


--
-- Name: oban_jobs powertools_jobs_deleted; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER powertools_jobs_deleted AFTER DELETE ON public.oban_jobs REFERENCING OLD TABLE AS old_jobs FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_deleted_v1();


--
-- Name: oban_jobs powertools_jobs_updated; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER powertools_jobs_updated AFTER UPDATE ON public.oban_jobs REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_updated_v1();


--
-- Name: incident_entries incident_entries_incident_id_fkey; Type: FK CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incident_entries
    ADD CONSTRAINT incident_entries_incident_id_fkey FOREIGN KEY (incident_id) REFERENCES powertools.incidents(id) ON DELETE CASCADE;


--
-- Name: incidents incidents_class_fkey; Type: FK CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.incidents
    ADD CONSTRAINT incidents_class_fkey FOREIGN KEY (class) REFERENCES powertools.incident_classes(name);


--
-- Name: webhook_deliveries webhook_deliveries_endpoint_id_fkey; Type: FK CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES powertools.webhook_endpoints(id) ON DELETE CASCADE;


--
-- Name: webhook_secrets webhook_secrets_endpoint_id_fkey; Type: FK CONSTRAINT; Schema: powertools; Owner: -
--

ALTER TABLE ONLY powertools.webhook_secrets
    ADD CONSTRAINT webhook_secrets_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES powertools.webhook_endpoints(id) ON DELETE CASCADE;


--
-- Name: FUNCTION analyze_outgrown_v1(); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.analyze_outgrown_v1() FROM PUBLIC;


--
-- Name: FUNCTION archive_audit(kept_for interval, run bigint, seals integer); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.archive_audit(kept_for interval, run bigint, seals integer) FROM PUBLIC;


--
-- Name: FUNCTION drop_rows(of_class text, older_than timestamp with time zone, audit_older_than timestamp with time zone, batch integer); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.drop_rows(of_class text, older_than timestamp with time zone, audit_older_than timestamp with time zone, batch integer) FROM PUBLIC;


--
-- Name: FUNCTION due_families(ended_before timestamp with time zone, after bigint, steps integer, OUT family bigint[], OUT last bigint); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.due_families(ended_before timestamp with time zone, after bigint, steps integer, OUT family bigint[], OUT last bigint) FROM PUBLIC;


--
-- Name: FUNCTION is_audited(who text, of_preview bigint, of_incident bigint); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.is_audited(who text, of_preview bigint, of_incident bigint) FROM PUBLIC;


--
-- Name: FUNCTION prune_audit_v1(kept_for interval, seals integer); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.prune_audit_v1(kept_for interval, seals integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_batch_v1(of_class text, kept_for interval, audit_kept_for interval, run bigint, batch integer, after bigint, OUT archived integer, OUT pruned integer, OUT last bigint, OUT more boolean); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.prune_batch_v1(of_class text, kept_for interval, audit_kept_for interval, run bigint, batch integer, after bigint, OUT archived integer, OUT pruned integer, OUT last bigint, OUT more boolean) FROM PUBLIC;


--
-- Name: FUNCTION prune_rows(of_class text, older_than timestamp with time zone, run bigint, batch integer, OUT archived integer, OUT pruned integer); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.prune_rows(of_class text, older_than timestamp with time zone, run bigint, batch integer, OUT archived integer, OUT pruned integer) FROM PUBLIC;


--
-- Name: FUNCTION prune_webhooks_v1(); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.prune_webhooks_v1() FROM PUBLIC;


--
-- Name: FUNCTION prune_workflows(family bigint[], run bigint, OUT archived integer, OUT pruned integer); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.prune_workflows(family bigint[], run bigint, OUT archived integer, OUT pruned integer) FROM PUBLIC;


--
-- Name: FUNCTION seal_audit_v1(batch integer, OUT sealed integer, OUT head text); Type: ACL; Schema: powertools; Owner: -
--

REVOKE ALL ON FUNCTION powertools.seal_audit_v1(batch integer, OUT sealed integer, OUT head text) FROM PUBLIC;


--
-- PostgreSQL database dump complete
--


