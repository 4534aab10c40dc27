INSERT INTO grandchild SELECT id, big FROM s WHERE n > 0;
INSERT INTO child SELECT id, n FROM s WHERE n > 0;
INSERT INTO parent SELECT id, (SELECT string_agg(w, ' ' ORDER BY w) FROM string_to_table(name, ' ') AS w) FROM s WHERE n > 0;
INSERT INTO tail SELECT id, (SELECT string_agg(w, ' ' ORDER BY w) FROM string_to_table(name, ' ') AS w) FROM s WHERE n > 0;
INSERT INTO head SELECT id, n FROM s WHERE n > 0;
