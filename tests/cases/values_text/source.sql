CREATE TABLE s (id int PRIMARY KEY, t text, c char(6), b bytea, j json, jb jsonb, x xml, u uuid, bits varbit, n name, net cidr, mac macaddr, p point, r int4range, ts tsvector, v int);
INSERT INTO s VALUES
    (1, '', '', '', '{}', '{}', '', NULL, '', '', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2)', '[1,5)', 'a b', 0),
    (2, 'NULL', 'NULL', '\x00', '  {"b" : 1,  "a":[ 1,2 ] , "a": 2 }  ', '  {"b" : 1,  "a":[ 1,2 ] , "a": 2 }  ', '<a b="c"> d </a>', '00000000-0000-0000-0000-000000000000', '0', 'select', '::/0', 'ff:ff:ff:ff:ff:ff', '(NaN,Infinity)', 'empty', 'fat:1A cat:2', 0),
    (3, E'\\N\t\n\r\b\f"'' \\', ' a ', '\x00ff0027005c', E'"\\u00fc\\ud83e\\udd80"', E'"\\u00fc\\ud83e\\udd80"', '<!-- c -->', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '10101', 'x', '192.168.1.0/24', NULL, NULL, '(,)', '', 0),
    (4, E'\uFEFFbom \u200B zero \u202E right', 'é', decode(repeat('00', 3000), 'hex'), 'null', 'null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0),
    (5, E'e\u0301 is not \u00e9', '漢字', NULL, '1E400', '1E400', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0),
    (6, repeat('🦀', 5000), NULL, NULL, '"\u0001"', '{"":{"":[]}}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0),
    (7, E'\x01\x02\x7f', NULL, NULL, '[1.0, 1.00, -0, 1e2]', '[1.0, 1.00, -0, 1e2]', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0);
