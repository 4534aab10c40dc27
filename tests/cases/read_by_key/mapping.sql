-- The source evaluates these: regular expressions, to_char by name, subqueries over a row's own array,
-- functions of the user, whole rows.
INSERT INTO t SELECT id, regexp_replace(name, '(\w)-(\d+)', '\2-\1'), to_char(at AT TIME ZONE 'Europe/Berlin', 'Day'),
    (SELECT count(u)::int FROM unnest(tags) AS u), doubled(id), length(regexp_replace(big, 'x', '', 'g')) FROM s;
INSERT INTO parts SELECT id, p.n, (SELECT p.part) FROM s CROSS JOIN LATERAL regexp_split_to_table(name, '-') WITH ORDINALITY AS p(part, n);
INSERT INTO picked SELECT s.id, to_jsonb(s) FROM s WHERE name ~* '^name-[135]';
