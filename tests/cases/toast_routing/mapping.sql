INSERT INTO open SELECT id, status, big FROM s WHERE status = 'open';
INSERT INTO closed SELECT id, big FROM s WHERE status = 'closed';
INSERT INTO long SELECT id, status FROM s WHERE big IS NOT NULL AND length(big) > 100;
