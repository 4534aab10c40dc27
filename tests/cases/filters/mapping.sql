INSERT INTO chosen SELECT id, a, b FROM s WHERE a > 1 AND b = 'x';
INSERT INTO rest SELECT id, a, b FROM s WHERE (a > 1 AND b = 'x') IS NOT TRUE;
INSERT INTO flagged SELECT id, CASE WHEN c THEN 'yes' ELSE coalesce(b, 'none') END FROM s WHERE c IS NOT NULL OR a IN (1, 2, 3);
