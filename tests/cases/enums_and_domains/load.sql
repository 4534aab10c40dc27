-- step
UPDATE s SET mood = 'happy', mail = upper(mail) WHERE id < 5;
-- step
UPDATE s SET mood = 'sad', amount = amount * 3, n = n + 7;
UPDATE s SET id = id + 100 WHERE id > 6;
-- step: a new label
ALTER TYPE types."Mood" ADD VALUE 'new';
-- step
UPDATE s SET mood = 'new' WHERE id < 3;
-- step
DELETE FROM s WHERE mood = 'new';
