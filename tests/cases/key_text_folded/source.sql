-- Texts that are not the same are equal at the target: rows of one source row are not those of the other.
CREATE TABLE s (id text COLLATE "C" PRIMARY KEY, v int, words text, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s VALUES ('Alpha', 1, 'one two', repeat('a', 9000)), ('beta', 2, 'three', NULL), ('Gamma', 3, 'four five six', repeat('b', 9000)), ('delta', 4, NULL, NULL);
-- Keys that differ in case alone, beside another column of the target's key.
CREATE TABLE w (id text COLLATE "C" PRIMARY KEY, n int, words text, big text);
ALTER TABLE w ALTER big SET STORAGE EXTERNAL;
INSERT INTO w VALUES ('a', 1, 'x y', repeat('a', 9000)), ('A', 2, 'z', repeat('b', 9000)), ('b', 3, 'p q r', NULL), ('B', 4, NULL, NULL), ('c', 5, 's', NULL);
