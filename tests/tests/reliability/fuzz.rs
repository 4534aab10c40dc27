//! The fuzzer over its kept inputs and a fixed few spoilt ones; more by
//! `cargo run -p regraft-tests --bin fuzz`.

use std::process::Command;

#[test]
fn kept_inputs_and_some_spoilt_ones_are_survived() {
    let mut fuzz = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    let output = fuzz.args(["--inputs", "1000", "--seed", "1"]).output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    println!("{}", said[0]);
}
