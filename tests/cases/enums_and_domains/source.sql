CREATE SCHEMA types;
CREATE TYPE types."Mood" AS ENUM ('sad', 'it''s ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN money_amount AS numeric(12, 2);
CREATE TABLE s (id positive PRIMARY KEY, mood types."Mood", mail email, amount money_amount, v text, n information_schema.cardinal_number);
INSERT INTO s SELECT n, (ARRAY['sad', 'it''s ok', 'happy', NULL])[1 + n % 4]::types."Mood", 'u' || n || '@x', n * 1.005, 'v', n FROM generate_series(1, 9) AS n;
