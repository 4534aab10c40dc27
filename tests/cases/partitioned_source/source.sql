CREATE TABLE s (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE s_old PARTITION OF s FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE s_new (v text, at date NOT NULL, id int NOT NULL, PRIMARY KEY (id, at));
ALTER TABLE s ATTACH PARTITION s_new FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
INSERT INTO s SELECT n, '2023-12-20'::date + n, 'row ' || n FROM generate_series(1, 24) AS n;
