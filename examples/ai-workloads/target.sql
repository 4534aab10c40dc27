-- The four tables that take the monolith's place.
CREATE TABLE model_metadata (
    id                 uuid PRIMARY KEY,
    model_name         text,
    model_version      text,
    training_data_size bigint,
    hyperparameters    jsonb,
    created_at         timestamptz,
    updated_at         timestamptz,
    status             text
);

CREATE TABLE model_parameters (
    model_id      uuid PRIMARY KEY REFERENCES model_metadata (id),
    model_weights bytea
);

CREATE TABLE training_metrics (
    model_id     uuid REFERENCES model_metadata (id),
    metric_name  text,
    metric_value numeric,
    "timestamp"  timestamptz,
    PRIMARY KEY (model_id, metric_name, "timestamp")
);

CREATE TABLE inference_config (
    model_id uuid PRIMARY KEY REFERENCES model_metadata (id),
    config   jsonb
);
