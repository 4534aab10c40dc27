CREATE TABLE a (id int PRIMARY KEY, v text, doc jsonb);
CREATE TABLE b (id int PRIMARY KEY, v text);
INSERT INTO a SELECT n, 'a' || n, jsonb_build_object('x', n, 'y', n) FROM generate_series(1, 9) AS n;
INSERT INTO b SELECT n, 'b' || n FROM generate_series(1, 9) AS n;
