use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

/// What `numeric_gen.sql` had a real server compute.
#[test]
fn arithmetic_gives_what_postgres_gave() {
    for line in include_str!("numeric.tsv").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (a, b, places) = (number(fields[0]), number(fields[1]), fields[2].parse().unwrap());
        assert_eq!(a.to_string(), fields[0]);
        let mut bytes = Vec::new();
        a.write_binary(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, fields[3], "{line}");
        let results = [
            a.add(&b),
            a.subtract(&b),
            a.multiply(&b),
            a.divide(&b),
            a.modulo(&b),
            a.round_to(places, true),
            a.round_to(places, false),
            Ok(a.whole(false)),
            Ok(a.whole(true)),
        ];
        for (i, result) in results.into_iter().enumerate() {
            let shown = result.map_or("\\N".to_owned(), |value| value.to_string());
            assert_eq!(shown, fields[4 + i], "operation {i} of {line}");
        }
        let sign = match a.compare(&b) {
            Ordering::Less => "-1",
            Ordering::Equal => "0",
            Ordering::Greater => "1",
        };
        let ordered = !a.is_special() && !b.is_special();
        assert!(!ordered || sign == fields[13], "{line}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", " ", ".", "1e", "e5", "1.2.3", "--1", "+-1", "1 2", "abc", "+NaN", "1e5.0"] {
        assert_eq!(Numeric::parse(text).unwrap_err(), Malformed::Syntax, "{text:?}");
    }
    for text in ["0x1F", "1_000", "0b11"] {
        assert_eq!(Numeric::parse(text).unwrap_err(), Malformed::ByVersion, "{text:?}");
    }
    for text in ["1e131072", "1e-16384", "0e-20000", "1e9999999999"] {
        assert_eq!(Numeric::parse(text).unwrap_err(), Malformed::Range, "{text:?}");
    }
    assert_eq!(number(" \t-12.50e1\n").to_string(), "-125.0");
    assert_eq!(number("1e131071").to_string().len(), 131_072);
}

#[test]
fn integers_have_bounds() {
    assert_eq!(number("9223372036854775807.4").to_i64(), Some(i64::MAX));
    assert_eq!(number("9223372036854775807.5").to_i64(), None);
    assert_eq!(number("-9223372036854775808.4").to_i64(), Some(i64::MIN));
    assert_eq!(number("1e60").to_i64(), None);
    assert_eq!(Numeric::from_i64(i64::MIN).to_string(), i64::MIN.to_string());
}

proptest! {
    #[test]
    fn integers_agree_with_the_machine(a: i64, b in -1_000_000_000_000_i64..1_000_000_000_000) {
        let (x, y) = (Numeric::from_i64(a), Numeric::from_i64(b));
        let wide = |value: i128| value.to_string();
        prop_assert_eq!(x.add(&y).unwrap().to_string(), wide(i128::from(a) + i128::from(b)));
        prop_assert_eq!(x.subtract(&y).unwrap().to_string(), wide(i128::from(a) - i128::from(b)));
        prop_assert_eq!(x.multiply(&y).unwrap().to_string(), wide(i128::from(a) * i128::from(b)));
        prop_assert_eq!(x.compare(&y), a.cmp(&b));
        prop_assert_eq!(x.to_i64(), Some(a));
        if b != 0 {
            prop_assert_eq!(x.modulo(&y).unwrap().to_string(), wide(i128::from(a) % i128::from(b)));
        }
    }

    #[test]
    fn printing_and_the_wire_keep_every_decimal(text in "-?[0-9]{1,40}(\\.[0-9]{1,40})?") {
        let value = number(&text);
        let shown = value.to_string();
        prop_assert_eq!(number(&shown).to_string(), shown.clone());
        let mut bytes = Vec::new();
        value.write_binary(&mut bytes);
        prop_assert_eq!(Numeric::from_binary(&bytes).unwrap().to_string(), shown);
    }

    #[test]
    fn a_quotient_times_its_divisor_comes_back(a in "[1-9][0-9]{0,30}", b in "[1-9][0-9]{0,20}") {
        let (x, y) = (number(&a), number(&b));
        let product = x.multiply(&y).unwrap();
        prop_assert_eq!(product.divide(&y).unwrap().compare(&x), Ordering::Equal);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        if let Some(value) = Numeric::from_binary(&bytes) {
            prop_assert!(!value.to_string().is_empty());
        }
    }
}
