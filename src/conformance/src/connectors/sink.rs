//! Rules of targets: sink and ledger.

use std::collections::BTreeMap;

use regraft_core::contract::{ChangeStream, Ledger, Sink, Target};
use regraft_core::segment::{ChunkDone, KeysToRead};
use regraft_core::{ChunkScope, Code, EntryKind, Form, Key, Payload};

use super::bench::{Bench, Entered, Open, Seen, entry, given_up, open, segment, write};
use super::{Fault, Held, that};

/// A pipeline that is open, and so many transactions of its stream, which the target does not have.
async fn opened<B: Bench>(bench: &mut B, count: i32) -> Result<(Open<B>, Vec<Seen>), Fault> {
    drop(open(bench).await?);
    for n in 1..=count {
        bench.change(&[(n, Some(n))]).await;
    }
    let mut open = open(bench).await?;
    let from = open.state.past.position.clone();
    let wanted = usize::try_from(count).unwrap_or_default();
    let seen = open.collect(&from, wanted).await?.seen;
    Ok((open, seen.into_iter().filter(|seen| !from.has(&seen.begin.at)).collect()))
}

fn rows(of: &[(i32, i32)]) -> BTreeMap<i32, i32> {
    of.iter().copied().collect()
}

pub(super) async fn one_commit(bench: &mut impl Bench) -> Held {
    let (mut first, seen) = opened(bench, 2).await?;
    let before = first.state.past.position.clone();
    write(&mut first.sink, segment(first.form, &[(1, 1)], None)).await?;
    let transactions = first.transactions;
    if transactions {
        let rows = bench.rows().await;
        that(rows.is_empty(), || format!("without a commit the target has {rows:?}"))?;
    }
    drop(first);
    let mut second = open(bench).await?;
    let position = &second.state.past.position;
    that(*position == before, || format!("without a commit the ledger went to {position}"))?;
    if transactions {
        let rows = bench.rows().await;
        that(rows.is_empty(), || format!("of a sink that is gone the target has {rows:?}"))?;
    }
    let whole = ChunkScope::Range { after: None, upto: None };
    let chunk = second.ledger.plan(&bench.table(), &whole).await?;
    let keys = vec![Key(vec![0, 0, 0, 4, 0, 0, 0, 7].into())];
    // A commit has the rows of all segments since the one before it.
    write(&mut second.sink, segment(second.form, &[(1, 1)], None)).await?;
    let mut segment = segment(second.form, &[(2, 2)], Some(&seen[1]));
    segment.chunks_done.push(ChunkDone { id: chunk.id, rows: 2 });
    segment
        .to_read
        .push(KeysToRead { table: bench.table(), scope: ChunkScope::Keys(keys.clone()) });
    write(&mut second.sink, segment).await?;
    let written = bench.rows().await;
    that(written == rows(&[(1, 1), (2, 2)]), || format!("the target has {written:?}"))?;
    drop(second);
    let third = open(bench).await?;
    let (position, pending) = (&third.state.past.position, &third.state.pending);
    that(*position == seen[1].end, || format!("rows are there, and the position is {position}"))?;
    let scopes: Vec<_> = pending.iter().map(|chunk| chunk.scope.clone()).collect();
    that(scopes == [ChunkScope::Keys(keys)], || {
        format!("a chunk was done and keys were to be read, and the ledger has {scopes:?} open")
    })
}

pub(super) async fn durable(bench: &mut impl Bench) -> Held {
    let (mut first, seen) = opened(bench, 5).await?;
    let mut told = Vec::new();
    for (n, seen) in (1..).zip(&seen) {
        write(&mut first.sink, segment(first.form, &[(n, n)], Some(seen))).await?;
        let now = first.sink.durable().await?;
        if let Some(now) = now {
            that(seen.end.covers(&now), || {
                format!("{now} is durable, and {} committed", seen.end)
            })?;
            told.push(now);
        }
    }
    let last = &seen[4].end;
    told.extend(first.until_durable(last).await?);
    that(told.windows(2).all(|two| two[1].covers(&two[0])), || {
        format!("durable positions do not only grow: {told:?}")
    })?;
    // The sink may still think of them when its server is gone.
    let crashed = bench.crash_target().await;
    drop(first);
    if !crashed {
        return Err(Fault::NotApplicable("its machine cannot be stopped here".to_owned()));
    }
    let second = open(bench).await?;
    let position = &second.state.past.position;
    that(position.covers(last), || {
        format!("{last} was durable, and after a crash it is {position}")
    })?;
    let written = bench.rows().await;
    that(written.len() == 5, || format!("after a crash the target has {written:?}"))
}

