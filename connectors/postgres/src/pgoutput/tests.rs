use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use regraft_core::{Cell, Position};

use super::*;

/// A column as it is put on the wire.
#[derive(Clone, Debug)]
enum Wire {
    Null,
    Unchanged,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

impl Wire {
    fn cell(&self) -> Cell<'_> {
        match self {
            Wire::Null => Cell::Null,
            Wire::Unchanged => Cell::Unchanged,
            Wire::Text(bytes) => Cell::Text(bytes),
            Wire::Binary(bytes) => Cell::Binary(bytes),
        }
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_slice(text.as_bytes());
    out.put_u8(0);
}

fn put_tuple(out: &mut BytesMut, tag: u8, cells: &[Wire]) {
    out.put_u8(tag);
    out.put_u16(cells.len() as u16);
    for cell in cells {
        let (kind, bytes) = match cell {
            Wire::Null => (b'n', None),
            Wire::Unchanged => (b'u', None),
            Wire::Text(bytes) => (b't', Some(bytes)),
            Wire::Binary(bytes) => (b'b', Some(bytes)),
        };
        out.put_u8(kind);
        if let Some(bytes) = bytes {
            out.put_u32(bytes.len() as u32);
            out.put_slice(bytes);
        }
    }
}

fn begin() -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'B');
    out.put_u64(0x1_0000_0000);
    out.put_i64(1_000_001);
    out.put_u32(77);
    out.freeze()
}

fn commit() -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(b"C\0");
    out.put_u64(0x1_0000_0000);
    out.put_u64(0x1_0000_0030);
    out.put_i64(1_000_001);
    out.freeze()
}

fn relation(relation: &Relation) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(b'R');
    out.put_u32(relation.oid);
    put_string(&mut out, &relation.table.schema);
    put_string(&mut out, &relation.table.name);
    out.put_u8(match relation.identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    });
    out.put_u16(relation.columns.len() as u16);
    for column in &relation.columns {
        out.put_u8(u8::from(column.key));
        put_string(&mut out, &column.name);
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
    out.freeze()
}

/// `images`: tag and columns, in the order of the wire.
fn change(kind: u8, oid: Oid, images: &[(u8, &[Wire])]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(kind);
    out.put_u32(oid);
    for (tag, cells) in images {
        put_tuple(&mut out, *tag, cells);
    }
    out.freeze()
}

fn table(columns: usize, identity: ReplicaIdentity) -> Relation {
    let column = |i: usize| Column {
        name: format!("c{i}"),
        type_oid: 25,
        type_modifier: -1,
        key: i == 0 || identity == ReplicaIdentity::Full,
    };
    Relation {
        oid: 16_400,
        table: TableName::new("public", "todos"),
        identity,
        columns: (0..columns).map(column).collect(),
    }
}

/// A decoder inside a transaction, that knows the table.
fn prepared(shape: &Relation) -> Decoder {
    let mut decoder = Decoder::new();
    decoded(&mut decoder, begin());
    decoded(&mut decoder, relation(shape));
    decoder
}

fn decode_change(decoder: &mut Decoder, bytes: Bytes) -> Change {
    match decoded(decoder, bytes).pop() {
        Some(Event::Change(change)) => change,
        other => panic!("not a change: {other:?}"),
    }
}

fn same(tuple: &Tuple, cells: &[Wire]) -> bool {
    tuple.iter().eq(cells.iter().map(Wire::cell))
}

fn decoded(decoder: &mut Decoder, bytes: Bytes) -> Vec<Event> {
    let mut events = Vec::new();
    decoder.decode(bytes, &mut events).unwrap();
    events
}

