-- The latest metric of each model: partitions of the subquery are those of its trace.
-- regraft: trace metrics.model_id -> id
INSERT INTO latest
SELECT m.id, m.name, l.name, l.value
FROM models AS m
LEFT JOIN (SELECT x.*, row_number() OVER (PARTITION BY x.model_id ORDER BY x.at DESC) AS place FROM metrics AS x) AS l
    ON l.model_id = m.id AND l.place = 1;

-- Partitions are those of the source table's key.
INSERT INTO running
SELECT m.id, x.at, sum(x.value) OVER w
FROM models AS m JOIN metrics AS x ON x.model_id = m.id
WINDOW w AS (PARTITION BY m.id ORDER BY x.at);

-- One table.
INSERT INTO ranked
SELECT id, row_number() OVER (PARTITION BY id ORDER BY s, o), s FROM models CROSS JOIN LATERAL unnest(scores) WITH ORDINALITY AS u(s, o);

-- Over what one row holds.
INSERT INTO places
SELECT m.id, r.s, r.place FROM models AS m
CROSS JOIN LATERAL (SELECT s, row_number() OVER (ORDER BY s DESC, o) AS place FROM unnest(m.scores) WITH ORDINALITY AS u(s, o)) AS r;
