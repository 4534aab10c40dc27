//! Inputs to begin with.

use regraft::core::Column;

/// The tests of the mapping: names, types and rows of a table, and expressions over it.
pub(super) const ROWS: &str = include_str!("../../../src/mapping/src/tests/rows.tsv");
const EXPRESSIONS: &str = include_str!("../../../src/mapping/src/tests/expressions.txt");

/// In place of the length of a value.
pub(super) const NULL: u16 = 0xffff;
/// The same.
pub(super) const UNCHANGED: u16 = 0xfffe;

/// The columns of the table.
pub(super) fn columns() -> impl Iterator<Item = Column> {
    let column = |text: &str| {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).unwrap_or(-1);
        let (type_oid, modifier) = (number(), number());
        Column {
            name: name.to_owned(),
            type_oid: u32::try_from(type_oid).unwrap_or_default(),
            type_modifier: i32::try_from(modifier).unwrap_or(-1),
            key: name == "id",
        }
    };
    ROWS.lines().next().unwrap_or_default().split(',').map(column)
}

/// A line of the rows as the targets read it.
pub(super) fn row(line: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for cell in line.split(',') {
        if cell == "N" {
            out.extend(NULL.to_be_bytes());
            continue;
        }
        let digits = cell.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
        let value: Vec<_> = digits.filter_map(|pair| u8::from_str_radix(&pair, 16).ok()).collect();
        out.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        out.extend(value);
    }
    out
}

/// Each expression as a statement.
pub(super) fn expressions() -> Vec<Vec<u8>> {
    let statement = |sql: &str| {
        let tail = if sql.contains(" FROM s") { "" } else { " FROM s" };
        format!("INSERT INTO t SELECT {sql}{tail};").into_bytes()
    };
    EXPRESSIONS.lines().filter(|line| !line.trim().is_empty()).map(statement).collect()
}

/// Rows, each with the number of some expression.
pub(super) fn values() -> Vec<Vec<u8>> {
    let rows: Vec<_> = ROWS.lines().skip(1).map(row).collect();
    (0_u16..2_000)
        .map(|n| [n.to_be_bytes().as_slice(), &rows[usize::from(n) % rows.len()]].concat())
        .collect()
}

/// Expressions, and sizes that nobody means.
pub(super) fn mapping() -> Vec<Vec<u8>> {
    let mut texts = expressions();
    let many = 4_000;
    for item in [
        format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("i4 IN ({})", vec!["1"; many].join(", ")),
        format!("to_char(n, '{}')", "9".repeat(66_000)),
        format!("to_char(ts, '{}')", "Q".repeat(66_000)),
        format!("\"{}\"", "x".repeat(100_000)),
        format!("'{}'", "x".repeat(100_000)),
        format!("$a${}$a$", "$".repeat(100_000)),
        format!("{}1", "/*".repeat(100_000)),
        format!("1{}", "::int".repeat(many)),
        format!("{}1", "-".repeat(many)),
        format!("concat({})", vec!["t"; many].join(", ")),
        format!("CASE {} END", "WHEN true THEN 1 ".repeat(many)),
        format!("1e{}", "9".repeat(many)),
        "9".repeat(100_000),
        format!("t LIKE '{}'", "%_".repeat(many)),
        format!("t ~ '{}'", "(a*)*".repeat(1_000)),
        format!("t ~ '{}'", "(".repeat(many)),
        format!("k @@ '{}'", "$.a".repeat(many)),
        format!("k -> '{}'", "[".repeat(many)),
        "'\0'".to_owned(),
        "U&'\\D800'".to_owned(),
        "E'\\xff\\377\\u0000'".to_owned(),
        "1\r\n--\r\n,2".to_owned(),
        "\u{feff}1".to_owned(),
        "i4 \u{a0}+ 1".to_owned(),
    ] {
        texts.push(format!("INSERT INTO t SELECT {item} FROM s").into_bytes());
    }
    texts.push(b"\xff\xfeINSERT INTO t SELECT 1 FROM s".to_vec());
    texts.push("INSERT INTO t SELECT 1 FROM s;".repeat(1_000).into_bytes());
    texts.push(b"-- regraft: trace a.b -> c\nINSERT INTO t SELECT 1 FROM s".to_vec());
    texts
}

