//! What came of a run: counts for each script, and what differs.

use std::fmt;

/// A SELECT whose rows are not what the server gives.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Line of the statement in the script, from 1.
    pub line: usize,
    /// The SELECT as both evaluated it.
    pub select: String,
    /// Columns of its table that are constants of the script.
    pub constants: Vec<String>,
    /// What differs, with values.
    pub what: Vec<String>,
}

/// Counts of one script.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Name of the script.
    pub name: String,
    /// Statements that are a SELECT.
    pub selects: usize,
    /// Those that the compiler took whole.
    pub whole: usize,
    /// Those of which it took some items alone.
    pub part: usize,
    /// SELECTs that were evaluated: forms of those, and items.
    pub evaluated: usize,
    /// Pairs of such a SELECT and a row that were compared.
    pub compared: usize,
    /// Pairs that regraft left to the server.
    pub left: usize,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl FileReport {
    fn counts(&self) -> [usize; 7] {
        let different = self.differences.len();
        let equal = self.evaluated - different;
        [self.selects, self.whole, self.part, self.evaluated, self.compared, equal, different]
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [selects, whole, part, evaluated, compared, equal, different] = self.counts();
        write!(
            f,
            "{}: {selects} SELECTs, {whole} accepted, {part} in part; {evaluated} evaluated over \
             {compared} rows: {equal} equal, {different} different",
            self.name
        )?;
        for one in &self.differences {
            write!(f, "\n{}:{}: {}", self.name, one.line, one.select)?;
            for line in one.constants.iter().chain(&one.what) {
                write!(f, "\n    {line}")?;
            }
        }
        Ok(())
    }
}

/// What came of all scripts.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Version of the server.
    pub server: String,
    /// One for each script, in the order they were run.
    pub files: Vec<FileReport>,
}

impl Report {
    /// Something differs.
    pub fn differs(&self) -> bool {
        self.files.iter().any(|file| !file.differences.is_empty())
    }

    fn total(&self) -> [usize; 7] {
        self.files.iter().fold([0; 7], |mut total, file| {
            total.iter_mut().zip(file.counts()).for_each(|(sum, one)| *sum += one);
            total
        })
    }

    /// The report as a page of the documentation.
    pub fn page(&self) -> String {
        let row = |name: &str, counts: [usize; 7]| {
            let cells: Vec<String> = counts.iter().map(usize::to_string).collect();
            format!("| {name} | {} |\n", cells.join(" | "))
        };
        let mut files: Vec<&FileReport> = self.files.iter().filter(|f| f.evaluated > 0).collect();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let rows: String = files.iter().map(|file| row(&file.name, file.counts())).collect();
        format!(
            "{HEAD}\nThe last run, against PostgreSQL {}; {} of {} scripts have a SELECT that regraft \
             takes, whole or in part:\n\n\
             | script | SELECTs | accepted | in part | evaluated | rows | equal | different |\n\
             |---|---|---|---|---|---|---|---|\n{}{rows}",
            self.server,
            files.len(),
            self.files.len(),
            row("**all**", self.total()),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [selects, whole, part, evaluated, compared, equal, different] = self.total();
        write!(
            f,
            "{} scripts: {selects} SELECTs, {whole} accepted, {part} in part; {evaluated} evaluated \
             over {compared} rows: {equal} equal, {different} different",
            self.files.len()
        )
    }
}

const HEAD: &str = "\
# PostgreSQL's regression tests

PostgreSQL's own tests (`src/test/regress/sql` of its sources, which are no part of this repository) hold thousands of
expressions with the corner cases that its developers thought of. This runs them against a throwaway server, and has each
SELECT that regraft's compiler takes evaluated by both:

```sh
cargo run --release -p regraft-tests --bin regress -- …/src/test/regress/sql
cargo run --release -p regraft-tests --bin regress -- …/src/test/regress/sql --write docs/regress.md
```

Scripts run in the order of the `parallel_schedule` beside their folder, each in its own session, as psql runs them:
statements that fail are passed over. Take the tests of the server's own major version. All of them take a quarter of
an hour; `--only a,b` runs all and compares in those alone, and a folder with copies of `test_setup.sql` and some others
(beside a copy of `data`) is faster. The exit status is 1 when anything differs.

- A SELECT, wherever in a statement, is put over one table: what stands first in FROM is copied into a temporary table
  with a key, at most 1,000 rows of it; a join is copied with the columns that are used; without FROM there is a single row.
  ORDER BY, LIMIT and DISTINCT are left out, UNION is taken apart, rows are compared as a multiset. What groups rows
  is passed over.
- Constants are computed when a SELECT is compiled or planned. So it is evaluated as it is written, and again with
  its constants as columns of the table, which are computed, and fail, row by row: strings with a cast as text, in 30
  more rows with other strings of the scripts that are cast to the same type, and with NULL; then as what the cast
  makes of them; then plain strings, too.
- Where the compiler refuses a SELECT, each item of its select list is tried alone (*in part*).
- Values are compared byte for byte, types and modifiers too, and failures by their SQLSTATE.
- Both sides evaluate in the settings of regraft's own sessions (UTC, ISO, …), whatever the script has set; its other
  statements run in the script's.

*Accepted* are SELECTs that are taken whole in some form; *evaluated*, the SELECTs and items in all their forms; *rows*,
those that they were compared over.
";

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_says_what_the_command_does() {
        let page = include_str!("../../../docs/regress.md");
        assert!(
            page.starts_with(super::HEAD),
            "write docs/regress.md again: regress FOLDER --write"
        );
    }
}
