CREATE TABLE s (id text PRIMARY KEY, v int);
INSERT INTO s VALUES (''), (' '), ('NULL'), ('null'), ('a'), ('A'), ('ä'), ('a'), ('{}'), ('{a,b}'), ('"'), (''''), ('''''; DROP TABLE s; --'),
    ('\'), ('\N'), ('a,b'), ('(1,2)'), ('$1'), (E'tab\there'), (E'line\nhere'), (E'\x01'), ('日本語'), ('🦀'), ('ß'), ('%'), ('_') ON CONFLICT DO NOTHING;
UPDATE s SET v = length(id);
