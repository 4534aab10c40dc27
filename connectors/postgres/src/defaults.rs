//! What a connection string leaves out, as libpq fills it: by the environment, the account's name, and a
//! password file.
//!
//! <https://www.postgresql.org/docs/current/libpq-envars.html>,
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::dsn::{Pairs, environment};

const VARIABLES: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
];

/// Adds what the environment has and the connection string does not say.
pub(crate) fn fill(pairs: &mut Pairs, environment: impl Fn(&str) -> Option<String>) {
    let given = |pairs: &Pairs, key: &str| pairs.iter().any(|(k, v)| k == key && !v.is_empty());
    // An address belongs to a host: of those that are given, none is mixed with one that is not.
    let hosts = given(pairs, "host") || given(pairs, "hostaddr");
    for (key, variable) in VARIABLES {
        let said = given(pairs, key) || hosts && key.starts_with("host");
        if !said && let Some(value) = environment(variable) {
            pairs.push(((*key).to_owned(), value));
        }
    }
}

/// The name of the account that this process runs as.
pub(crate) fn account() -> Option<String> {
    let own = std::fs::metadata("/proc/self").ok().map(|found| found.uid());
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse().ok() == own && own.is_some()).then(|| name.to_owned())
    });
    named.or_else(|| environment("USER"))
}

/// The password file; one that others may read is left alone.
pub(crate) fn password_file() -> Option<String> {
    let path = environment("PGPASSFILE").map(PathBuf::from);
    let path = path.or_else(|| Some(Path::new(&environment("HOME")?).join(".pgpass")))?;
    let found = std::fs::metadata(&path).ok()?;
    if !found.is_file() {
        return None;
    }
    if found.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others may read the password file; it is left alone");
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The password of the first line that fits: `host:port:database:user:password`.
pub(crate) fn password(file: &str, of: [&str; 4]) -> Option<String> {
    file.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = vec![String::new()];
        let mut rest = line.chars();
        while let Some(c) = rest.next() {
            let escaped = if c == '\\' { rest.next() } else { None };
            if c == ':' && fields.len() < 5 {
                fields.push(String::new());
            } else if let Some(field) = fields.last_mut() {
                field.push(escaped.unwrap_or(c));
            }
        }
        let password = if fields.len() == 5 { fields.pop() } else { None };
        // A star is any only where it stands alone and unescaped; an escaped one is as good as a name.
        let fits = fields.iter().zip(of).all(|(field, wanted)| field == "*" || field == wanted);
        password.filter(|password| fits && !password.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_gives_only_what_is_left_out() {
        let variable = |name: &str| Some(format!("of {name}"));
        let mut pairs =
            vec![("host".to_owned(), "a".to_owned()), ("user".to_owned(), String::new())];
        fill(&mut pairs, variable);
        let value = |key: &str| pairs.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!((value("host"), value("hostaddr")), (Some("a"), None));
        assert_eq!((value("user"), value("dbname")), (Some("of PGUSER"), Some("of PGDATABASE")));
        let mut pairs = Vec::new();
        fill(&mut pairs, |_| None);
        assert!(pairs.is_empty());
    }

    #[test]
    fn a_password_file_is_read_as_libpq_reads_it() {
        let file = "# h:1:d:u:comment\nh:1:d:other:no\nh\\:h:1:d:u:colon\nh:1:d:u:a\\:b\\\\c:d\n*:*:*:u:any\n";
        assert_eq!(password(file, ["h", "1", "d", "u"]).as_deref(), Some("a:b\\c:d"));
        assert_eq!(password(file, ["h:h", "1", "d", "u"]).as_deref(), Some("colon"));
        assert_eq!(password(file, ["x", "2", "e", "u"]).as_deref(), Some("any"));
        assert_eq!(password(file, ["x", "2", "e", "v"]), None);
        assert_eq!(password("h:1:d", ["h", "1", "d", ""]), None);
    }

    #[test]
    fn the_account_has_a_name() {
        assert!(account().is_some_and(|name| !name.is_empty()));
    }
}
