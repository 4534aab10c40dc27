CREATE TABLE s (id int PRIMARY KEY, user_id int NOT NULL, status text, archived_at date, title text);
INSERT INTO s SELECT n, n % 4, CASE WHEN n % 3 = 0 THEN 'archived' ELSE 'open' END, CASE WHEN n % 3 = 0 THEN '2024-01-10'::date + n END, 'todo ' || n FROM generate_series(1, 24) AS n;
