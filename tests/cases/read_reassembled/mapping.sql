-- The old shape of a row, put together again from the four tables that took its place.
INSERT INTO ai_workloads
SELECT m.id, m.model_name, m.status, p.model_weights, c.config,
    (SELECT jsonb_object_agg(x.metric_name, x.metric_value ORDER BY x."timestamp") FROM training_metrics AS x WHERE x.model_id = m.id)
FROM model_metadata AS m
LEFT JOIN model_parameters AS p ON p.model_id = m.id
LEFT JOIN inference_config AS c ON c.model_id = m.id;
