CREATE TABLE summaries (id int PRIMARY KEY, customer text, products text, makers text);
CREATE TABLE lines (order_id int, line int, product text, maker text, PRIMARY KEY (order_id, line));
CREATE TABLE counts (id int PRIMARY KEY, makers bigint);
