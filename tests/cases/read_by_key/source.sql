CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE s (id int PRIMARY KEY, name text, at timestamptz, tags text[], big text, feeling mood);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
CREATE FUNCTION doubled(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
INSERT INTO s SELECT n, 'Name-' || n, timestamptz '2024-02-29 12:00+00' + n * interval '17 hours',
    ARRAY['t' || n, NULL, 'u'], repeat('x' || n, 2000), 'ok' FROM generate_series(1, 12) AS n;
INSERT INTO s VALUES (20, NULL, NULL, NULL, NULL, NULL), (21, '', 'infinity', '{}', '', 'sad');
