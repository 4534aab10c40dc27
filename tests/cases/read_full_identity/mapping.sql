INSERT INTO pages
SELECT p.id, p.name, sum(length(n.text)), array_agg(n.id ORDER BY n.id)
FROM people AS p LEFT JOIN notes AS n ON p.id = n.person GROUP BY p.id;
