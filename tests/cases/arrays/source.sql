CREATE TABLE s (id int PRIMARY KEY, tags text[], grid int[][], many uuid[], docs jsonb[], stamps timestamptz[], prices numeric(10, 2)[], v text);
INSERT INTO s VALUES
    (1, '{}', '{}', '{}', '{}', '{}', '{}', 'empty'), (2, NULL, NULL, NULL, NULL, NULL, NULL, 'null'),
    (3, ARRAY['a', NULL, '', 'NULL', 'with "quotes"', 'with, comma', '{braces}', '\', 'ü'], ARRAY[[1, NULL], [3, 4]],
        ARRAY['00000000-0000-0000-0000-000000000000'::uuid, NULL], ARRAY['{"a": 1}'::jsonb, 'null'], ARRAY['infinity'::timestamptz], ARRAY[1.10, NULL], 'full'),
    (4, '[0:1]={zero,one}', '[-1:0][2:3]={{1,2},{3,4}}', NULL, NULL, NULL, NULL, 'bounds');
