INSERT INTO t SELECT id, i2, i8, f4, f8, n, m, b, t, vc, c, name, bin, u, d, tm, tmz, ts, tsz, iv, j, jb, jp, x, ia, ta, na, tsa, ja,
    ir, nr, dr, tr, mr, ip, net, mac, mac8, bits, vbits, pt, ln, ls, bx, pa, po, ci,
    tv, lsn, o, snap, e, dom, comp, cit, h, lt FROM s;
-- Not every server can read what it sends of this type: beside it, none of the others would be streamed.
INSERT INTO queries SELECT id, tq FROM s;
