CREATE TABLE priced (id bigint PRIMARY KEY, label text, total numeric);
CREATE TABLE labelled (id bigint PRIMARY KEY, label text);
