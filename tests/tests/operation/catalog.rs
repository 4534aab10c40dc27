//! What is asked of the catalogues does not grow with the number of tables.

use std::collections::BTreeMap;

use regraft_testkit::{Cluster, ClusterOptions};

use crate::support::{Case, Given};

/// More of a statement than for two tables, at most.
const SOME: usize = 4;

/// Statements that a server executed, without numbers, and how often.
type Asked = BTreeMap<String, usize>;

fn asked(cluster: &Cluster) -> Asked {
    let mut asked = Asked::new();
    for line in cluster.log_tail(1_000_000).split(" | ") {
        let Some((_, said)) = line.split_once(" @@ ") else { continue };
        if !said.starts_with("regraft") {
            continue;
        }
        let executed = ["statement: ", "execute "].iter().find_map(|kind| said.split_once(kind));
        if let Some((_, sql)) = executed {
            let sql: String = sql.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
            *asked.entry(sql).or_default() += 1;
        }
    }
    asked
}

/// What a command asks.
async fn by(case: &Case, cluster: &Cluster, arguments: &[&str]) -> Asked {
    let before = asked(cluster);
    let done = case.regraft(arguments).await;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    let mut now = asked(cluster);
    for (sql, count) in before {
        now.entry(sql).and_modify(|now| *now -= count);
    }
    now.retain(|_, count| *count > 0);
    now
}

/// What `check` asks, and the start of a pipeline that has everything.
async fn all(cluster: &Cluster, tables: usize) -> [Asked; 2] {
    let of = |sql: &dyn Fn(usize) -> String| (0..tables).map(sql).collect::<String>();
    let source =
        of(&|n| format!("CREATE TABLE s{n} (id int PRIMARY KEY, v text, at timestamptz);"));
    let target =
        of(&|n| format!("CREATE TABLE t{n} (id int PRIMARY KEY, v text, at timestamptz);"));
    let mapping = of(&|n| format!("INSERT INTO t{n} SELECT id, v, at FROM s{n};\n"));
    let given = Given { source: &source, target: &target, mapping: &mapping, ..Given::default() };
    let case = Case::between(cluster, cluster, given).await;
    let check = by(&case, cluster, &["check", "--json"]).await;
    case.catch_up().await;
    [check, by(&case, cluster, &["run", "--until-caught-up"]).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn as_much_is_asked_for_many_tables_as_for_two() {
    let settings = [("log_statement", "all"), ("log_line_prefix", "%a @@ %a ")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await.unwrap();
    // So many that a question for each of them would be seen, and more than are looked into at once.
    let (two, many) = (all(&cluster, 2).await, all(&cluster, 120).await);
    for (what, (two, many)) in ["check", "a start"].iter().zip(two.iter().zip(&many)) {
        let more: Vec<_> = many
            .iter()
            .map(|(sql, count)| {
                (count - two.get(sql).copied().unwrap_or_default().min(*count), sql)
            })
            // Until a commit is on the disk it is asked for again and again.
            .filter(|(more, sql)| *more > SOME && !sql.contains("pg_current_wal"))
            .collect();
        assert!(more.is_empty(), "{what}: {more:#?}");
    }
}
