//! Cleans up when this process ends without running destructors (SIGKILL, an aborted test run).

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, which comes when the process that holds the other end is gone;
/// then ends the server that the folder's own pid file names, and removes the folder.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    kill -QUIT "$pid" 2>/dev/null
    tries=0
    while [ $tries -lt 50 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; tries=$((tries + 1)); done
    kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
"#;

/// A small shell that outlives this process.
pub(crate) struct Guard(Child);

impl Guard {
    /// Starts the guard; without a shell there is none, and only the destructor cleans up.
    pub(crate) fn over(folder: &Path) -> Option<Self> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg("regraft-guard").arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its own group: Ctrl-C at the terminal must not end it before its work.
        command.current_dir("/").process_group(0);
        command.spawn().ok().map(Self)
    }

    /// Calls the guard off: the folder was removed, or is to be kept.
    pub(crate) fn dismiss(mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_process_ends_the_recorded_server_and_removes_the_folder() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut server = Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::create_dir(folder.join("data")).unwrap();
        let pid_file = folder.join("data/postmaster.pid");
        std::fs::write(pid_file, format!("{}\nmore\n", server.id())).unwrap();
        let mut guard = Guard::over(&folder).unwrap();
        // What the system does when a process ends, however it ends.
        drop(guard.0.stdin.take());
        assert!(!server.wait().unwrap().success());
        assert!(guard.0.wait().unwrap().success());
        assert!(!folder.exists());
    }

    #[test]
    fn a_dismissed_guard_leaves_the_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        Guard::over(folder.path()).unwrap().dismiss();
        assert!(folder.path().exists());
    }
}
