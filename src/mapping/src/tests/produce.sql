-- Produces expected.tsv and rows.tsv from expressions.txt with a real server:
--   psql -X -q -v ON_ERROR_STOP=1 -f produce.sql   (in this folder; database of encoding UTF8 and locale C)
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN small AS integer CHECK (VALUE < 1000);
CREATE TABLE s (
    id integer PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
    n numeric, n2 numeric(12,3), t text, v varchar(20), c char(6), b boolean, u uuid, d date,
    ts timestamp, tz timestamptz, j jsonb, js json, e mood, ta text[], ia integer[], y bytea,
    k jsonb, dom small, num text, doc text);
INSERT INTO s VALUES
 (1, 7, 42, 9000000000, 1.5, 2.5, 123.4500, 1.5, 'Hello World', 'abc', 'ab', true,
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789012+00',
  '{"a": 1, "b": "x", "c": [1, 2, {"d": null}], "long key": true, "e": {"f": "g\"h\n\u0001ü"}}', '{"a" : 1}', 'ok',
  '{a,b,"c d",NULL}', '{1,2,NULL,4}', '\x00ff', '{"accuracy": 0.95, "loss": 1.20, "epochs": 10}', 5, ' 42 ', '{"b":1,"a":[1.10,1e2,-0.0],"a":2}'),
 (2, -3, -5, -1, -0.25, -0.5, -0.0005, -999999999.999, '  trim me  ', ' sp ', 'x', false,
  '00000000-0000-0000-0000-000000000000', '1999-12-31', '1969-07-20 20:17:40', '1969-07-20 20:17:40+00',
  '[1, "two", null, true, {"k": "v"}, [3]]', '[1,2]', 'sad', '{}', '{}', '', '{}', -1, '-7', ' [ 1 , 2 ] '),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (4, 32767, 2147483647, 9223372036854775807, 3.4e38, 1.7e308, 99999999999999999999.99999999999999999999, 999999999.999,
  'äöü€😀x', 'ÄÖ', 'äö€😀', true, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '9999-12-31', '9999-12-31 23:59:59.999999',
  '9999-12-31 23:59:59.999999+00', '"just text"', '"x"', 'happy', '{ä,"","NULL"}', '{{1,2},{3,4}}', '\xdeadbeef',
  '{"ä": "ö", "n": null, "z": {"x": [1]}, "s": "q\"\\\/"}', 999, '9223372036854775807', '"\u00e4\ud83d\ude00\t"'),
 (5, -32768, -2147483648, -9223372036854775808, -3.4e38, -1.7e308, 'NaN', 0, '', '', '', false,
  '12345678-1234-1234-1234-123456789abc', '0001-01-01', '0001-01-01 00:00:00', '0001-01-01 00:00:00+00', '12.50', '1', 'ok',
  '{x}', '{7}', '\x41', '{"t": true, "f": false, "arr": [], "obj": {}}', 0, '1.5e3', 'true'),
 (6, 0, 0, 0, 0, 0, 0.000, 0, 'a,b,,c', 'a%b_c', 'a b', true, '0a0a0a0a-0b0b-0c0c-0d0d-0e0e0e0e0e0e', '2000-01-01',
  '2000-01-01 00:00:00', '2000-01-01 00:00:00+00', 'null', 'null', 'sad', '{a}', '{0}', '\x', 'null', 0, 'NaN', 'null'),
 (7, 1, 10, 100, 1e-5, 1e15, 1e20, 0.001, 'aaa', 'AAA', 'aaa', NULL, NULL, 'infinity', 'infinity', '-infinity', 'true', 'true',
  'happy', NULL, NULL, NULL, '[]', 12, 'Infinity', '{"a": "\u0000"}'),
 (8, 100, 3, 7, 'NaN', 'Infinity', -1.005, 2.5, E'tab\there\nnew', 'x\y', 'z', false, NULL, '-infinity', '4713-01-01 BC',
  '294276-12-31 23:59:59.999999+00', '{"a": {"a": {"a": [10, 20, 30]}}, "n": -1.50, "t": "5"}', '{}', 'ok', '{b,a}', '{3,1,2}', '\x01',
  '{"a": "1", "bb": 2, "c": 3.0}', 3, 'abc', '{bad'),
 (9, 2, 1000000, 123456789012345678, 123456.7, 0.1, 0.1, 12.345, 'The quick brown fox', 'it''s', 'é', true,
  '3f333df6-90a4-4fda-8dd3-9485d27cee36', '2023-03-15', '2023-03-15 01:02:03.1', '2023-03-15 01:02:03.100000+00',
  '{"x": 3000000000, "y": 1e3, "z": "2024-01-01"}', '{}', 'happy', '{1,2}', '{5,6}', '\x02', '{"x": "y"}', 1, '0x1F', '1.50'),
 (10, 5, 12, 12, 0.1, 1e-7, 12345678901234567890.12, 100.5, 'true', 'yes', 'no', false,
  '11111111-2222-3333-4444-555555555555', '1900-03-01', '1900-02-28 23:59:59.5', '1900-02-28 23:59:59.5+00', '[]', '[]', 'sad',
  '{"a b","c,d","e\"f"}', '{10}', '\x03', '{"k1": "v1", "k2": "v2", "k3": "v3"}', 7, '2147483648', '[1e400, "a/b", {"z": 1, "yy": 2, "x": 3}]');

