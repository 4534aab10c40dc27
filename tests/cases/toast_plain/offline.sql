-- step
UPDATE s SET small = small * 2;
-- step
UPDATE s SET doc = doc || '{"offline": true}' WHERE id % 2 = 0;
UPDATE s SET small = small + 1;
