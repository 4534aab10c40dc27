-- The equality of the join leads from a kind to its items.
INSERT INTO priced SELECT i.id, k.label, k.price * i.pieces FROM items AS i JOIN kinds AS k ON k.id = i.kind;
-- regraft: trace kinds.id -> kind
INSERT INTO labelled SELECT i.id, coalesce((SELECT k.label FROM kinds AS k WHERE k.id = i.kind LIMIT 1), 'none') FROM items AS i;
