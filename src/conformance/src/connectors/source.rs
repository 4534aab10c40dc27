//! Rules of streams and readers.

use std::collections::BTreeMap;
use std::time::Duration;

use regraft_core::contract::{ChangeStream, ChunkReader, Past, Source};
use regraft_core::{ChunkScope, Code, Key, Kind, Mark, Position, Row, Watermarks};
use tokio::time::Instant;

use super::bench::{Bench, Open, Seen, Taker, collect, open, patiently, segment, write};
use super::{Fault, Held, that};

/// Six transactions, some of several rows.
async fn changes(bench: &mut impl Bench) {
    bench.change(&[(1, Some(10)), (2, Some(20))]).await;
    bench.change(&[(1, Some(11))]).await;
    bench.change(&[(2, None)]).await;
    bench.change(&[(3, Some(30)), (4, Some(40)), (3, Some(31))]).await;
    bench.change(&[(4, None), (5, Some(50))]).await;
    bench.change(&[(1, Some(12))]).await;
}
const CHANGES: usize = 6;

/// The position, and the transactions that it has not.
fn beyond(position: &Position, seen: &[Seen]) -> Vec<Seen> {
    seen.iter().filter(|seen| !position.has(&seen.begin.at)).cloned().collect()
}

fn grow(seen: &[Seen], from: &Position) -> Held {
    let mut before = from.clone();
    for seen in seen {
        let (at, end) = (&seen.begin.at, &seen.end);
        that(!before.has(at) && end.has(at), || {
            format!("the transaction at {at} ends at {end}, and the one before it at {before}")
        })?;
        that(end.covers(&before) && *end != before, || format!("{end} does not follow {before}"))?;
        before = end.clone();
    }
    Ok(())
}

pub(super) async fn restart(bench: &mut impl Bench) -> Held {
    // The stream has to have begun before there is something to stream.
    drop(open(bench).await?);
    changes(bench).await;
    let mut first = open(bench).await?;
    let from = first.state.past.position.clone();
    let all = beyond(&from, &first.collect(&from, CHANGES).await?.seen);
    grow(&all, &from)?;
    let middle = &all[2];
    write(&mut first.sink, segment(first.form, &[], Some(middle))).await?;
    first.until_durable(&middle.end).await?;
    first.stream.acknowledge(middle.end.clone());
    drop(first);
    let mut second = open(bench).await?;
    let from = second.state.past.position.clone();
    that(from == middle.end, || {
        format!("the ledger has {from}, and {} was committed", middle.end)
    })?;
    let rest = beyond(&from, &second.collect(&from, CHANGES - 3).await?.seen);
    that(rest == all[3..], || {
        format!("after {from} come {rest:?}, and before the restart {:?}", &all[3..])
    })
}

pub(super) async fn cancelled_next(bench: &mut impl Bench) -> Held {
    let Open { mut stream, state, .. } = open(bench).await?;
    let from = state.past.position;
    let mut taker = Taker::default();
    let until = Instant::now() + bench.patience();
    for round in 0..20_i32 {
        bench.change(&[(round, Some(round)), (round + 100, Some(round))]).await;
        let wanted = usize::try_from(round).unwrap_or_default() + 1;
        for wait in 0_u64.. {
            if beyond(&from, &taker.seen).len() >= wanted || Instant::now() >= until {
                break;
            }
            // Given up as soon as it waits, or a little later.
            let later = Duration::from_millis(wait % 4 * 3);
            if let Ok(events) = tokio::time::timeout(later, stream.next()).await {
                taker.take(events?);
            }
        }
    }
    let seen = beyond(&from, &taker.seen);
    let rows: Vec<_> = seen.iter().flat_map(|seen| seen.rows.clone()).collect();
    let expected = (0..20).flat_map(|n| [(n, Some(n)), (n + 100, Some(n))]);
    that(taker.wrong.is_none(), || format!("{:?}", taker.wrong))?;
    that(rows == expected.collect::<Vec<_>>(), || format!("the stream gives {rows:?}"))
}

