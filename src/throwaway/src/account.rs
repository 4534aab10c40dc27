//! The account that the server runs as: PostgreSQL refuses to run as root.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use regraft_core::{Code, Error, Result};
use tempfile::TempDir;

/// Ids to switch to; `None` when the caller is not root and the server runs as the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    /// Hands a file or folder over to the account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(|error| {
            Error::new(Code::ThrowawayFailed, "cannot hand a file to the server's account")
                .at(path.display().to_string())
                .because(error)
        })
    }

    /// Lets the command run as the account.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
    }
}

/// Makes the temporary folder of a cluster and says which account the server runs as.
pub(crate) fn folder() -> Result<(TempDir, Account)> {
    let failed = |error| {
        Error::new(Code::ThrowawayFailed, "cannot make a temporary folder")
            .at(std::env::temp_dir().display().to_string())
            .remedy("set TMPDIR to a folder that can be written")
            .because(error)
    };
    // Closed to everybody but the server's account: the data, the log and the socket are in it.
    let private = Permissions::from_mode(0o700);
    let build = |parent: &Path| {
        let mut builder = tempfile::Builder::new();
        builder.prefix("regraft-pg-").permissions(private.clone()).tempdir_in(parent)
    };
    let folder = build(&std::env::temp_dir()).map_err(failed)?;
    // The owner of what was just made is the effective user: std has no geteuid.
    let owner = folder.path().metadata().map_err(failed)?.uid();
    if owner != 0 {
        return Ok((folder, Account(None)));
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = entry(&passwd, "postgres").or_else(|| entry(&passwd, "nobody")).ok_or_else(|| {
        Error::new(
            Code::ThrowawayFailed,
            "PostgreSQL refuses to run as root, and no other user is known",
        )
        .at("/etc/passwd")
        .remedy("run as another user, or add a user named postgres")
    })?;
    let folder =
        if reachable(folder.path()) { folder } else { build(&elsewhere()?).map_err(failed)? };
    let account = Account(Some(ids));
    account.own(folder.path())?;
    Ok((folder, account))
}

/// User and group id of a name in the text of `/etc/passwd`.
fn entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((uid, gid))
    })
}

/// Whether every parent may be passed through by another account.
fn reachable(folder: &Path) -> bool {
    folder.ancestors().skip(1).all(|parent| {
        parent.as_os_str().is_empty()
            || parent.metadata().is_ok_and(|data| data.permissions().mode() & 0o001 != 0)
    })
}

fn elsewhere() -> Result<PathBuf> {
    ["/tmp", "/var/tmp"]
        .into_iter()
        .map(PathBuf::from)
        .find(|folder| folder.is_dir() && reachable(&folder.join("x")))
        .ok_or_else(|| {
            Error::new(
                Code::ThrowawayFailed,
                "the temporary folder cannot be reached by the server's account",
            )
            .at(std::env::temp_dir().display().to_string())
            .remedy("set TMPDIR to a folder whose parents other users may pass (mode o+x)")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_the_whole_name_only() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:104:105:,,,:/:\n";
        assert_eq!(entry(passwd, "postgres"), Some((104, 105)));
        assert_eq!(entry(passwd, "nobody"), None);
    }

    #[test]
    fn a_folder_below_a_private_one_is_not_reachable() {
        let private = tempfile::tempdir().unwrap();
        let below = private.path().join("below/server");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(!reachable(&below));
        assert!(reachable(Path::new("/tmp/x")) || !Path::new("/tmp").exists());
    }
}
