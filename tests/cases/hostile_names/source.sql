CREATE SCHEMA "Sch.ema ""q""";
CREATE TABLE "Sch.ema ""q"""."we""ird; DROP TABLE x" ("select" int, "Upper" text, "ünï çödé" text, "dotted.name" int, "with ""quote""" text, "it's" int, "$1" int, "a,b" text, "{}" int, PRIMARY KEY ("select", "Upper"));
INSERT INTO "Sch.ema ""q"""."we""ird; DROP TABLE x" SELECT n, 'U' || n, 'ü' || n, n, '"', n, n, ',', n FROM generate_series(1, 9) AS n;
CREATE TABLE "FROM" ("where" int PRIMARY KEY, "table" jsonb);
INSERT INTO "FROM" SELECT n, '{"a": 1}' FROM generate_series(1, 4) AS n;
CREATE TABLE "a.b" ("id" int PRIMARY KEY, "user" text);
INSERT INTO "a.b" VALUES (1, 'x');
CREATE TABLE "эъ漢字🦀" (id int PRIMARY KEY, "🦀" text);
INSERT INTO "эъ漢字🦀" VALUES (1, 'x'), (2, 'y');
