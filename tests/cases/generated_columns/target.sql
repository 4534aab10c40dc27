CREATE TABLE t (id int PRIMARY KEY, a int, v text, label text GENERATED ALWAYS AS (v || '!') STORED);
CREATE TABLE numbered (row_id bigint GENERATED ALWAYS AS IDENTITY, id int PRIMARY KEY, v text);
CREATE TABLE ids (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
