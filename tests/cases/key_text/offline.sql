-- step
UPDATE s SET id = '' WHERE id = 'was empty';
