CREATE TABLE s (id int PRIMARY KEY, n int, doc jsonb);
INSERT INTO s VALUES (1, 1, '{"a": 1, "b": "two"}'), (2, 1, '{}'), (3, 1, NULL), (4, 1, 'null'), (5, 1, '[1, 2]'), (6, 1, '"text"'), (7, 1, '{"a": {"b": [1, null]}, "": null, "ü\"": true}'), (8, 1, '7');
