-- Rows for the example: psql -v rows=200000 -f seed.sql
-- The same number gives the same row. Of the rows, a quarter has no weights, one in twenty has
-- weights above 2 kB (kept out of line), and there are documents that are absent, empty and large.
INSERT INTO ai_workloads
SELECT
    md5(i::text)::uuid,
    CASE WHEN i % 97 = 0 THEN NULL
         ELSE (ARRAY['resnet', 'Größenschätzer', '推荐模型', 'модель', 'naïve "bayes"', E'back\\slash\ttab',
                     'l''enfant', 'crab 🦀', '', 'transformer-xl'])[1 + i % 10] || '-' || i END,
    (ARRAY['1.0.0', '2.1.3-rc.1', 'nightly', NULL])[1 + i % 4],
    CASE WHEN i % 31 = 0 THEN NULL ELSE (i * 7919) % 1000000000000 END,
    CASE WHEN i % 4 = 0 THEN NULL
         WHEN i % 20 = 1 THEN decode(repeat(md5(i::text), (130 + i % 200)::int), 'hex')
         WHEN i % 41 = 0 THEN ''::bytea
         ELSE decode(repeat(md5(i::text), (2 + i % 8)::int), 'hex') END,
    CASE WHEN i % 23 = 0 THEN NULL
         ELSE jsonb_build_object(
             'learning_rate', ((i % 1000) + 1) / 100000.0,
             'layers', i % 48,
             'optimizer', (ARRAY['adam', 'sgd', 'lamb'])[1 + i % 3],
             'schedule', jsonb_build_object('warmup', i % 5000, 'decay', NULL, 'größe', true),
             'tags', jsonb_build_array('a"b', 'ü', i % 7, NULL)) END,
    CASE WHEN i % 10 = 0 THEN NULL
         WHEN i % 10 = 1 THEN '{}'::jsonb
         -- Large enough to be kept out of line, even compressed.
         WHEN i % 503 = 0 THEN (SELECT jsonb_object_agg('step_' || s || '_' || md5((i + s)::text), s * 0.125)
                                FROM generate_series(1, 150) AS s)
         WHEN i % 211 = 0 THEN '{"loss": "NaN", "diverged": null, "lr": 1e-7, "größe Δ": 12345678901234567890.5}'::jsonb
         WHEN i % 3 = 0 THEN jsonb_build_object('accuracy', (i % 1000) / 1000.0)
         ELSE jsonb_build_object(
             'accuracy', (i % 1000) / 1000.0,
             'loss', round((1 + i % 777) / 7.0, (i % 9)::int),
             'epochs', i % 300) END,
    CASE WHEN i % 5 = 0 THEN NULL
         WHEN i % 101 = 0 THEN 'null'::jsonb
         WHEN i % 5 = 1 THEN '{}'::jsonb
         ELSE jsonb_build_object(
             'batch', 1 << (i % 8)::int,
             'device', (ARRAY['cpu', 'cuda:0', 'тпу'])[1 + i % 3],
             'limits', jsonb_build_object('memory', (i % 64) || 'GiB', 'quota', jsonb_build_array(i % 9, i % 11))) END,
    timestamptz '2024-01-01 00:00:00+00' + (i % 90000000) * interval '1 second',
    timestamptz '2024-01-01 00:00:00+00' + (i % 90000000) * interval '1 second' + (i % 999983) * interval '1 microsecond',
    (ARRAY['draft', 'training', 'ready', 'failed', 'retired', NULL])[1 + i % 6]
FROM generate_series(1::bigint, :rows) AS i;
