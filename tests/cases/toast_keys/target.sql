CREATE TABLE t_pages (url text PRIMARY KEY, title text, hits int, body text);
CREATE TABLE t_parts (id int, url text, v int, body text, PRIMARY KEY (id, url));
CREATE TABLE t_words (url text, word text, PRIMARY KEY (url, word));
CREATE TABLE t_whole (url text PRIMARY KEY, v int, body text);
CREATE TABLE t_other (url text PRIMARY KEY, id int, v int);
CREATE TABLE t_links (id int PRIMARY KEY, url text, title text, hits int);
