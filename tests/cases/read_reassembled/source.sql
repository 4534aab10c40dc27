CREATE TABLE model_metadata (id uuid PRIMARY KEY, model_name text, status text);
CREATE TABLE model_parameters (model_id uuid PRIMARY KEY, model_weights bytea);
CREATE TABLE training_metrics (model_id uuid, metric_name text, metric_value numeric, "timestamp" timestamptz, PRIMARY KEY (model_id, metric_name, "timestamp"));
CREATE TABLE inference_config (model_id uuid PRIMARY KEY, config jsonb);
ALTER TABLE model_parameters ALTER model_weights SET STORAGE EXTERNAL;
INSERT INTO model_metadata SELECT md5(n::text)::uuid, 'model ' || n, 'draft' FROM generate_series(1, 30) AS n;
INSERT INTO model_parameters SELECT md5(n::text)::uuid, decode(repeat(md5(n::text), n * 10), 'hex') FROM generate_series(1, 30, 2) AS n;
INSERT INTO training_metrics SELECT md5((n % 30)::text)::uuid, 'metric ' || n % 4, n, timestamptz '2024-01-01' + n % 3 * interval '1 day' FROM generate_series(1, 90) AS n ON CONFLICT DO NOTHING;
INSERT INTO inference_config SELECT md5(n::text)::uuid, jsonb_build_object('batch', n) FROM generate_series(1, 30, 3) AS n;
