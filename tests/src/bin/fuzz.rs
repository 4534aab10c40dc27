//! Gives what reads bytes and texts of others those that nobody would write.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use regraft_tests::fuzz::{Spoiler, TARGETS, Target, give, inputs, kept};
use regraft_tests::page::write_part;

/// Memory of the process that reads, in KiB: what a length field promises is not to be believed.
const MEMORY_KIB: u32 = 2 << 20;

/// Fuzzes the readers of the wire, of settings and of mappings.
///
/// Each gets the kept inputs first (tests/fuzz), then spoilt ones, inside of a process of little memory. What it
/// does not survive is kept as a file there, and the status is 1.
#[derive(Parser)]
#[command(name = "fuzz")]
struct Arguments {
    /// Only these of wire, messages, settings, mapping, values.
    targets: Vec<String>,
    /// Spoilt inputs for each.
    #[arg(long, default_value_t = 100_000)]
    inputs: u64,
    /// As long as this for each, in place of a number of inputs.
    #[arg(long)]
    seconds: Option<u64>,
    /// Where chance begins; the same seed gives the same inputs.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the counts into this page, such as docs/reliability.md.
    #[arg(long)]
    write: Option<PathBuf>,
    /// The process that reads.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let known = |name: &&String| !TARGETS.iter().any(|target| target.name == name.as_str());
    if let Some(unknown) = arguments.targets.iter().find(known) {
        eprintln!("fuzz: there is no target {unknown}");
        return ExitCode::from(2);
    }
    let targets = TARGETS.iter().filter(|target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    });
    let result = match &arguments.inside {
        None => {
            println!("seed {seed}");
            let mut said = String::new();
            let mut all = targets.map(|target| outside(target, &arguments, seed, &mut said));
            let all = all.try_fold(true, |all, one| one.map(|one| all && one));
            written(&arguments, seed, &said).and(all)
        }
        Some(current) => {
            let mut all = targets.map(|target| inside(target, &arguments, seed, current));
            all.try_fold(true, |all, one| one.map(|one| all && one))
        }
    };
    match result {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

fn written(arguments: &Arguments, seed: u64, said: &str) -> std::io::Result<()> {
    let Some(page) = &arguments.write else { return Ok(()) };
    let lines: Vec<_> = said.lines().map(|line| format!("- {line}")).collect();
    write_part(page, "fuzz", &format!("{}\n- seed {seed}", lines.join("\n")))
}

/// Has a process of little memory read, and keeps what ended it.
fn outside(
    target: &Target,
    arguments: &Arguments,
    seed: u64,
    said: &mut String,
) -> std::io::Result<bool> {
    let folder = tempfile::tempdir()?;
    let current = folder.path().join("current");
    let script = format!("ulimit -v {MEMORY_KIB} && ulimit -c 0 && exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(std::env::current_exe()?);
    command.arg("--inside").arg(&current).args(["--seed", &seed.to_string()]);
    command.args(["--inputs", &arguments.inputs.to_string()]);
    if let Some(seconds) = arguments.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    let output = command.arg(target.name).stderr(Stdio::inherit()).output()?;
    let line = String::from_utf8_lossy(&output.stdout);
    print!("{line}");
    said.push_str(&line);
    let status = output.status;
    if status.success() {
        return Ok(true);
    }
    let input = std::fs::read(&current)?;
    let name = input.iter().fold(0_u64, |hash, byte| {
        hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*byte) + 1)
    });
    let kept = kept(target);
    std::fs::create_dir_all(&kept)?;
    let file = kept.join(format!("{name:016x}"));
    std::fs::write(&file, input)?;
    eprintln!("{}: it does not survive {} ({status})", target.name, file.display());
    Ok(false)
}

/// Reads, here. The input at hand is in a file: nothing else is left of a process whose stack overflows.
fn inside(
    target: &'static Target,
    arguments: &Arguments,
    seed: u64,
    current: &Path,
) -> std::io::Result<bool> {
    let begun = Instant::now();
    let seeds = inputs(target)?;
    let mut spoiler = Spoiler::new(seed, seeds.clone());
    let kept = seeds.len() as u64;
    let mut slowest = (Duration::ZERO, 0);
    let mut given = 0;
    let mut first = seeds.into_iter();
    loop {
        let over = match arguments.seconds {
            Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
            None => given >= kept + arguments.inputs,
        };
        if over && given >= kept {
            break;
        }
        let input = first.next().unwrap_or_else(|| spoiler.next_input());
        let length = input.len();
        std::fs::write(current, &input)?;
        match give(target, input) {
            Ok(took) if took > slowest.0 => slowest = (took, length),
            Ok(_) => {}
            Err(fault) => {
                eprintln!("{}: {fault}", target.name);
                return Ok(false);
            }
        }
        given += 1;
    }
    println!(
        "{}: {given} inputs survived in {} s; the slowest of them, of {} bytes, took {} ms",
        target.name,
        begun.elapsed().as_secs(),
        slowest.1,
        slowest.0.as_millis()
    );
    Ok(true)
}
