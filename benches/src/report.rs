//! A small table of medians and ratios.

use serde_json::json;

/// One way of doing the work.
pub(crate) struct Way {
    /// What does it.
    pub(crate) name: &'static str,
    /// Seconds of each round.
    pub(crate) seconds: Vec<f64>,
}

impl Way {
    /// Not measured yet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, seconds: Vec::new() }
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Ways that do the same work, the first one being what the others are compared with.
pub(crate) struct Group {
    pub(crate) title: &'static str,
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
        let rate = |way: &Way| self.count as f64 / way.median();
        let unit = self.unit;
        let per_second = format!("{unit}_per_second");
        if as_json {
            let group = |group: &Group| {
                let first = group.ways.first().map_or(f64::NAN, Way::median);
                let ways: Vec<_> = group
                    .ways
                    .iter()
                    .map(|way| {
                        json!({
                            "name": way.name, "seconds": way.seconds, "median": way.median(),
                            per_second.as_str(): rate(way), "ratio": first / way.median(),
                        })
                    })
                    .collect();
                json!({ "title": group.title, "ways": ways })
            };
            let groups: Vec<_> = self.groups.iter().map(group).collect();
            println!("{:#}", json!({ unit: self.count, "groups": groups }));
            return;
        }
        for group in &self.groups {
            println!("\n| {} | seconds, median | {unit}/s | ratio |", group.title);
            println!("|---|---|---|---|");
            let first = group.ways.first().map_or(f64::NAN, Way::median);
            for way in &group.ways {
                let median = way.median();
                println!(
                    "| {} | {median:.2} | {:.0} | {:.2} |",
                    way.name,
                    rate(way),
                    first / median
                );
            }
        }
    }
}
