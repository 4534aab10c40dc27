CREATE TABLE t (id int PRIMARY KEY, iv interval, ts timestamp, n int, u uuid, mr datemultirange, late text);
CREATE TABLE texts (id int PRIMARY KEY, iv text, negated interval, twice interval, later timestamp, gap interval, finite boolean, days double precision);
CREATE TABLE generated (id int PRIMARY KEY, doubled int, own int GENERATED ALWAYS AS (doubled + 1) VIRTUAL);
