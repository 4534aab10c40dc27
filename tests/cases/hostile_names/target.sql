CREATE SCHEMA "T' S";
CREATE TABLE "T' S"."or""der; DELETE" ("select" int, "Upper" text, "group" text, "x.y" int, "q""q" text, "it's" int, "$1" int, "a,b" text, "{}" int, PRIMARY KEY ("select", "Upper"));
CREATE TABLE "INTO" ("where" int, "key" text, "Value" text, PRIMARY KEY ("where", "key"));
CREATE TABLE "c.d" ("id" int PRIMARY KEY, "user" text);
CREATE TABLE "🦀漢字" (id int PRIMARY KEY, "🦀" text);
