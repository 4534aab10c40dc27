-- Rows for the example: psql -v rows=200000 -f seed.sql
-- The same number gives the same row: 4,000 users, three rows in ten archived, one description in
-- fifty above 2 kB (kept out of line).
INSERT INTO todos
SELECT
    md5(i::text)::uuid,
    md5('user ' || i % 4000)::uuid,
    CASE WHEN i % 3 = 0 THEN NULL ELSE md5('project ' || i % 9000)::uuid END,
    CASE WHEN i % 4 = 0 THEN md5((i / 2)::text)::uuid END,
    (ARRAY['buy milk', 'Müll rausbringen', '買い物', 'позвонить', 'say "hi"', E'two\nlines', 'l''été', '🎉'])[1 + i % 8] || ' ' || i,
    CASE WHEN i % 5 = 0 THEN NULL
         WHEN i % 50 = 1 THEN repeat(md5(i::text) || ' é', (70 + i % 60)::int)
         WHEN i % 7 = 0 THEN ''
         ELSE 'about ' || md5(i::text) END,
    CASE WHEN i % 10 IN (3, 6, 9) THEN 'archived'
         ELSE (ARRAY['todo', 'in_progress', 'done'])[1 + i % 3] END,
    CASE WHEN i % 6 = 0 THEN NULL ELSE (i % 9)::int - 4 END,
    CASE WHEN i % 4 = 0 THEN NULL
         WHEN i % 301 = 0 THEN 'infinity'::timestamptz
         ELSE timestamptz '2024-06-01 00:00:00+00' + (i % 60000000) * interval '1 second' END,
    i % 3 = 1,
    CASE WHEN i % 5 = 0 THEN NULL
         WHEN i % 5 = 1 THEN '{}'::text[]
         WHEN i % 5 = 2 THEN ARRAY['home', 'größe', 'a,b', '{c}', 'say "hi"', E'back\\slash', 'NULL', NULL, '']
         ELSE ARRAY['tag ' || i % 20, 'urgent'] END,
    timestamptz '2024-01-01 00:00:00+00' + (i % 90000000) * interval '1 second',
    timestamptz '2024-01-01 00:00:00+00' + (i % 90000000) * interval '1 second' + (i % 999983) * interval '1 microsecond',
    CASE WHEN i % 10 IN (2, 3, 5, 8, 9) THEN timestamptz '2024-02-01 00:00:00+00' + (i % 80000000) * interval '1 second' END,
    -- Within the months of target.sql.
    CASE WHEN i % 10 IN (3, 6, 9) THEN timestamptz '2024-01-01 00:00:00+00' + (i * 7919 % 94600000) * interval '1 second' END
FROM generate_series(1::bigint, :rows) AS i;
