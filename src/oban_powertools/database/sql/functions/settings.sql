-- Shared settings: values that must be equal on all nodes, as rows.

-- A setting's value. Raises when its row was removed: no decision may rest on a value that nobody has chosen.
CREATE OR REPLACE FUNCTION powertools.setting_v1(of_name text) RETURNS jsonb
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

-- The same, as an interval; NULL for ever.
CREATE OR REPLACE FUNCTION powertools.span_setting_v1(of_name text) RETURNS interval
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN make_interval(secs => nullif(powertools.setting_v1(of_name), 'null')::float8);
END $$;
