-- The monolith: one table that every part of the system reads and writes.
CREATE TABLE ai_workloads (
    id                 uuid PRIMARY KEY,
    model_name         text,
    model_version      text,
    training_data_size bigint,
    model_weights      bytea,
    hyperparameters    jsonb,
    -- One object per row: name of the metric to its number.
    training_metrics   jsonb CHECK (jsonb_typeof(training_metrics) = 'object'),
    inference_config   jsonb,
    created_at         timestamptz NOT NULL DEFAULT now(),
    -- Part of a key of the new schema, so it cannot be null there.
    updated_at         timestamptz NOT NULL DEFAULT now(),
    status             text
);

-- Weights do not compress; large ones are kept out of line, and an UPDATE of other columns does not
-- put them into the change stream again.
ALTER TABLE ai_workloads ALTER COLUMN model_weights SET STORAGE EXTERNAL;
