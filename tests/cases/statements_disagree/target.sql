CREATE TABLE heads (id int PRIMARY KEY, name text, qty int);
CREATE TABLE bodies (id int PRIMARY KEY, big text);
CREATE TABLE tags (id int, tag text, qty int, PRIMARY KEY (id, tag));
CREATE TABLE docs (id int, key text, value numeric, big_length int, PRIMARY KEY (id, key));
