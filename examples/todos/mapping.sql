-- Every todo is in exactly one of the two tables: the status decides. This file runs in psql as it
-- stands when both schemas are in one database.

INSERT INTO todos_active (id, user_id, project_id, parent_todo_id, title, description, status, priority,
                          due_date, ai_generated, tags, created_at, updated_at, completed_at)
SELECT id, user_id, project_id, parent_todo_id, title, description, status, coalesce(priority, 0),
       due_date, ai_generated, tags, created_at, updated_at, completed_at
FROM todos
WHERE status <> 'archived';

INSERT INTO todos_archived (id, user_id, project_id, parent_todo_id, title, description, priority,
                            due_date, ai_generated, tags, created_at, completed_at, archived_at)
SELECT id, user_id, project_id, parent_todo_id, title, description, coalesce(priority, 0),
       due_date, ai_generated, tags, created_at, completed_at, archived_at
FROM todos
WHERE status = 'archived';