pub(super) async fn fenced(bench: &mut impl Bench) -> Held {
    let (first, seen) = opened(bench, 2).await?;
    let (_, mut target) = bench.ends().await;
    let again = target.open().await.err().map(|error| error.code());
    that(again == Some(Code::PipelineRunning), || {
        format!("opening a pipeline that runs once more gives {again:?}")
    })?;
    // The first one has lost its hold without knowing it.
    let Open { mut sink, ledger, stream, form, .. } = first;
    drop((ledger, stream));
    let mut second = open(bench).await?;
    let late = write(&mut sink, segment(form, &[(1, 1)], Some(&seen[0]))).await;
    that(late.is_err(), || "a sink commits although another one was opened".to_owned())?;
    let written = bench.rows().await;
    that(written.is_empty(), || format!("a sink that was replaced has written {written:?}"))?;
    write(&mut second.sink, segment(second.form, &[(2, 2)], Some(&seen[1]))).await?;
    let written = bench.rows().await;
    that(written == rows(&[(2, 2)]), || format!("its successor has written {written:?}"))
}

pub(super) async fn ledger(bench: &mut impl Bench) -> Held {
    let mut first = open(bench).await?;
    let (ledger, table) = (&mut first.ledger, bench.table());
    let range = |after: Option<&str>, upto: Option<&str>| {
        let key = |bound: Option<&str>| bound.map(|bound| vec![bound.to_owned()]);
        ChunkScope::Range { after: key(after), upto: key(upto) }
    };
    let one = ledger.plan(&table, &range(None, Some("3"))).await?;
    let two = ledger.plan(&table, &range(Some("3"), Some("6"))).await?;
    let halves = vec![range(None, Some("1")), range(Some("1"), Some("3"))];
    let halves = ledger.split(&one, halves).await?;
    let mut ids: Vec<_> = [&one, &two].into_iter().chain(&halves).map(|chunk| chunk.id).collect();
    ids.sort_unstable();
    ids.dedup();
    that(ids.len() == 4, || "two chunks have one id".to_owned())?;
    let known = ledger.keys_to_read(&[]).await?;
    that(known.is_empty(), || format!("ranges are keys to read: {known:?}"))?;
    drop(first);
    let mut second = open(bench).await?;
    let mut pending = second.state.pending.clone();
    let mut expected = vec![two, halves[0].clone(), halves[1].clone()];
    pending.sort_by_key(|chunk| chunk.id);
    expected.sort_by_key(|chunk| chunk.id);
    that(pending == expected, || format!("of {expected:?} the ledger remembers {pending:?}"))?;
    let known = second.state.tables.iter().find(|known| known.table == table);
    let upto = known.and_then(|known| known.planned_upto.clone());
    that(upto == Some(vec!["6".to_owned()]), || format!("it is planned up to {upto:?}"))?;
    second.ledger.plan(&table, &range(Some("6"), None)).await?;
    let state = second.ledger.load().await?;
    let done = state.tables.iter().any(|known| known.table == table && known.fully_planned);
    that(done, || "the last chunk is planned, and more are to come".to_owned())?;
    that(state.past.history.is_some(), || "the history is not remembered".to_owned())
}

pub(super) async fn cancelled_write(bench: &mut impl Bench) -> Held {
    let (mut current, seen) = opened(bench, 12).await?;
    for (n, seen) in (1_i32..).zip(&seen) {
        let before = current.state.past.position.clone();
        let given = segment(current.form, &[(n, n)], Some(seen));
        if let Some(written) = given_up(write(&mut current.sink, given), n - 1).await {
            written?;
        }
        drop(current);
        current = open(bench).await?;
        let position = &current.state.past.position;
        let there = bench.rows().await.contains_key(&n);
        that(*position == seen.end && there || *position == before && !there, || {
            format!(
                "of a write that was given up the position is {position}, and the row is {}there",
                if there { "" } else { "not " }
            )
        })?;
        if *position == before {
            write(&mut current.sink, segment(current.form, &[(n, n)], Some(seen))).await?;
            current.state.past.position = seen.end.clone();
        }
    }
    let written = bench.rows().await;
    that(written.len() == seen.len(), || format!("the target has {written:?}"))
}

