-- The order of the statements is not that of the references.
INSERT INTO new_children SELECT id, parent, v FROM children;
INSERT INTO new_parents SELECT id, v FROM parents;
