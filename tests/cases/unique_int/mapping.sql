INSERT INTO t SELECT id, place, room, bed FROM s;
