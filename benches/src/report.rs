//! A small table of medians and ratios.

use serde_json::json;

/// One way of doing the work.
pub(crate) struct Way {
    /// What does it.
    pub(crate) name: &'static str,
    /// Seconds of each round.
    pub(crate) seconds: Vec<f64>,
    /// Processors that a server had busy meanwhile, where that was measured.
    pub(crate) busy: Vec<f64>,
}

impl Way {
    /// Not measured yet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, seconds: Vec::new(), busy: Vec::new() }
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        middle(&self.seconds).unwrap_or(f64::NAN)
    }
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// What the seconds of a group are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Measured {
    /// The time for all of the work: ratios are of speeds.
    Work,
    /// How late something is: ratios are of times.
    Lag,
}

/// Ways that do the same work, the first one being what the others are compared with.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) measured: Measured,
    pub(crate) ways: Vec<Way>,
}

/// All that was measured.
pub(crate) struct Report {
    /// What is counted: changes, rows.
    pub(crate) unit: &'static str,
    /// How many of them each way works on.
    pub(crate) count: u64,
    pub(crate) groups: Vec<Group>,
}

impl Report {
    /// Prints it as Markdown, or as one JSON object.
    #[allow(clippy::cast_precision_loss, reason = "shown with a few digits")]
    pub(crate) fn print(&self, as_json: bool) {
        let unit = self.unit;
        let per_second = format!("{unit}_per_second");
        let rate = |group: &Group, way: &Way| {
            (group.measured == Measured::Work).then(|| self.count as f64 / way.median())
        };
        if as_json {
            let group = |group: &Group| {
                let way = |way: &Way| {
                    json!({
                        "name": way.name, "seconds": way.seconds, "median": way.median(),
                        per_second.as_str(): rate(group, way), "ratio": group.ratio(way),
                        "server_busy": middle(&way.busy),
                    })
                };
                let ways: Vec<_> = group.ways.iter().map(way).collect();
                json!({ "title": group.title, "ways": ways })
            };
            let groups: Vec<_> = self.groups.iter().map(group).collect();
            println!("{:#}", json!({ unit: self.count, "groups": groups }));
            return;
        }
        for group in &self.groups {
            let busy = group.ways.iter().any(|way| !way.busy.is_empty());
            let optional = [(group.measured == Measured::Work).then(|| format!(" {unit}/s |"))];
            let optional = optional.into_iter().chain([busy.then(|| " server busy |".to_owned())]);
            let optional: Vec<_> = optional.flatten().collect();
            println!("\n| {} | seconds, median |{} ratio |", group.title, optional.concat());
            println!("|---|---|{}---|", "---|".repeat(optional.len()));
            for way in &group.ways {
                let rate = rate(group, way).map(|rate| format!(" {rate:.0} |"));
                let share = middle(&way.busy).map(|share| format!(" {:.2} % |", share * 100.0));
                println!(
                    "| {} | {:.*} |{}{} {:.2} |",
                    way.name,
                    if group.measured == Measured::Work { 2 } else { 4 },
                    way.median(),
                    rate.unwrap_or_default(),
                    share.unwrap_or_default(),
                    group.ratio(way)
                );
            }
        }
    }
}

impl Group {
    /// How much faster than the first way, or how much later.
    fn ratio(&self, way: &Way) -> f64 {
        let ratio = self.ways.first().map_or(f64::NAN, Way::median) / way.median();
        if self.measured == Measured::Work { ratio } else { ratio.recip() }
    }
}
