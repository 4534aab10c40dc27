CREATE EXTENSION citext;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE t (id text COLLATE nocase PRIMARY KEY, v int, big text);
CREATE TABLE t_words (id text COLLATE nocase, n int, at bigint, word text, PRIMARY KEY (id, n, at));
CREATE TABLE t_citext (id citext, n int, at bigint, word text, PRIMARY KEY (id, n, at));
CREATE TABLE t_large (id text COLLATE nocase, n int, big text, PRIMARY KEY (id, n));
