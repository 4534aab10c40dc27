INSERT INTO ta SELECT id, v FROM a;
INSERT INTO parts SELECT id, d.key, d.value FROM a CROSS JOIN LATERAL jsonb_each_text(doc) AS d WHERE d.key <> 'y' OR id > 3;
INSERT INTO tb SELECT id, v FROM b;
INSERT INTO tc SELECT id, v FROM c;
