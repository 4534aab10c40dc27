CREATE TABLE parent (id int PRIMARY KEY, digits text);
CREATE TABLE child (id int PRIMARY KEY REFERENCES parent, n int);
CREATE TABLE grandchild (id int PRIMARY KEY REFERENCES child, big text);
CREATE TABLE head (id int PRIMARY KEY, n int);
CREATE TABLE tail (id int PRIMARY KEY REFERENCES head, digits text);
