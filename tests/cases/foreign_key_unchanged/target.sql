CREATE TABLE heads (id int PRIMARY KEY, v text, note text);
CREATE TABLE parts (id int REFERENCES heads, key text, value text, PRIMARY KEY (id, key));
