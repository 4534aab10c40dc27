-- Two texts are one key when they differ only in case; the row's own bytes count at the target.
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE s (id text COLLATE nocase PRIMARY KEY, v int);
INSERT INTO s VALUES ('Alpha', 1), ('beta', 2), ('Gamma', 3), ('DELTA', 4), ('epsilon', 5);
