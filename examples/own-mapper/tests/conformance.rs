//! The mapper keeps what regraft relies on.

use own_mapper::UnpackPage;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use regraft::core::{Mapped, Mapper, Rows, TupleBuilder, oid};
use regraft_conformance::{Suite, relation};

fn table() -> regraft::core::Relation {
    let columns = [
        ("id", oid::INT8),
        ("uploaded_at", oid::TIMESTAMPTZ),
        ("page", oid::BYTEA),
        ("logger", oid::TEXT),
    ];
    relation("logger_pages", &columns, &["id"])
}

fn page(begun: u32, step: u16, readings: &[i32]) -> Vec<u8> {
    let mut page = [&begun.to_be_bytes()[..], &step.to_be_bytes()].concat();
    let mut before = 0_i64;
    for reading in readings {
        let difference = i64::from(*reading) - before;
        before = i64::from(*reading);
        let mut zigzag = (difference << 1) ^ (difference >> 63);
        while zigzag > 0x7f {
            page.push(0x80 | (zigzag & 0x7f) as u8);
            zigzag >>= 7;
        }
        page.push(zigzag as u8);
    }
    page
}

#[test]
fn it_conforms() {
    // Pages with readings of any size: what random bytes would hardly ever be.
    let pages = (any::<u32>(), any::<u16>(), vec(any::<i32>(), 0..6));
    let pages = pages.prop_map(|(begun, step, readings)| page(begun, step, &readings));
    Suite::new(UnpackPage::default(), table()).values("page", pages).assert();
}

#[test]
fn readings_come_out_as_they_went_in() {
    let mut mapper = UnpackPage::default();
    mapper.bind(&table()).unwrap();
    let mut image = TupleBuilder::with_capacity(4, 64);
    let packed = page(946_684_800 + 60, 30, &[5, -70_000, 0]);
    for cell in [&7_i64.to_be_bytes()[..], &[0; 8], &packed, b"a"] {
        image.push(regraft::core::Cell::Binary(cell));
    }
    let mut out = Rows::new();
    assert_eq!(mapper.map(&image.finish(), &mut out).unwrap(), Mapped::Rows(3));
    let number = |row: usize, column: usize| {
        let cell = out.get(row).unwrap().cell(column).unwrap().unwrap();
        i64::from_be_bytes(cell.try_into().unwrap())
    };
    assert_eq!([number(0, 3), number(1, 3), number(2, 3)], [60_000_000, 90_000_000, 120_000_000]);
    assert_eq!([number(0, 4), number(1, 4), number(2, 4)], [5, -70_000, 0]);
}
