CREATE TABLE summaries (id uuid PRIMARY KEY, name text, metrics bigint, latest jsonb);
CREATE TABLE totals (model uuid, metric text, total numeric, PRIMARY KEY (model, metric));