CREATE TABLE expression (number serial, sql text, base text);
-- OIDs that differ from server to server are replaced: 100001 is mood; the domain small is shown as what
-- it is based on, as a described statement shows it.
-- A line is an expression over s, or all that follows "SELECT id, ".
\copy expression (sql) FROM 'expressions.txt' WITH (DELIMITER E'\x01', QUOTE E'\x02', FORMAT csv)
CREATE FUNCTION cells(view text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('coalesce(encode(%s(%I), ''hex''), ''N'')', typsend::oid::regproc, attname), ' || '','' || ' ORDER BY attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = view::regclass AND attnum > 1
$$;
CREATE FUNCTION probe(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
    line text := '';
    list text;
    row_id int;
BEGIN
    BEGIN
        EXECUTE 'CREATE VIEW v AS SELECT s.id, ' || CASE WHEN sql LIKE '% FROM s%' THEN sql ELSE sql || ' AS x FROM s' END;
    EXCEPTION WHEN OTHERS THEN
        RETURN 'refused ' || SQLSTATE;
    END;
    SELECT string_agg(atttypid || ':' || atttypmod, ',' ORDER BY attnum) INTO line
    FROM pg_attribute WHERE attrelid = 'v'::regclass AND attnum > 1;
    list := cells('v');
    FOR row_id IN SELECT id FROM s ORDER BY id LOOP
        BEGIN
            EXECUTE format('SELECT coalesce(string_agg(x, '';''), '''') FROM (SELECT %s AS x FROM v WHERE id = %s) q', list, row_id) INTO found;
        EXCEPTION WHEN OTHERS THEN
            found := '!' || SQLSTATE;
        END;
        line := line || E'\t' || found;
    END LOOP;
    DROP VIEW v;
    RETURN line;
END
$$;
CREATE VIEW all_columns AS SELECT id AS first, * FROM s;
\pset format unaligned
\pset tuples_only on
\o rows.tsv
SELECT string_agg(attname || ':' || CASE WHEN t.typname = 'mood' THEN '100001' WHEN t.typname = 'small' THEN '100002' ELSE atttypid::text END || ':' || atttypmod, ',' ORDER BY attnum)
FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = 's'::regclass AND attnum > 0;
SELECT format('SELECT %s FROM all_columns ORDER BY first', cells('all_columns')) AS command \gset
:command;
\o expected.tsv
SELECT sql || E'\t' || replace(replace(probe(sql), 'mood'::regtype::oid::text, '100001'), 'small'::regtype::oid || ':', '23:') FROM expression ORDER BY number;
\o
