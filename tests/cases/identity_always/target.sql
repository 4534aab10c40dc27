CREATE TABLE plain (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, big text, more text DEFAULT 'kept');
CREATE TABLE natural_key (name text PRIMARY KEY, id int GENERATED ALWAYS AS IDENTITY, n int, big text);
CREATE INDEX ON natural_key (id);
CREATE TABLE numbered (id int PRIMARY KEY, seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE, n int, big text,
    twice bigint GENERATED ALWAYS AS (n * 2) STORED);
CREATE TABLE lists (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, bigs text[], ns int[]);
CREATE TABLE only_key (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
