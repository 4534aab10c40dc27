CREATE TABLE models (id uuid PRIMARY KEY, name text);
CREATE TABLE metrics (model_id uuid, name text, at timestamptz, value numeric, PRIMARY KEY (model_id, name, at));
INSERT INTO models SELECT md5(n::text)::uuid, 'model ' || n FROM generate_series(1, 20) AS n;
INSERT INTO metrics SELECT md5((n % 20)::text)::uuid, 'm' || n % 3, timestamptz '2024-01-01' + n * interval '1 hour', n FROM generate_series(1, 100) AS n;
