CREATE TABLE new_seats (id int PRIMARY KEY);
CREATE TABLE new_guests (id int PRIMARY KEY, seat int UNIQUE);
