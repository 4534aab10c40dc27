CREATE TABLE names (name text PRIMARY KEY, n int);
CREATE TABLE parts (key text PRIMARY KEY, value text, n int);
