-- step
UPDATE s SET slot = 1 + slot % 300;
-- step
UPDATE s SET slot = 301 - slot;
