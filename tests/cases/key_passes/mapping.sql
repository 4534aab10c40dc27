INSERT INTO owned SELECT lower(name), id, n FROM s;
INSERT INTO whole SELECT upper(name), id, big FROM s;
INSERT INTO lists SELECT lower(name), id, ARRAY[n, id] FROM s;
INSERT INTO read SELECT lower(name), id, (SELECT max(v) FROM unnest(ARRAY[n]) AS u(v)) FROM s;
INSERT INTO other SELECT lower(name), id, big FROM s WHERE n > 0;
