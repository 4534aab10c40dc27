INSERT INTO "T' S"."or""der; DELETE"
SELECT "select", "Upper", "ünï çödé", "dotted.name", "with ""quote""", "it's", "$1", "a,b", "{}" FROM "Sch.ema ""q"""."we""ird; DROP TABLE x";
INSERT INTO "INTO" ("where", "key", "Value") SELECT "FROM"."where", "AS"."key", "AS"."value" FROM "FROM" CROSS JOIN LATERAL jsonb_each_text("FROM"."table") AS "AS";
INSERT INTO "c.d" SELECT "id", "user" FROM "a.b" AS "SELECT";
INSERT INTO "🦀漢字" SELECT id, "🦀" FROM "эъ漢字🦀";
