-- A table that is joined twice: the comment tells one way, the SELECT the other one.
-- regraft: trace people.id -> author
INSERT INTO t
SELECT p.id, (SELECT max(a.name) FROM people AS a WHERE a.id = 0 + p.author), r.name
FROM papers AS p JOIN people AS r ON r.id = p.reviewer;