fn refused(decoder: &mut Decoder, bytes: impl Into<Bytes>) -> Error {
    let error = decoder.decode(bytes.into(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
    error
}

#[test]
fn a_transaction_begins_and_ends() {
    let mut decoder = Decoder::new();
    assert!(decoded(&mut decoder, begin()).is_empty(), "it is not told yet where it comes from");
    assert!(decoder.in_transaction());
    let end = decoded(&mut decoder, commit());
    let [Event::Begin(transaction), end] = &end[..] else { panic!("{end:?}") };
    assert_eq!((&transaction.at, transaction.xid), (&Lsn(0x1_0000_0000).into(), Some(77)));
    let since_1970 = transaction.commit_time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(since_1970, Duration::from_micros(946_684_801_000_001));
    assert_eq!(transaction.origin, None);
    assert!(matches!(end, Event::Commit { end: Position::Lsn(Lsn(0x1_0000_0030)) }));
    assert!(!decoder.in_transaction());
}

#[test]
fn an_unchanged_column_is_taken_from_a_full_old_image() {
    let mut decoder = prepared(&table(3, ReplicaIdentity::Full));
    let old = [Wire::Binary(b"1".into()), Wire::Text(b"big".into()), Wire::Null];
    let new = [Wire::Binary(b"1".into()), Wire::Unchanged, Wire::Text(b"x".into())];
    let bytes = change(b'U', 16_400, &[(b'O', &old), (b'N', &new)]);
    let Change::Update { old: Some(OldImage::Full(before)), new, relation } =
        decode_change(&mut decoder, bytes)
    else {
        panic!()
    };
    assert!(same(&before, &old));
    let want = [Wire::Binary(b"1".into()), Wire::Text(b"big".into()), Wire::Text(b"x".into())];
    assert!(same(&new, &want));
    assert_eq!(relation.identity, ReplicaIdentity::Full);
}

#[test]
fn an_unchanged_column_stays_unchanged_without_a_full_old_image() {
    let mut decoder = prepared(&table(2, ReplicaIdentity::Default));
    let key = [Wire::Binary(b"1".into()), Wire::Null];
    let row = [Wire::Binary(b"2".into()), Wire::Unchanged];
    for images in [&[(b'K', &key[..]), (b'N', &row[..])][..], &[(b'N', &row[..])]] {
        let bytes = change(b'U', 16_400, images);
        let Change::Update { new, .. } = decode_change(&mut decoder, bytes) else { panic!() };
        assert_eq!(new.get(1), Some(Cell::Unchanged));
    }
}

#[test]
fn a_key_that_is_unchanged_is_taken_from_the_old_key() {
    let mut decoder = prepared(&table(2, ReplicaIdentity::Default));
    let key = [Wire::Binary(b"long".into()), Wire::Null];
    let row = [Wire::Unchanged, Wire::Unchanged];
    let bytes = change(b'U', 16_400, &[(b'K', &key), (b'N', &row)]);
    let Change::Update { new, .. } = decode_change(&mut decoder, bytes) else { panic!() };
    assert!(same(&new, &[Wire::Binary(b"long".into()), Wire::Unchanged]));
}

#[test]
fn a_truncate_names_every_table() {
    let mut decoder = prepared(&table(1, ReplicaIdentity::Default));
    let bytes = Bytes::from_static(b"T\0\0\0\x02\x01\0\0\x40\x10\0\0\x40\x10");
    let Change::Truncate { relations } = decode_change(&mut decoder, bytes) else { panic!() };
    assert_eq!(relations.len(), 2);
    refused(&mut decoder, &b"T\0\0\0\x01\0\0\0\0\x09"[..]);
    refused(&mut decoder, &b"T\x7F\xFF\xFF\xFF\0\0\0\x40\x10"[..]);
}

#[test]
fn messages_types_and_origins_are_understood() {
    let mut decoder = Decoder::new();
    let message = Bytes::from_static(b"M\0\0\0\0\0\0\0\0\x01regraft\0\0\0\0\x03a:1");
    match decoded(&mut decoder, message.clone()).pop() {
        Some(Event::Message { prefix, content, transactional: false }) => {
            assert_eq!((prefix.as_str(), &content[..]), ("regraft", &b"a:1"[..]));
        }
        other => panic!("{other:?}"),
    }
    match decoded(&mut decoder, Bytes::from_static(b"Y\0\0\x40\x01\0mood\0")).pop() {
        Some(Event::Type { oid: 16_385, schema, name }) => {
            assert_eq!((schema.as_str(), name.as_str()), ("pg_catalog", "mood"));
        }
        other => panic!("{other:?}"),
    }
    let origin = Bytes::from_static(b"O\0\0\0\0\0\0\0\x01node\0");
    refused(&mut decoder, origin.clone());
    decoded(&mut decoder, begin());
    match &decoded(&mut decoder, origin.clone())[..] {
        [Event::Begin(Transaction { origin: Some(Origin { name, at }), xid: Some(77), .. })] => {
            assert_eq!((&**name, at), ("node", &Lsn(1).into()));
        }
        other => panic!("{other:?}"),
    }
    refused(&mut decoder, origin);
    refused(&mut decoder, message);
}

#[test]
fn what_does_not_belong_here_is_refused() {
    let shape = table(2, ReplicaIdentity::Default);
    let row = [Wire::Null, Wire::Null];
    let insert = change(b'I', 16_400, &[(b'N', &row)]);
    refused(&mut Decoder::new(), commit());
    refused(&mut Decoder::new(), insert.clone());
    let mut decoder = prepared(&shape);
    refused(&mut decoder, begin());
    refused(&mut decoder, change(b'I', 9, &[(b'N', &row)]));
    refused(&mut decoder, change(b'I', 16_400, &[(b'N', &row[..1])]));
    refused(&mut decoder, change(b'I', 16_400, &[(b'O', &row), (b'N', &row)]));
    refused(&mut decoder, change(b'U', 16_400, &[(b'O', &row), (b'O', &row)]));
    refused(&mut decoder, change(b'D', 16_400, &[(b'N', &row)]));
    refused(&mut decoder, &b"?"[..]);
    refused(&mut decoder, &b""[..]);
    refused(&mut decoder, [&insert[..], b"\0"].concat());
    // A negative number of columns, a negative length, a length beyond the end.
    refused(&mut decoder, &b"I\0\0\x40\x10N\xFF\xFF"[..]);
    refused(&mut decoder, &b"I\0\0\x40\x10N\0\x02nt\xFF\xFF\xFF\xFF"[..]);
    refused(&mut decoder, &b"I\0\0\x40\x10N\0\x02nt\x7F\xFF\xFF\xFFabc"[..]);
    refused(&mut decoder, &b"R\0\0\0\x01\xFF\0t\0d\0\0"[..]);
    assert_eq!(decoded(&mut decoder, insert).len(), 1, "the decoder still works");
}

#[test]
fn every_cut_of_every_message_is_refused() {
    let shape = table(2, ReplicaIdentity::Full);
    let row = [Wire::Text(b"abc".into()), Wire::Unchanged];
    let messages = [
        begin(),
        relation(&shape),
        change(b'I', 16_400, &[(b'N', &row)]),
        change(b'U', 16_400, &[(b'O', &row), (b'N', &row)]),
        change(b'D', 16_400, &[(b'K', &row)]),
    ];
    for (i, message) in messages.iter().enumerate() {
        for end in 0..message.len() {
            let mut decoder = if i == 0 { Decoder::new() } else { prepared(&shape) };
            refused(&mut decoder, message.slice(..end));
        }
    }
}

fn wire_cell() -> impl Strategy<Value = Wire> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        Just(Wire::Null),
        Just(Wire::Unchanged),
        bytes().prop_map(Wire::Text),
        bytes().prop_map(Wire::Binary),
    ]
}

