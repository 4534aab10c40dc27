CREATE TABLE ai_workloads (id uuid PRIMARY KEY, model_name text, status text, model_weights bytea, inference_config jsonb, training_metrics jsonb);
