//! What libcr and the coordinator of a checkpoint tell each other: messages over a `SOCK_SEQPACKET`
//! connection, in the machine's byte order. Both are on this machine, and `libcr.so.0` and `cairn`
//! are installed together; the version is checked all the same.

/// The version of the messages.
pub const VERSION: i32 = 1;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// To a process: a checkpoint has been requested. `value` is the signal that follows it, `rest`
    /// requester, target, scope and [`VERSION`], the text the destination.
    Request = 1,
    /// To a process: how it went. `value` is 0, the PID of who restarted the job, or minus an error
    /// code; the text is the context file that was restarted.
    Result = 2,
    /// To the coordinator: the text has the descriptors of the connection, and of requests that the
    /// process itself waits for, four bytes each.
    Hello = 3,
    /// To the coordinator: all callbacks have reached cr_checkpoint().
    Ready = 4,
    /// To the coordinator: a callback has cancelled the checkpoint, `value` are its flags.
    Abort = 5,
    /// To the coordinator: more processes, `rest` has scope and target. The answer is a
    /// [`Kind::Result`].
    Forward = 6,
    /// To the coordinator: all callbacks have returned.
    Done = 7,
    /// To a requester: `value` is 0 or an error code, the text is what was logged.
    Report = 8,
    /// To the coordinator that a requester has started: it may begin.
    Begin = 9,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Request,
        Kind::Result,
        Kind::Hello,
        Kind::Ready,
        Kind::Abort,
        Kind::Forward,
        Kind::Done,
        Kind::Report,
        Kind::Begin,
    ];
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: Kind,
    pub value: i32,
    pub rest: [i32; 4],
    pub text: &'a [u8],
}

/// Bytes of the numbers, before the text.
pub const HEAD: usize = 24;
/// Bytes of the longest message.
pub const LONGEST: usize = HEAD + 8192;

impl<'a> Message<'a> {
    /// One without a text.
    pub fn new(kind: Kind, value: i32) -> Message<'static> {
        Message { kind, value, rest: [0; 4], text: &[] }
    }

    /// Writes it to the buffer; how many bytes it has. A text that is too long is cut.
    pub fn encode(&self, to: &mut [u8; LONGEST]) -> usize {
        let numbers = [self.kind as i32, self.value, self.rest[0], self.rest[1], self.rest[2], self.rest[3]];
        for (place, number) in to.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        let len = self.text.len().min(LONGEST - HEAD);
        to[HEAD..HEAD + len].copy_from_slice(&self.text[..len]);
        HEAD + len
    }

    /// `None` for what is none.
    pub fn decode(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (head, text) = bytes.split_at_checked(HEAD)?;
        let number = |at: usize| head[4 * at..][..4].try_into().ok().map(i32::from_ne_bytes);
        let kind = number(0)?;
        let kind = Kind::ALL.into_iter().find(|known| *known as i32 == kind)?;
        Some(Message {
            kind,
            value: number(1)?,
            rest: [number(2)?, number(3)?, number(4)?, number(5)?],
            text,
        })
    }
}

/// The abstract name that a coordinator listens at.
pub fn address(coordinator: i32) -> ([u8; 32], usize) {
    const PREFIX: &[u8] = b"cairn-libcr.";
    let mut name = [0; 32];
    name[..PREFIX.len()].copy_from_slice(PREFIX);
    let (mut digits, mut at, mut left) = ([0; 10], 10, coordinator.max(0));
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let len = PREFIX.len() + digits[at..].len();
    name[PREFIX.len()..len].copy_from_slice(&digits[at..]);
    (name, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_around() {
        let message =
            Message { kind: Kind::Request, value: -5, rest: [1, 2, 3, VERSION], text: b"/tmp/file" };
        let mut room = [0; LONGEST];
        let len = message.encode(&mut room);
        assert_eq!(Message::decode(&room[..len]), Some(message));
        assert_eq!(Message::decode(&room[..HEAD - 1]), None);
        assert_eq!(Message::decode(&[0; HEAD]), None);
    }

    #[test]
    fn an_address_has_the_pid() {
        let text = |pid| {
            let (name, len) = address(pid);
            String::from_utf8(name[..len].to_vec()).unwrap()
        };
        assert_eq!(text(1), "cairn-libcr.1");
        assert_eq!(text(4194304), "cairn-libcr.4194304");
    }
}
