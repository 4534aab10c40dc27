INSERT INTO names SELECT name, n FROM s WHERE n > 0;
INSERT INTO parts SELECT d.key, d.value, n FROM s CROSS JOIN LATERAL jsonb_each_text(doc) AS d;
