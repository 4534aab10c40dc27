INSERT INTO t SELECT id, small, big FROM s;
INSERT INTO parts SELECT id, d.key, d.value, small FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
INSERT INTO named SELECT name, big || small FROM s;
