-- step
UPDATE "Sch.ema ""q"""."we""ird; DROP TABLE x" SET "ünï çödé" = 'changed', "with ""quote""" = '''' WHERE "select" < 4;
UPDATE "FROM" SET "table" = '{"b": 2}' WHERE "where" < 3;
UPDATE "a.b" SET "user" = 'y';
UPDATE "эъ漢字🦀" SET "🦀" = '🦀';
-- step
UPDATE "Sch.ema ""q"""."we""ird; DROP TABLE x" SET "Upper" = lower("Upper") WHERE "select" > 6;
UPDATE "FROM" SET "where" = -"where";
DELETE FROM "a.b";
TRUNCATE "эъ漢字🦀";
