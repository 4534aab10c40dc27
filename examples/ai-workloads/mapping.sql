-- Each new table as a SELECT on the old one. This file runs in psql as it stands when both schemas
-- are in one database.

INSERT INTO model_metadata
SELECT id, model_name, model_version, training_data_size, hyperparameters, created_at, updated_at, status
FROM ai_workloads;

INSERT INTO model_parameters (model_id, model_weights)
SELECT id, model_weights
FROM ai_workloads
WHERE model_weights IS NOT NULL;

-- One row per metric of the document.
INSERT INTO training_metrics (model_id, metric_name, metric_value, "timestamp")
SELECT w.id, m.key, m.value::numeric, w.updated_at
FROM ai_workloads AS w CROSS JOIN LATERAL jsonb_each_text(w.training_metrics) AS m
WHERE w.training_metrics IS NOT NULL;

INSERT INTO inference_config (model_id, config)
SELECT id, inference_config
FROM ai_workloads
WHERE inference_config IS NOT NULL;
