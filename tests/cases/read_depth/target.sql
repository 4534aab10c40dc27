CREATE TABLE new_todos (id int PRIMARY KEY, title text, depth int);
