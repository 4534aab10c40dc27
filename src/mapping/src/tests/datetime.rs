use proptest::prelude::*;

use super::*;

fn shown(value: i64, kind: Type) -> String {
    text(value, kind).unwrap()
}

#[test]
fn the_ends_of_time_are_printed_as_postgres_does() {
    assert_eq!(shown(FIRST, Type::Timestamp), "4714-11-24 00:00:00 BC");
    assert_eq!(shown(END - 1, Type::Timestamptz), "294276-12-31 23:59:59.999999+00");
    assert_eq!(shown(0, Type::Date), "2000-01-01");
    assert_eq!(shown(i64::MAX, Type::Timestamp), "infinity");
    assert_eq!(shown(DATE_LOW, Type::Date), "-infinity");
    assert!(convert(i64::from(i32::MAX) - 1, Type::Date, Type::Timestamp).is_none());
}

#[test]
fn only_plain_iso_is_read() {
    for text in [
        "2020-02-30",
        "20-01-01",
        "2020-1-1",
        "2020-01-01 ",
        "now",
        "today",
        "0000-01-01",
        "2020-01-01 24:00:00",
        "2020-01-01 10:00:60",
        "2020-01-01 10:00:00.1234567",
        "2020-01-01 10:00:00 +00",
        "2020-13-01",
    ] {
        assert_eq!(parse(text, Type::Timestamptz), None, "{text}");
    }
    assert_eq!(parse("2020-01-01 10:00:00+00", Type::Timestamp), None);
    assert_eq!(parse("2000-01-01T00:00:01.5-01:30", Type::Timestamptz), Some(5_401_500_000));
}

proptest! {
    #[test]
    fn days_and_dates_are_the_same_thing(days in -2_500_000_i64..110_000_000) {
        let (year, month, day) = civil_from_days(days);
        prop_assert_eq!(days_from_civil(year, month, day), days);
        prop_assert!((1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day));
    }

    #[test]
    fn what_is_printed_reads_back(micros in -63_000_000_000_000_000_i64..250_000_000_000_000_000) {
        for kind in [Type::Timestamp, Type::Timestamptz] {
            prop_assert_eq!(parse(&shown(micros, kind), kind), Some(micros));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        prop_assert!(parse(&text, Type::Timestamptz).is_none());
    }
}
