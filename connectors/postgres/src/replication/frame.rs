//! Messages of the wire: one tag byte and an `i32` length that counts itself.
//!
//! Own framing, because `postgres_protocol` does not know CopyBothResponse (`W`).
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use regraft_core::{Code, Error, Result, WIDE};
use tokio::io::{AsyncRead, AsyncReadExt};

/// PostgreSQL's own limit for a message is 1 GB (`PQ_LARGE_MESSAGE_LIMIT`, `MaxAllocSize`).
const LENGTH_MAX: usize = 1 << 30;
/// Reading stops here; more stays in the socket until this much has been decoded.
const READ_MAX: usize = 256 * 1024;
/// With less room than this, a new buffer is made: frames that were handed out keep the old one.
const READ_STEP: usize = 64 * 1024;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

/// Bytes read and not yet taken as messages.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    bytes: BytesMut,
    /// An error that came after bytes; it is told once those are taken.
    failed: Option<io::Error>,
}

impl FrameBuffer {
    /// The next whole message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`Code::Protocol`] when the length cannot be one. Nothing is allocated for it.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        let Some(length) = self.pending_length()? else { return Ok(None) };
        if self.bytes.len() < length + 1 {
            return Ok(None);
        }
        let tag = self.bytes.get_u8();
        let mut body = self.bytes.split_to(length).freeze();
        body.advance(4);
        if length >= WIDE {
            // Whoever has the message frees its memory with it: what follows gets a buffer of its own.
            self.bytes = BytesMut::from(self.bytes.as_ref());
        }
        Ok(Some(Frame { tag, body }))
    }

    /// The length field of the next message, once it is here.
    fn pending_length(&self) -> Result<Option<usize>> {
        let Some(head) = self.bytes.get(1..5).and_then(|head| head.first_chunk::<4>()) else {
            return Ok(None);
        };
        match usize::try_from(i32::from_be_bytes(*head)) {
            Ok(length) if (4..=LENGTH_MAX).contains(&length) => Ok(Some(length)),
            _ => Err(Error::new(Code::Protocol, "a message has an impossible length")
                .remedy("check that the port is that of a PostgreSQL server")),
        }
    }

    /// The next message is wide, and not all of it is here.
    ///
    /// # Errors
    /// As of [`FrameBuffer::next`].
    pub(crate) fn awaits_wide(&self) -> Result<bool> {
        Ok(self.pending_length()?.is_some_and(|length| length >= WIDE))
    }

    /// Appends bytes as if they had been read.
    #[cfg(test)]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads what is there, up to [`READ_MAX`] bytes, and waits only when there is nothing.
    /// Returns 0 at the end of the stream. Cancel-safe: bytes read are in the buffer.
    ///
    /// One call may read several times, since a TLS stream gives a record (16 KiB) at a time.
    pub(crate) async fn fill<R: AsyncRead + Unpin + ?Sized>(
        &mut self,
        reader: &mut R,
    ) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.make_room();
        let mut total = 0;
        poll_fn(|context| {
            while total < READ_MAX {
                let room = self.bytes.capacity() - self.bytes.len();
                if room == 0 {
                    break;
                }
                match pin!(reader.read_buf(&mut self.bytes)).poll(context) {
                    Poll::Ready(Ok(0)) => break,
                    Poll::Ready(Ok(read)) => total += read,
                    Poll::Pending if total == 0 => return Poll::Pending,
                    Poll::Pending => break,
                    Poll::Ready(Err(error)) if total == 0 => return Poll::Ready(Err(error)),
                    Poll::Ready(Err(error)) => {
                        self.failed = Some(error);
                        break;
                    }
                }
            }
            Poll::Ready(Ok(total))
        })
        .await
    }

    /// A large message grows the buffer by doubling, so that a length field alone costs no memory.
    fn make_room(&mut self) {
        let room = self.bytes.capacity() - self.bytes.len();
        if room < READ_STEP {
            self.bytes.reserve(READ_MAX.max(self.bytes.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn an_impossible_length_is_refused_before_anything_is_allocated() {
        for length in [3, 0, -1, i32::MIN, i32::MAX, (1 << 30) + 1] {
            let mut buffer = FrameBuffer::default();
            buffer.extend(b"d");
            buffer.extend(&i32::to_be_bytes(length));
            assert_eq!(buffer.next().unwrap_err().code(), Code::Protocol, "{length}");
            assert!(buffer.bytes.capacity() < 1024);
        }
    }

    #[tokio::test]
    async fn a_large_message_costs_memory_only_as_it_arrives() {
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        far.write_all(b"d\x3F\xFF\xFF\xFFabc").await.unwrap();
        let mut buffer = FrameBuffer::default();
        assert_eq!(buffer.fill(&mut near).await.unwrap(), 8);
        assert_eq!(buffer.next().unwrap(), None);
        assert!(buffer.bytes.capacity() <= 2 * READ_MAX);
    }

    #[test]
    fn a_wide_message_is_alone_in_its_buffer() {
        let length = i32::try_from(WIDE + 4).unwrap().to_be_bytes();
        let mut buffer = FrameBuffer::default();
        buffer.extend(b"d");
        buffer.extend(&length);
        assert!(buffer.awaits_wide().unwrap());
        buffer.extend(&vec![7; WIDE]);
        buffer.extend(b"c\0\0\0\x04");
        assert_eq!(buffer.next().unwrap().unwrap().body.len(), WIDE);
        assert!(buffer.bytes.capacity() < WIDE);
        assert_eq!(buffer.next().unwrap().unwrap().tag, b'c');
    }

    #[tokio::test]
    async fn one_fill_takes_all_that_is_there_and_the_end_is_told_apart() {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(&[b'x'; 1000]).await.unwrap();
        far.write_all(&[b'y'; 1000]).await.unwrap();
        drop(far);
        let mut buffer = FrameBuffer::default();
        assert_eq!(buffer.fill(&mut near).await.unwrap(), 2000);
        assert_eq!(buffer.fill(&mut near).await.unwrap(), 0);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)
        ) {
            let mut buffer = FrameBuffer::default();
            for part in parts {
                buffer.extend(&part);
                while let Ok(Some(_)) = buffer.next() {}
            }
        }

        #[test]
        fn messages_survive_any_division(
            messages in prop::collection::vec(
                (any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..10),
            size in 1_usize..40,
        ) {
            let mut wire = Vec::new();
            for (tag, body) in &messages {
                wire.push(*tag);
                wire.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
                wire.extend_from_slice(body);
            }
            let mut buffer = FrameBuffer::default();
            let mut found = Vec::new();
            for part in wire.chunks(size) {
                buffer.extend(part);
                while let Some(Frame { tag, body }) = buffer.next().unwrap() {
                    found.push((tag, body.to_vec()));
                }
            }
            prop_assert_eq!(found, messages);
        }
    }
}
