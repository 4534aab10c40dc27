CREATE TABLE s (id int PRIMARY KEY, user_id uuid, v text);
INSERT INTO s SELECT n, md5((n % 5)::text)::uuid, 'row ' || n FROM generate_series(1, 20) AS n;
