-- Other objects first, so that no object id is the same as at the source.
CREATE TABLE before_1 (a int); CREATE TABLE before_2 (a int);
CREATE SCHEMA types;
CREATE DOMAIN money_amount AS numeric(12, 2);
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE types."Mood" AS ENUM ('happy', 'it''s ok', 'sad', 'new');
CREATE TABLE t (id positive PRIMARY KEY, mood types."Mood", mail email, amount money_amount, n int);
CREATE TABLE texts (id int PRIMARY KEY, mood text, mail text, amount numeric, n int);
CREATE TABLE sad (id int PRIMARY KEY, mood types."Mood");
