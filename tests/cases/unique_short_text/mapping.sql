INSERT INTO short SELECT id, slug FROM s;
INSERT INTO fixed SELECT id, code FROM s;
INSERT INTO small SELECT id, n FROM s;
INSERT INTO days SELECT id, at FROM s;