/// A file with every key, and sizes that nobody means.
pub(super) fn settings() -> Vec<Vec<u8>> {
    let whole = "name = \"shop\"\n[source]\nurl = \"postgres://a:${SECRET}@h:5432/d?sslmode=verify-full\"\n\
        slot = \"s\"\npublication = \"p\"\n[target]\nurl_file = \"target.url\"\nsessions = 4\n[mapping]\nfile = \"mapping.sql\"\n\
        [backfill]\nenabled = true\nreaders = 4\nchunk_rows = 1000\nchunk_bytes = \"8MiB\"\nrows_per_second = 10\n\
        [limits]\nmemory = \"1GiB\"\nbatch_rows = 7\nbatch_bytes = \"2MiB\"\nbatch_age = \"5s\"\n\
        [verify]\nenabled = true\nrows_per_second = 5\nsource_percent = 3\n[http]\nlisten = \"127.0.0.1:8080\"\nready_lag = \"30s\"\n\
        [deadlines]\nanswer = \"15s\"\n[log]\nformat = \"json\"\nlevel = \"debug\"\n";
    let mut texts = vec![whole.as_bytes().to_vec(), whole.replace('\n', "\r\n").into_bytes()];
    for text in [
        format!("name = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("name = {}{}", "{a=".repeat(50_000), "}".repeat(50_000)),
        format!("{} = 1", vec!["a"; 50_000].join(".")),
        format!("[{}]", vec!["a"; 50_000].join(".")),
        format!("name = \"{}\"", "${A}".repeat(20_000)),
        format!("name = \"{}\"", "${".repeat(20_000)),
        format!("name = \"{}\"", "x".repeat(1_000_000)),
        format!("{}\n", "a = 1\n".repeat(20_000)),
        "name = \"\0\"".to_owned(),
        "\u{feff}name = \"a\"".to_owned(),
        format!("[limits]\nmemory = \"{}GiB\"", "9".repeat(5_000)),
        "[limits]\nbatch_age = \"99999999999999999999h\"".to_owned(),
        "[backfill]\nchunk_rows = 9223372036854775807\nreaders = -9223372036854775808".to_owned(),
        "[limits]\nbatch_rows = 1e308\nmemory = nan".to_owned(),
        "[http]\nlisten = 1979-05-27T07:32:00Z".to_owned(),
    ] {
        texts.push(text.into_bytes());
    }
    texts.push(b"name = \"\xff\xfe\"".to_vec());
    texts
}

/// A stream with a message of each kind.
fn stream() -> Vec<Vec<u8>> {
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    let value = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
        [b"b", length.as_slice(), bytes].concat()
    };
    let relation = [
        [b"R".as_slice(), &1_u32.to_be_bytes()].concat(),
        text("public"),
        text("s"),
        [b"d".as_slice(), &2_u16.to_be_bytes(), &[1]].concat(),
        text("id"),
        [23_u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat(),
        vec![0],
        text("v"),
        [25_u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat(),
    ];
    let row = [2_u16.to_be_bytes().to_vec(), value(&[0, 0, 0, 7]), value(b"text")].concat();
    let partly = [2_u16.to_be_bytes().to_vec(), value(&[0, 0, 0, 7]), b"u".to_vec()].concat();
    let key = [2_u16.to_be_bytes().to_vec(), value(&[0, 0, 0, 8]), b"n".to_vec()].concat();
    let of = |kind: &[u8]| [kind, &1_u32.to_be_bytes()].concat();
    let message = [
        [b"M\x01".as_slice(), &9_u64.to_be_bytes()].concat(),
        text("regraft"),
        [4_u32.to_be_bytes().as_slice(), b"a:1:"].concat(),
    ];
    vec![
        [b"B".as_slice(), &5_u64.to_be_bytes(), &6_u64.to_be_bytes(), &7_u32.to_be_bytes()]
            .concat(),
        [b"O".as_slice(), &5_u64.to_be_bytes(), &text("origin")].concat(),
        [b"Y".as_slice(), &100_001_u32.to_be_bytes(), &text(""), &text("mood")].concat(),
        relation.concat(),
        [of(b"I"), b"N".to_vec(), row.clone()].concat(),
        [of(b"U"), b"K".to_vec(), key.clone(), b"N".to_vec(), partly.clone()].concat(),
        [of(b"U"), b"O".to_vec(), row.clone(), b"N".to_vec(), partly].concat(),
        [of(b"U"), b"N".to_vec(), row].concat(),
        [of(b"D"), b"K".to_vec(), key].concat(),
        [b"T".as_slice(), &1_u32.to_be_bytes(), &[3], &1_u32.to_be_bytes()].concat(),
        message.concat(),
        [b"C\0".as_slice(), &5_u64.to_be_bytes(), &6_u64.to_be_bytes(), &7_u64.to_be_bytes()]
            .concat(),
    ]
}

/// The stream, with the length of each message before it.
pub(super) fn messages() -> Vec<Vec<u8>> {
    let framed = |message: Vec<u8>| {
        [u16::try_from(message.len()).unwrap_or(0).to_be_bytes().as_slice(), &message].concat()
    };
    let whole: Vec<u8> = stream().into_iter().flat_map(framed).collect();
    let many = [0x7f, 0xff, 0xff, 0xff];
    // Counts and lengths that nothing stands behind.
    let columns = [b"R".as_slice(), &[0, 0, 0, 1], b"s\0t\0d", &many[..2]].concat();
    let tables = [b"T".as_slice(), &many, &[0]].concat();
    let content = [b"M\0".as_slice(), &[0; 8], b"p\0", &many].concat();
    let mut seeds: Vec<_> = [columns, tables, content].into_iter().map(framed).collect();
    seeds.push(whole);
    seeds
}

/// The stream as it comes over the wire, and a COPY.
pub(super) fn wire() -> Vec<Vec<u8>> {
    let framed = |message: Vec<u8>| {
        let length = u32::try_from(message.len() + 4).unwrap_or(0).to_be_bytes();
        [b"d", length.as_slice(), &message].concat()
    };
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let row = vec![0, 2, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff];
    let copy = [header, row.clone(), row, vec![0xff, 0xff]];
    let endless = b"d\x3f\xff\xff\xffabc".to_vec();
    vec![
        stream().into_iter().flat_map(framed).collect(),
        copy.into_iter().flat_map(framed).collect(),
        endless,
    ]
}
