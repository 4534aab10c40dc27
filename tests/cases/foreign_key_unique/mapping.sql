INSERT INTO new_seats SELECT id FROM seats;
INSERT INTO new_guests SELECT id, seat FROM guests;
