CREATE TABLE t (at timestamptz, on_day date, local timestamp, v text, PRIMARY KEY (on_day, at));
