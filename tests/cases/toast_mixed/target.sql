CREATE TABLE joined (id int PRIMARY KEY, label text, n int);
CREATE TABLE two (id int PRIMARY KEY, both_of_them text, n int, huge text);
