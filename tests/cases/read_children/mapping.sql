-- A model's summary with its latest metrics.
-- regraft: trace metrics.model_id -> id
INSERT INTO summaries
WITH latest AS (
    SELECT DISTINCT ON (model_id, name) model_id, name, value FROM metrics ORDER BY model_id, name, at DESC
)
SELECT m.id, m.name, count(l.name), jsonb_object_agg(l.name, l.value ORDER BY l.name) FILTER (WHERE l.name IS NOT NULL)
FROM models AS m LEFT JOIN latest AS l ON l.model_id = m.id
GROUP BY m.id, m.name;

INSERT INTO totals
SELECT m.id, x.name, sum(x.value) FROM models AS m JOIN metrics AS x ON x.model_id = m.id GROUP BY m.id, x.name;
