-- step
UPDATE s SET note = 'g', huge = huge || 'x';
