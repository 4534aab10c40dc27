CREATE TABLE active (id int, user_id int, status text, title text, PRIMARY KEY (user_id, id)) PARTITION BY HASH (user_id);
CREATE TABLE active_0 PARTITION OF active FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE active_1 PARTITION OF active FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON active (id);
CREATE TABLE archived (id int, archived_at date, title text, PRIMARY KEY (archived_at, id)) PARTITION BY RANGE (archived_at);
CREATE TABLE archived_jan PARTITION OF archived FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE archived_later PARTITION OF archived FOR VALUES FROM ('2024-02-01') TO (MAXVALUE);
CREATE INDEX ON archived (id);
