//! What a server sends, from bytes that no server would send: entrances for the fuzzer, which must not find
//! a panic behind them, whatever it gives. The answers are of no use.

use bytes::Bytes;
use futures_util::FutureExt;
use regraft_core::{Change, Event, Row, Tuple};

use crate::pgoutput::Decoder;
use crate::replication::copy::copied_row;
use crate::replication::frame::FrameBuffer;

/// Messages of the wire, those of CopyData as messages of a change stream and as rows of a COPY.
pub fn wire(mut bytes: &[u8]) {
    let mut buffer = FrameBuffer::default();
    let mut decoder = Decoder::new();
    while let Some(Ok(1..)) = buffer.fill(&mut bytes).now_or_never() {
        while let Ok(Some(frame)) = buffer.next() {
            if frame.tag != b'd' {
                continue;
            }
            if let Ok(Some(row)) = copied_row(frame.body.clone()) {
                Row(&row).cells().for_each(drop);
            }
            decoded(&mut decoder, frame.body);
        }
    }
}

/// One stream of messages of the output plugin, each with its length before it.
pub fn messages(mut bytes: &[u8]) {
    let mut decoder = Decoder::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*head)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        decoded(&mut decoder, Bytes::copy_from_slice(message));
        bytes = rest;
    }
}

fn decoded(decoder: &mut Decoder, message: Bytes) {
    let mut events = Vec::new();
    decoder.decode(message, &mut events).ok();
    for event in events {
        match event {
            Event::Change(Change::Insert { new, .. }) => looked_at(&new),
            Event::Change(Change::Update { old, new, .. }) => {
                looked_at(&new);
                old.iter().for_each(|old| looked_at(old.tuple()));
            }
            Event::Change(Change::Delete { old, .. }) => looked_at(old.tuple()),
            _ => {}
        }
    }
}

fn looked_at(tuple: &Tuple) {
    tuple.detach().iter().for_each(drop);
}
