//! Several targets: a command is about each of them, or about the one that is named.

use regraft_core::{Code, Error};
use regraft_settings::Settings;
use serde_json::{Value, json};

use crate::args::ConfigArgs;
use crate::load;
use crate::out::{out, outln};

/// What a command came to for one target: its exit status, and what it tells a machine, where it was asked to.
pub(crate) type Report = (u8, Option<Value>);

/// The pipelines that a command is about.
///
/// # Errors
/// Faults of the configuration; [`Code::UsageInvalid`] when it has no such target.
pub(crate) fn legs(args: &ConfigArgs) -> Result<Vec<Settings>, Vec<Error>> {
    named(load(args)?.legs(), args).map_err(|error| vec![error])
}

/// The one of them that is named, if one is.
pub(crate) fn named(legs: Vec<Settings>, args: &ConfigArgs) -> Result<Vec<Settings>, Error> {
    let Some(wanted) = &args.target else { return Ok(legs) };
    let known: Vec<_> = legs.iter().map(|leg| leg.target.called().to_owned()).collect();
    let found: Vec<_> = legs.into_iter().filter(|leg| leg.target.called() == wanted).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let what = format!("--target {wanted}: the configuration has no such target");
    let remedy = format!("name one of {}", known.join(", "));
    Err(Error::new(Code::UsageInvalid, what).at("command line").remedy(remedy))
}

/// Tables are those of one target: which one has to be said where there are several.
pub(crate) fn of_one_target(
    legs: &[Settings],
    args: &ConfigArgs,
    tables: &[String],
) -> Result<(), Error> {
    let Some(table) = tables.iter().find(|table| *table != "all") else { return Ok(()) };
    if legs.len() == 1 || args.target.is_some() {
        return Ok(());
    }
    let known: Vec<_> = legs.iter().map(|leg| leg.target.called()).collect();
    let what = format!("{table}: there are several targets, and each has tables of its own");
    let remedy = format!("say which one it is about: --target {}", known.join(", or --target "));
    Err(Error::new(Code::UsageInvalid, what).at("command line").remedy(remedy))
}

/// What is to be done about one of several targets, and not about the others.
pub(crate) fn about_target(leg: &Settings, error: Error) -> Error {
    match error.remedy_text() {
        Some(remedy) if leg.is_shared() && remedy.contains("`regraft run --re") => {
            let remedy =
                format!("{remedy}; with --target {} for this one alone", leg.target.called());
            error.remedy(remedy)
        }
        _ => error,
    }
}

/// Does something for each target; one that fails keeps the others from nothing. The worst exit status counts.
///
/// # Errors
/// Those of all targets.
pub(crate) async fn each(
    args: &ConfigArgs,
    as_json: bool,
    tables: &[String],
    run: impl AsyncFn(&Settings) -> Result<Report, Vec<Error>>,
) -> Result<u8, Vec<Error>> {
    let legs = legs(args)?;
    of_one_target(&legs, args, tables).map_err(|error| vec![error])?;
    if let [leg] = legs.as_slice() {
        let (status, told) = run(leg).await?;
        if let Some(told) = told {
            out!("{told:#}\n");
        }
        return Ok(status);
    }
    let (mut worst, mut all, mut errors) = (0, Vec::new(), Vec::new());
    for (at, leg) in legs.iter().enumerate() {
        if crate::is_stopped() {
            break;
        }
        if !as_json {
            outln!("{}[{}]", if at > 0 { "\n" } else { "" }, leg.target.table());
        }
        match run(leg).await {
            Ok((status, told)) => {
                worst = worst.max(status);
                all.extend(told.map(|told| of_target(leg, told)));
            }
            Err(failed) => {
                let told: Vec<_> = failed.iter().map(error).collect();
                if !as_json {
                    outln!("see the error below");
                }
                all.push(of_target(leg, json!({ "errors": told })));
                errors.extend(failed);
            }
        }
    }
    if as_json {
        let name = legs.first().map(Settings::pipeline);
        out!("{:#}\n", json!({ "name": name, "targets": all }));
    }
    if errors.is_empty() { Ok(worst) } else { Err(errors) }
}

/// With the name of the target, null for `[target]`.
pub(crate) fn of_target(leg: &Settings, mut told: Value) -> Value {
    told["target"] = json!(leg.target.name);
    told
}

fn error(error: &Error) -> Value {
    json!({
        "code": error.code().as_str(),
        "what": error.what(),
        "where": error.place(),
        "remedy": error.remedy_text(),
    })
}
