-- Every metric of the documents is one row, and has kept its value: number and sum per status of the model.

-- source
SELECT coalesce(w.status, '-'), count(*), trim_scale(sum(m.value::numeric))
FROM ai_workloads AS w CROSS JOIN LATERAL jsonb_each_text(w.training_metrics) AS m
GROUP BY 1;

-- target
SELECT coalesce(d.status, '-'), count(*), trim_scale(sum(m.metric_value))
FROM training_metrics AS m JOIN model_metadata AS d ON d.id = m.model_id
GROUP BY 1;
