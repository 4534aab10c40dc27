//! What is compared beside the rows: statistics, rules, checksums. Each is read at one moment of both
//! servers, see [`regraft_postgres::verify::Audit`].

use std::sync::Arc;
use std::time::Duration;

use regraft_core::{Code, Error, Result};
use regraft_postgres::planning::fix_names;
use regraft_postgres::standing::aside;
use regraft_postgres::verify::{Audit, Moment, VerifyStatement};
use regraft_settings::Settings;
use serde::Serialize;
use serde_json::Value;

use super::checksum::{self, ChecksumReport};
use super::follower::Follower;
use super::rule_file::Rule;
use super::rules::{self, RuleReport};
use super::statistics::{self, StatisticsReport};
use super::{rule_file, table};
use crate::args::VerifyArgs;
use crate::mappers::Mappers;
use crate::out::{out, outln};
use crate::publishing::publications;
use crate::resolve::{Side, resolve};

/// Between looks at whether somebody follows.
const LOOK: Duration = Duration::from_secs(1);

/// What is asked for beside the rows.
pub(super) struct Asked {
    rules: Vec<Rule>,
}

/// What came of it.
#[derive(Default, Serialize)]
pub(super) struct Audited {
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<StatisticsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleReport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksums: Option<Vec<ChecksumReport>>,
}

/// The verdict on something that was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Both sides are the same.
    Equal,
    /// They are not, at the same moment.
    Differs,
    /// They are not, and the source was written to between the moments at which they were read.
    Unsettled,
    /// It cannot be compared.
    Skipped,
}

impl Verdict {
    pub(super) fn of(equal: bool, moment: &Moment) -> Self {
        match (equal, moment.exact) {
            (true, _) => Self::Equal,
            (false, true) => Self::Differs,
            (false, false) => Self::Unsettled,
        }
    }

    /// As a word, or as what it means at a moment that was not exact.
    pub(super) fn told(self, moment: &Moment) -> String {
        match self {
            Self::Equal => "equal".to_owned(),
            Self::Differs => "differs".to_owned(),
            Self::Unsettled => {
                format!("unsettled: differs; {} transactions meanwhile", moment.meanwhile)
            }
            Self::Skipped => "skipped".to_owned(),
        }
    }
}

impl Asked {
    /// Reads the rules.
    pub(super) fn read(args: &VerifyArgs) -> Result<Self, Vec<Error>> {
        Ok(Self { rules: rule_file::read(&args.rules)? })
    }

    /// Carries out what the arguments ask for.
    pub(super) async fn carry_out(
        &self,
        pipeline: (&Settings, &Mappers),
        args: &VerifyArgs,
        target: &Side,
        follower: &mut Follower,
    ) -> Result<Audited, Vec<Error>> {
        if !args.statistics && self.rules.is_empty() && args.checksum.is_none() {
            return Ok(Audited::default());
        }
        let run = self.run(pipeline, args);
        let followed = async {
            loop {
                if let Err(error) = follower.pause(target, LOOK).await {
                    return error;
                }
            }
        };
        tokio::select! {
            audited = run => audited,
            error = followed => Err(vec![error]),
        }
    }

    async fn run(
        &self,
        (settings, mappers): (&Settings, &Mappers),
        args: &VerifyArgs,
    ) -> Result<Audited, Vec<Error>> {
        let one = |error| vec![error];
        let side = async |role: &str, url| Side::connect(role, url, &settings.name).await;
        let source = side("source", &settings.source.url).await.map_err(one)?;
        let control = side("source", &settings.source.url).await.map_err(one)?.client;
        let target = side("target", &settings.target.url).await.map_err(one)?;
        let mut statements: Arc<Vec<VerifyStatement>> = Arc::default();
        if args.statistics || args.checksum.is_some() {
            let held = aside(&target.client, &target.place, &settings.name).await.map_err(one)?;
            let resolution =
                resolve(settings, mappers, (&source, &target), &held).await.map_err(one)?;
            let invalid = || {
                let what = "the mapping is not in order";
                one(Error::new(Code::VerificationRefused, what)
                    .at(settings.mapping.file.display().to_string())
                    .remedy("see `regraft check`"))
            };
            let resolved = resolution.resolved.ok_or_else(invalid)?;
            let (standing, asked) = (&resolved.standing, &resolved.asked);
            fix_names(&source.client, &source.place, standing, asked).await.map_err(one)?;
            statements = resolved.verify;
        }
        let columns = checksum::columns(&statements, &args.column).map_err(one)?;
        let named = |statement: &&VerifyStatement| {
            let target = &statement.target;
            args.tables.is_empty()
                || args.tables.iter().any(|t| *t == target.name || *t == target.to_string())
        };
        let wanted: Vec<_> = statements.iter().filter(named).collect();
        let sides = ((source.client, source.place), (target.client, target.place));
        let names = (settings.name.as_str(), publications(settings));
        let audit = Audit::new(sides.0, control, sides.1, names, args.pause_writes);
        let audit = audit.await.map_err(one)?;
        let mut audited = Audited::default();
        if args.statistics {
            let report = statistics::compare(&audit, &wanted, args.show_values).await;
            audited.statistics = Some(report.map_err(one)?);
        }
        if !self.rules.is_empty() {
            let reports = rules::run(&audit, &self.rules, args.show_values).await;
            audited.rules = Some(reports.map_err(one)?);
        }
        if let Some(algorithm) = args.checksum {
            let reports = checksum::compare(&audit, algorithm, &columns).await;
            audited.checksums = Some(reports.map_err(one)?);
        }
        Ok(audited)
    }
}

impl Audited {
    /// Something differs.
    pub(super) fn differs(&self) -> bool {
        self.statistics.as_ref().is_some_and(StatisticsReport::differs)
            || self.rules.iter().flatten().any(RuleReport::differs)
            || self.checksums.iter().flatten().any(|report| report.verdict == Verdict::Differs)
    }

    pub(super) fn add_to(&self, report: &mut Value) {
        let mut own = serde_json::to_value(self).unwrap_or_default();
        if let (Some(report), Some(own)) = (report.as_object_mut(), own.as_object_mut()) {
            report.append(own);
        }
    }

    pub(super) fn print(&self) {
        if let Some(report) = &self.statistics {
            report.print();
        }
        if let Some(reports) = &self.rules {
            rules::print(reports);
        }
        if let Some(reports) = &self.checksums {
            checksum::print(reports);
        }
    }
}

/// Prints a table with a heading.
pub(super) fn print_table(heading: &str, head: &[&str], rows: &[Vec<String>]) {
    outln!("\n{heading}");
    out!("{}", table(head, rows));
}
