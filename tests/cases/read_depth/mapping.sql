-- The depth of a todo by its chain of parents: a change of one leads to all below it.
-- regraft: trace todos.id -> parent_id
INSERT INTO new_todos
SELECT t.id, t.title, (
    WITH RECURSIVE up AS (
        SELECT p.parent_id, 1 AS n FROM todos AS p WHERE p.id = t.parent_id
        UNION ALL SELECT p.parent_id, up.n + 1 FROM up JOIN todos AS p ON p.id = up.parent_id
    ) SELECT coalesce(max(n), 0) FROM up)
FROM todos AS t;
