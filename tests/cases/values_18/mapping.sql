INSERT INTO t SELECT id, iv, ts, n, u, mr, late FROM s;
INSERT INTO texts SELECT id, iv::text, -iv, iv + '1 day'::interval, timestamp '2024-01-01' + iv, ts - timestamp '2024-01-01', isfinite(iv), date_part('year', iv) FROM s WHERE id % 10 <> 3;
INSERT INTO generated SELECT id, doubled FROM s;
