-- step
UPDATE s SET doc = doc || '{"offline": 1}';
