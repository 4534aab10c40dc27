-- step
UPDATE s SET moods = moods || 'ok'::mood;
-- step
UPDATE s SET moods = NULL WHERE id = 1;
INSERT INTO s VALUES (5, '{{sad,ok},{ok,sad}}');
