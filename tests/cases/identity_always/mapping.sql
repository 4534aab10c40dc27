INSERT INTO plain (id, n, big) SELECT id, n, big FROM s;
INSERT INTO natural_key (name, id, n, big) SELECT name, id, n, big FROM s;
INSERT INTO numbered (id, seq, n, big) SELECT id, seq, n, big FROM s;
INSERT INTO lists (id, n, bigs, ns) SELECT id, n, bigs, ARRAY[n] FROM s;
INSERT INTO only_key (id) SELECT id FROM s;