fn shape() -> impl Strategy<Value = Relation> {
    let identity = prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Nothing),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Index),
    ];
    let column = (any::<bool>(), "[^\0]{0,12}", any::<u32>(), any::<i32>()).prop_map(
        |(key, name, type_oid, type_modifier)| Column { name, type_oid, type_modifier, key },
    );
    let columns = prop::collection::vec(column, 0..20);
    (any::<u32>(), "[^\0]{1,12}", "[^\0]{1,12}", identity, columns).prop_map(
        |(oid, schema, name, identity, columns)| Relation {
            oid,
            table: TableName { schema, name },
            identity,
            columns,
        },
    )
}

/// A table with an old and a new row of it.
fn rows() -> impl Strategy<Value = (Relation, Vec<Wire>, Vec<Wire>)> {
    shape().prop_flat_map(|shape| {
        let row = || prop::collection::vec(wire_cell(), shape.columns.len());
        (Just(shape.clone()), row(), row())
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)
    ) {
        let mut decoder = Decoder::new();
        for bytes in messages {
            let _outcome = decoder.decode(bytes.into(), &mut Vec::new());
        }
    }

    #[test]
    fn arbitrary_bytes_behind_a_known_kind_never_panic(
        messages in prop::collection::vec(
            (prop::sample::select(&b"BCORYIUDTM"[..]), prop::collection::vec(any::<u8>(), 0..200)),
            0..8,
        )
    ) {
        let mut decoder = prepared(&table(3, ReplicaIdentity::Full));
        for (kind, bytes) in messages {
            let _outcome = decoder.decode([&[kind][..], &bytes].concat().into(), &mut Vec::new());
        }
    }

    #[test]
    fn mutated_changes_never_panic(
        (shape, old, new) in rows(),
        kind in prop::sample::select(&b"IUD"[..]),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut decoder = prepared(&shape);
        let mut bytes = change(kind, shape.oid, &[(b'O', &old), (b'N', &new)]).to_vec();
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // Whatever it still is, its columns can be read.
        let mut events = Vec::new();
        decoder.decode(bytes.into(), &mut events).ok();
        if let Some(Event::Change(Change::Update { new, old, .. })) = events.pop() {
            prop_assert_eq!(new.iter().count(), shape.columns.len());
            prop_assert_eq!(old.map_or(new.len(), |old| old.tuple().iter().count()), new.len());
        }
    }

    #[test]
    fn what_is_encoded_is_decoded((shape, old, new) in rows(), full in any::<bool>()) {
        let mut decoder = Decoder::new();
        decoded(&mut decoder, begin());
        match decoded(&mut decoder, relation(&shape)).pop() {
            Some(Event::Relation(found)) => prop_assert_eq!(&*found, &shape),
            other => prop_assert!(false, "{:?}", other),
        }
        let tag = if full { b'O' } else { b'K' };
        match decode_change(&mut decoder, change(b'I', shape.oid, &[(b'N', &new)])) {
            Change::Insert { new: decoded, .. } => prop_assert!(same(&decoded, &new)),
            other => prop_assert!(false, "{:?}", other),
        }
        match decode_change(&mut decoder, change(b'D', shape.oid, &[(tag, &old)])) {
            Change::Delete { old: decoded, .. } => {
                prop_assert!(same(decoded.tuple(), &old));
                prop_assert_eq!(matches!(decoded, OldImage::Full(_)), full);
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let filled: Vec<_> = new
            .iter()
            .zip(&old)
            .zip(&shape.columns)
            .map(|((new, old), column)| match new {
                Wire::Unchanged if full || column.key => old.clone(),
                present => present.clone(),
            })
            .collect();
        match decode_change(&mut decoder, change(b'U', shape.oid, &[(tag, &old), (b'N', &new)])) {
            Change::Update { new: decoded, .. } => prop_assert!(same(&decoded, &filled)),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
