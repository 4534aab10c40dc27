-- Three tables away from the row whose key it is: each equality leads one step.
INSERT INTO summaries
SELECT o.id, o.customer, string_agg(p.name, ',' ORDER BY i.line, p.id), string_agg(m.name, ',' ORDER BY i.line, p.id)
FROM orders AS o
LEFT JOIN items AS i ON i.order_id = o.id
LEFT JOIN products AS p ON p.id = i.product
LEFT JOIN makers AS m ON m.id = p.maker
GROUP BY o.id;

-- Inner joins lead in either direction.
INSERT INTO lines
SELECT o.id, i.line, p.name, m.name
FROM makers AS m
JOIN products AS p ON p.maker = m.id
JOIN items AS i ON i.product = p.id
JOIN orders AS o ON o.id = i.order_id;

-- Where the SELECT does not say it, comments do, from table to table.
-- regraft: trace items.order_id -> id
-- regraft: trace products.id -> items.product
INSERT INTO counts
SELECT o.id, (SELECT count(DISTINCT maker) FROM (SELECT * FROM products JOIN items ON id = product) AS x WHERE order_id = o.id)
FROM orders AS o;