pub(super) async fn lost_answer(bench: &mut impl Bench) -> Held {
    let (mut first, seen) = opened(bench, 2).await?;
    if !bench.lose_answer().await {
        return Err(Fault::NotApplicable("its answers cannot be lost here".to_owned()));
    }
    let lost = write(&mut first.sink, segment(first.form, &[(1, 1)], Some(&seen[0]))).await;
    that(lost.is_err(), || "a commit whose answer was lost is no error".to_owned())?;
    drop(first);
    let mut second = open(bench).await?;
    let (position, written) = (second.state.past.position.clone(), bench.rows().await);
    that(position == seen[0].end && written == rows(&[(1, 1)]), || {
        format!(
            "of a commit whose answer was lost there are {written:?}, and the position is {position}"
        )
    })?;
    write(&mut second.sink, segment(second.form, &[(2, 2)], Some(&seen[1]))).await?;
    let written = bench.rows().await;
    that(written == rows(&[(1, 1), (2, 2)]), || format!("after it the target has {written:?}"))
}

pub(super) async fn refused(bench: &mut impl Bench) -> Held {
    let Some(value) = bench.refused() else {
        return Err(Fault::NotApplicable("the target takes any value".to_owned()));
    };
    let (mut first, seen) = opened(bench, 2).await?;
    let before = first.state.past.position.clone();
    let error = write(&mut first.sink, segment(first.form, &[(1, 1), (2, value)], Some(&seen[0])))
        .await
        .err();
    let place = error.as_ref().and_then(|error| error.place().map(str::to_owned));
    that(place.is_some(), || format!("a row that is refused gives {error:?}, without a place"))?;
    drop(first);
    let mut second = open(bench).await?;
    let (position, written) = (second.state.past.position.clone(), bench.rows().await);
    that(position == before && written.is_empty(), || {
        format!(
            "of a commit that was refused there are {written:?}, and the position is {position}"
        )
    })?;
    write(&mut second.sink, segment(second.form, &[(1, 1), (2, 2)], Some(&seen[1]))).await?;
    second.stream.acknowledge(before);
    let written = bench.rows().await;
    that(written == rows(&[(1, 1), (2, 2)]), || format!("after it the target has {written:?}"))
}

pub(super) async fn log(bench: &mut impl Bench) -> Held {
    let (mut first, seen) = opened(bench, 12).await?;
    if first.form == Form::Net {
        return Err(Fault::NotApplicable("its target takes the net effect".to_owned()));
    }
    let (transactions, unknown, nothing) = (first.transactions, None, Some(None));
    // A row that comes, changes, goes, comes again, and gets another key; then what is read.
    let steps = [
        (EntryKind::Change, Some(1), nothing, Some(1)),
        (EntryKind::Change, Some(1), unknown, Some(2)),
        (EntryKind::Change, Some(1), Some(Some(2)), None),
        (EntryKind::Change, Some(1), nothing, Some(3)),
        (EntryKind::Change, Some(1), unknown, None),
        (EntryKind::Change, Some(2), nothing, Some(3)),
        (EntryKind::Cleared, None, unknown, None),
        (EntryKind::Copied, Some(3), unknown, Some(4)),
        (EntryKind::Read, Some(2), unknown, None),
    ];
    let entered = |(number, (kind, key, before, after)): (u64, _)| {
        let streamed = matches!(kind, EntryKind::Change | EntryKind::Cleared);
        let cause = streamed.then(|| (seen[0].begin.at.clone(), number));
        Entered { kind, key, before, after, cause }
    };
    let mut expected: Vec<_> = (0..).zip(steps).map(entered).collect();
    let given = |entries: &[Entered], last: Option<&Seen>| {
        let entries = entries.iter().map(|entered| entry(entered, Some(&seen[0].begin))).collect();
        let mut segment = segment(Form::Log, &[], last);
        segment.payload = Payload::Log(entries);
        segment
    };
    let (begun, rest) = expected.split_at(4);
    if transactions {
        write(&mut first.sink, given(begun, None)).await?;
        drop(first);
        first = open(bench).await?;
        let log = bench.log().await;
        that(log.is_empty(), || format!("without a commit the log has {log:?}"))?;
    }
    write(&mut first.sink, given(begun, None)).await?;
    write(&mut first.sink, given(rest, Some(&seen[0]))).await?;
    let log = bench.log().await;
    that(log == expected, || format!("of {expected:?} the log has {log:?}"))?;
    // Several under way do not overtake each other.
    for (n, seen) in (10..).zip(&seen[1..]) {
        first.sink.write(segment(Form::Log, &[(n, n)], Some(seen))).await?;
        let cause = Some((seen.begin.at.clone(), 0));
        let kind = EntryKind::Change;
        expected.push(Entered { kind, key: Some(n), before: None, after: Some(n), cause });
    }
    while first.sink.settle().await?.is_some() {}
    drop(first);
    let last = open(bench).await?.state.past.position;
    let log = bench.log().await;
    that(log == expected && last == seen[11].end, || {
        format!("of {expected:?} the log has {log:?}, and the position is {last}")
    })
}
