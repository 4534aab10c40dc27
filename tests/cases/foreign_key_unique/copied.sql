ALTER TABLE new_guests ADD FOREIGN KEY (seat) REFERENCES new_seats;