pub(super) async fn acknowledged(bench: &mut impl Bench) -> Held {
    drop(open(bench).await?);
    changes(bench).await;
    let mut first = open(bench).await?;
    let from = first.state.past.position.clone();
    let all = beyond(&from, &first.collect(&from, CHANGES).await?.seen);
    // Nothing was acknowledged: all of it comes again.
    drop(first);
    let mut second = open(bench).await?;
    let again = beyond(&from, &second.collect(&from, CHANGES).await?.seen);
    that(again == all, || "what was not acknowledged comes in another way".to_owned())?;
    let (old, new) = (second.state.past.clone(), &all[3]);
    write(&mut second.sink, segment(second.form, &[], Some(new))).await?;
    second.until_durable(&new.end).await?;
    second.stream.acknowledge(new.end.clone());
    let Open { mut source, stream, ledger, sink, .. } = second;
    stream.close().await?;
    drop((ledger, sink));
    // It may be forgotten by now, which has to be told, or not.
    match patiently(bench.patience(), async || source.stream(&old).await).await {
        Err(error) if error.kind() == Kind::Unsafe => {}
        Err(error) => return Err(error.into()),
        Ok(mut opened) => {
            let seen = collect(&mut opened.stream, (&from, CHANGES), bench.patience()).await?.seen;
            that(beyond(&from, &seen) == all, || {
                "a stream from before what was acknowledged leaves something out".to_owned()
            })?;
        }
    }
    let mut third = open(bench).await?;
    let from = third.state.past.position.clone();
    let rest = beyond(&from, &third.collect(&from, 2).await?.seen);
    that(rest == all[4..], || format!("after {from} come {rest:?}"))
}

pub(super) async fn beside(bench: &mut impl Bench) -> Held {
    drop(open(bench).await?);
    changes(bench).await;
    let mut first = open(bench).await?;
    let past = first.state.past.clone();
    let from = &past.position;
    let all = beyond(from, &first.collect(from, CHANGES).await?.seen);
    // Another target has everything, and says so to a stream of its own, while the first one is there.
    let ahead = Past { position: all[CHANGES - 1].end.clone(), ..past.clone() };
    for past in [&past, &ahead] {
        let mut opened =
            patiently(bench.patience(), async || first.source.beside(past).await).await?;
        let missing = beyond(&past.position, &all);
        let wanted = (&past.position, missing.len());
        let seen = collect(&mut opened.stream, wanted, bench.patience()).await?.seen;
        that(beyond(&past.position, &seen) == missing, || {
            "a stream beside another one gives something else".to_owned()
        })?;
        opened.stream.acknowledge(ahead.position.clone());
        opened.stream.close().await?;
    }
    // And to the one that the source listens to nothing is said.
    let Open { mut source, stream, ledger, sink, .. } = first;
    stream.close().await?;
    drop((ledger, sink));
    let opened = patiently(bench.patience(), async || source.stream(&ahead).await).await?;
    opened.stream.close().await?;
    let mut again = open(bench).await?;
    let seen = beyond(from, &again.collect(from, CHANGES).await?.seen);
    that(seen == all, || "what another target has is forgotten for this one".to_owned())
}

/// Rules of readers are not for sources that cannot be asked.
fn reader_of<S: Source>(source: &mut S) -> Result<S::Reader, Fault> {
    match (source.gives().reads, source.reader()) {
        (true, Some(reader)) => Ok(reader),
        (false, None) => {
            Err(Fault::NotApplicable("the source cannot be asked for rows".to_owned()))
        }
        _ => Err(Fault::Broken("a reader, and whether there is one, do not fit".to_owned())),
    }
}

pub(super) async fn watermark(bench: &mut impl Bench) -> Held {
    let mut open = open(bench).await?;
    let from = open.state.past.position.clone();
    let watermarks = Watermarks::of_attempt("conformance");
    let mut reader = reader_of(&mut open.source)?;
    let mark = watermarks.write(Mark::Window(watermarks.token()));
    bench.change(&[(1, Some(1))]).await;
    let xid = reader.mark(&mark).await?;
    bench.change(&[(2, Some(2))]).await;
    let taker = open.collect(&from, 2).await?;
    let ours = taker.messages.iter().filter(|(content, ..)| content == mark.as_str().as_bytes());
    let ours: Vec<_> = ours.map(|(_, before, inside)| (*before, *inside)).collect();
    that(ours == [(1, true)], || {
        format!("of a watermark after one transaction and before another the stream gives {ours:?}")
    })?;
    let before = taker.seen[0].begin.xid;
    that(before.is_none_or(|before| u64::from(before) < xid), || {
        format!("the transaction before the watermark has the id {before:?}, and it {xid}")
    })
}

/// Rows of a chunk, by their keys as the chunk has them.
async fn read<R: ChunkReader>(
    reader: &mut R,
    bench: &impl Bench,
    scope: &ChunkScope,
) -> Result<(BTreeMap<Key, (i32, i32)>, regraft_core::Snapshot), Fault> {
    let data = reader.read(&bench.table(), scope, usize::MAX).await?;
    let mut rows = BTreeMap::new();
    for given in data.statements {
        for (key, row) in given.keys.iter().zip(given.rows.iter()) {
            let twice = rows.insert(key.clone(), (int(row, 0)?, int(row, 1)?)).is_some();
            that(!twice, || "a chunk has a row twice".to_owned())?;
        }
    }
    Ok((rows, data.snapshot))
}

