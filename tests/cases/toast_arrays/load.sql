-- step: arrays beside an unchanged value
UPDATE s SET small = small + 1, numbers = numbers || 7;
-- step
UPDATE s SET tags = tags || ARRAY['more'] WHERE id <= 3;
-- step
UPDATE s SET numbers = NULL, tags = '{}' WHERE id = 1;
UPDATE s SET small = 0 WHERE id IN (1, 4);
-- step: two dimensions
UPDATE s SET numbers = ARRAY[[1, 2], [3, NULL]] WHERE id = 2;
