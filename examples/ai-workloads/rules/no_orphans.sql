-- Whatever belongs to a model belongs to one that exists, even where foreign keys are not checked.

-- none on target
SELECT 'model_parameters', model_id FROM model_parameters WHERE model_id NOT IN (SELECT id FROM model_metadata)
UNION ALL
SELECT 'training_metrics', model_id FROM training_metrics WHERE model_id NOT IN (SELECT id FROM model_metadata)
UNION ALL
SELECT 'inference_config', model_id FROM inference_config WHERE model_id NOT IN (SELECT id FROM model_metadata);
