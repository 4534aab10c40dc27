INSERT INTO active SELECT id, user_id, status, title FROM s WHERE status IS DISTINCT FROM 'archived';
INSERT INTO archived SELECT id, archived_at, title FROM s WHERE status = 'archived' AND archived_at IS NOT NULL;