fn int(row: Row<'_>, column: usize) -> Result<i32, Fault> {
    let bytes = row.cell(column).flatten().and_then(|bytes| bytes.try_into().ok());
    let none = || Fault::Broken("a row of a chunk is none of two int4".to_owned());
    bytes.map(i32::from_be_bytes).ok_or_else(none)
}

pub(super) async fn chunk(bench: &mut impl Bench) -> Held {
    let mut open = open(bench).await?;
    let rows: Vec<_> = (1..=10).map(|key| (key, Some(key * 10))).collect();
    bench.change(&rows).await;
    let seen = open.collect(&open.state.past.position.clone(), 1).await?.seen;
    let (mut reader, table) = (reader_of(&mut open.source)?, bench.table());
    let (mut after, mut all) = (None::<Vec<String>>, BTreeMap::new());
    for ranges in 1.. {
        let upto = reader.boundary(&table, after.as_deref(), None, 3).await?;
        let scope = ChunkScope::Range { after, upto: upto.clone() };
        let (rows, snapshot) = read(&mut reader, bench, &scope).await?;
        that(seen.iter().filter_map(|seen| seen.begin.xid).all(|xid| snapshot.sees(xid)), || {
            "a snapshot does not see what was committed long before it".to_owned()
        })?;
        that(rows.keys().all(|key| !all.contains_key(key)), || "ranges overlap".to_owned())?;
        all.extend(rows);
        after = upto;
        if after.is_none() {
            break;
        }
        that(ranges < 10, || "ranges of three of ten rows do not come to an end".to_owned())?;
    }
    let given: Vec<_> = all.values().copied().collect();
    let expected: Vec<_> = (1..=10).map(|key| (key, key * 10)).collect();
    that(given == expected, || format!("ranges of a table in key order give {given:?}"))?;
    // A chunk that is too large says so, and leaves the reader as it was.
    let whole = ChunkScope::Range { after: None, upto: None };
    match reader.read(&table, &whole, 10).await {
        Err(error) if error.code() == Code::ChunkTooLarge => {}
        other => {
            return Err(Fault::Broken(format!(
                "of at most 10 bytes a chunk gives {:?}",
                other.err()
            )));
        }
    }
    let some: Vec<_> = all.keys().step_by(4).cloned().collect();
    let (rows, _) = read(&mut reader, bench, &ChunkScope::Keys(some.clone())).await?;
    that(rows.keys().eq(some.iter()), || "a chunk of keys has other rows than these".to_owned())?;
    // What comes after a snapshot is not in it, whatever the chunk is.
    bench.change(&[(1, None), (11, Some(110))]).await;
    let (rows, _) = read(&mut reader, bench, &whole).await?;
    let keys: Vec<_> = rows.values().map(|(key, _)| *key).collect();
    that(keys == (2..=11).collect::<Vec<_>>(), || format!("a later chunk has {keys:?}"))
}

pub(super) async fn snapshot(bench: &mut impl Bench) -> Held {
    const ROUNDS: i32 = 20;
    let mut open = open(bench).await?;
    let from = open.state.past.position.clone();
    let (mut reader, table) = (reader_of(&mut open.source)?, bench.table());
    let whole = ChunkScope::Range { after: None, upto: None };
    bench.change(&[(0, Some(0))]).await;
    let mut chunks = Vec::new();
    for round in 1..=ROUNDS {
        let changes = [(round, Some(round)), (0, Some(round)), (round - 5, None)];
        let reading = reader.read(&table, &whole, usize::MAX);
        let (data, ()) = tokio::join!(reading, bench.change(&changes));
        let data = data?;
        let mut rows = BTreeMap::new();
        for row in data.statements.iter().flat_map(|given| given.rows.iter()) {
            rows.insert(int(row, 0)?, int(row, 1)?);
        }
        chunks.push((data.snapshot, rows));
    }
    let count = usize::try_from(ROUNDS).unwrap_or_default() + 1;
    let seen = beyond(&from, &open.collect(&from, count).await?.seen);
    for (snapshot, rows) in chunks {
        let mut expected = BTreeMap::new();
        for seen in &seen {
            let Some(xid) = seen.begin.xid else {
                let why = "its transactions have no ids".to_owned();
                return Err(Fault::NotApplicable(why));
            };
            for (key, value) in seen.rows.iter().filter(|_| snapshot.sees(xid)) {
                match value {
                    Some(value) => drop(expected.insert(*key, *value)),
                    None => drop(expected.remove(key)),
                }
            }
        }
        that(rows == expected, || {
            format!("by its snapshot {snapshot:?} a chunk has {expected:?}, and it gives {rows:?}")
        })?;
    }
    Ok(())
}
