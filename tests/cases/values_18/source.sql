CREATE TABLE s (id int PRIMARY KEY, iv interval, ts timestamp, n int, doubled int GENERATED ALWAYS AS (n * 2) VIRTUAL,
    u uuid DEFAULT uuidv7(), mr datemultirange, late text COLLATE "C");
INSERT INTO s (id, iv, ts, n, mr) VALUES (1, 'infinity', 'infinity', 1, '{}'), (2, '-infinity', '-infinity', 2, NULL),
    (3, '178956970 years 7 mons 2147483647 days 2562047788:00:54.775806', '2024-01-02', 3, '{[2024-01-01,infinity)}'), (4, '1 mon', 'infinity', NULL, NULL);
