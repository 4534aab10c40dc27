CREATE TABLE t (id int PRIMARY KEY, a timestamptz, b timestamp, c date, d time, e timetz, f interval, g timestamptz(3), v int);
CREATE TABLE texts (id int PRIMARY KEY, a text, b text, c text);
