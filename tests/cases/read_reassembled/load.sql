-- step
UPDATE model_parameters SET model_weights = '\x00' WHERE get_byte(model_weights, 0) % 2 = 0;
-- step
INSERT INTO model_parameters SELECT md5(n::text)::uuid, '' FROM generate_series(1, 30) AS n ON CONFLICT DO NOTHING;
-- step
UPDATE training_metrics SET metric_value = metric_value / 3 WHERE metric_name = 'metric 1';
-- step
BEGIN;
DELETE FROM model_metadata WHERE model_name = 'model 3';
DELETE FROM model_parameters WHERE model_id = md5('3')::uuid;
DELETE FROM inference_config WHERE model_id = md5('4')::uuid;
UPDATE model_metadata SET status = 'ready' WHERE model_name LIKE '%1';
COMMIT;
-- step
UPDATE inference_config SET model_id = md5('2')::uuid WHERE model_id = md5('1')::uuid;
-- step
UPDATE model_metadata SET id = md5('other')::uuid WHERE model_name = 'model 7';
-- step
TRUNCATE training_metrics, inference_config;
-- step
INSERT INTO inference_config SELECT id, '{}' FROM model_metadata;
