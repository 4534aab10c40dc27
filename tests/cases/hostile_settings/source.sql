CREATE SCHEMA other;
CREATE TABLE s (id int PRIMARY KEY, a timestamptz, b date, c interval, d double precision, e real, f bytea, g timestamp, doc jsonb);
INSERT INTO s SELECT n, '2024-03-10 06:30:00+00'::timestamptz + n * interval '1 hour', '2024-02-03'::date + n, n * interval '1 month -1 day 01:02:03', 0.1 * n, 0.1 * n, decode(repeat('00ff5c', n), 'hex'), '2024-01-02 03:04:05'::timestamp + n * interval '1 day', jsonb_build_object('n', 0.1 * n) FROM generate_series(1, 9) AS n;
DO $$ DECLARE setting text; BEGIN
    FOREACH setting IN ARRAY ARRAY['datestyle = ''SQL, DMY''', 'intervalstyle = ''sql_standard''', 'extra_float_digits = -15', 'bytea_output = ''escape''',
        'timezone = ''America/New_York''', 'default_transaction_isolation = ''serializable''', 'search_path = other, public', 'quote_all_identifiers = on', 'standard_conforming_strings = off', 'transform_null_equals = on', 'array_nulls = off', 'enable_indexscan = off', 'idle_in_transaction_session_timeout = ''1s''', 'jit = on', 'jit_above_cost = 0'] LOOP
        EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
    END LOOP;
    -- Since version 17.
    IF current_setting('transaction_timeout', true) IS NOT NULL THEN
        EXECUTE format('ALTER DATABASE %I SET transaction_timeout = ''100s''', current_database());
    END IF;
END $$;
