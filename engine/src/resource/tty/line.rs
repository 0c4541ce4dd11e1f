//! What is on its way between the two sides of a pseudo-terminal, and in its line discipline
//! (drivers/tty/n_tty.c).
//!
//! No call shows it: it is read, and written again. What was typed goes back as complete lines and
//! the beginning of one, with each byte that would mean something quoted, so that it is the same
//! whatever the settings were when it was typed. Echoes that wait for stopped output are shown
//! then. Not seen, and forgotten: the column of the cursor, by which a tab is expanded or erased,
//! that the next character is quoted (`VLNEXT`), and that characters are being erased (`ECHOPRT`).

use crate::resource::bytes::Bytes;
use crate::resource::is_default;
use crate::sys::guard;
use crate::sys::mapping::SharedMapping;
use crate::sys::page_size;
use crate::sys::poll;
use crate::sys::tty::{self, Termios};
use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// What is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Written by programs, and not yet read from the master.
    #[serde(default, skip_serializing_if = "is_default")]
    pub output: Bytes,
    /// Lines written to the master and not yet read by a program; without a newline at the end if
    /// an end-of-file character (`VEOF`) ended it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Bytes>,
    /// The beginning of a line; outside canonical mode, everything.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rest: Bytes,
    /// Whether output is stopped.
    #[serde(default)]
    pub flow: Flow,
}

/// Whether programs can write to a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// They can.
    #[default]
    On,
    /// The stop character was typed.
    Stopped,
    /// A program has stopped it (`TCOOFF`).
    Off,
}

/// The size of the buffer of a line discipline, `N_TTY_BUF_SIZE`.
const LINE_BUFFER: usize = 4096;

/// Room for more than a pseudo-terminal holds: two line buffers, and twice the 8 KiB of
/// `pty_common_install` in drivers/tty/pty.c.
const ROOM: usize = 1 << 16;

/// Bytes to write at once: a power of two, so that they fill buffers.
const PART: usize = 64;

/// Bytes beyond the line discipline's that have room in buffers of 256 bytes, whatever was written
/// before.
const SMALL: usize = 31 * 512;

/// Bytes of buffers before no more are allocated (`pty_common_install`, drivers/tty/pty.c).
const LIMIT: usize = 8192;

/// The size of the largest buffer: `TTY_BUFFER_PAGE` (drivers/tty/tty_buffer.c), or what tty_write
/// passes on at a time.
fn largest() -> usize {
    if page_size() == 4096 { 1792 } else { 2048 }
}

/// What to write at once so that buffers take as much as they can: until they are at the limit, and
/// one more. Each takes twice its size.
fn large() -> impl Iterator<Item = usize> {
    let largest = largest();
    [largest, largest, largest, largest, LIMIT - 4 * largest, largest].into_iter().flat_map(|size| [size; 2])
}

/// Bytes that the buffers of 256 bytes hold which there may be at a time, but for one that the line
/// discipline has taken almost everything from.
const STORE: usize = 32 * 512;

/// How long the kernel may take to pass on what was written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Special characters while input is written; all others are disabled.
const SPECIAL: [(usize, u8); 4] =
    [(libc::VLNEXT, QUOTE), (libc::VEOF, END), (libc::VSTART, START), (libc::VSTOP, STOP)];
const QUOTE: u8 = 22;
const END: u8 = 4;
const START: u8 = 17;
const STOP: u8 = 19;

/// Both sides of a pseudo-terminal, of which no program that runs makes use.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The master.
    pub master: BorrowedFd<'a>,
    /// The other side.
    pub slave: BorrowedFd<'a>,
}

/// What was read, in memory that was allocated before.
struct Taken<'a> {
    output: Pile<'a>,
    /// The length of each line, and its bytes.
    lines: Pile<'a>,
    rest: Pile<'a>,
}

/// Bytes from the beginning of some memory on.
struct Pile<'a> {
    room: &'a mut [u8],
    len: usize,
}

/// Bytes before each line.
const HEADER: usize = 2;

impl<'a> Taken<'a> {
    fn new(room: &'a mut [u8], lens: [usize; 3]) -> Self {
        let (output, input) = room.split_at_mut(ROOM);
        let (lines, rest) = input.split_at_mut(ROOM);
        let [output, lines, rest] =
            [(output, lens[0]), (lines, lens[1]), (rest, lens[2])].map(|(room, len)| Pile { room, len });
        Taken { output, lines, rest }
    }

    /// Adds a line.
    fn read_line(&mut self, from: BorrowedFd<'_>) -> io::Result<()> {
        let at = self.lines.len;
        self.lines.len += HEADER;
        let len = self.lines.read(from)?;
        self.lines.room[at..][..HEADER].copy_from_slice(&(len as u16).to_ne_bytes());
        Ok(())
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.lines.bytes();
        std::iter::from_fn(move || {
            let (header, more) = left.split_at_checked(HEADER)?;
            let (line, next) = more.split_at(u16::from_ne_bytes([header[0], header[1]]).into());
            left = next;
            Some(line)
        })
    }
}

impl Pile<'_> {
    fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Adds what one call of read(2) returns; returns the number of bytes.
    fn read(&mut self, from: BorrowedFd<'_>) -> io::Result<usize> {
        let room = self.room.get_mut(self.len..).and_then(|room| room.get_mut(..2 * LINE_BUFFER));
        let len = rustix::io::read(from, room.ok_or(Errno::NOBUFS)?)?;
        self.len += len;
        Ok(len)
    }
}

impl Pair<'_> {
    /// Whether input may go beyond what the line discipline holds in canonical mode: more cannot be
    /// told apart from what is typed later.
    ///
    /// # Errors
    /// As ioctl_tty(2).
    pub fn is_full(self) -> io::Result<bool> {
        Ok(is_canonical(&tty::termios(self.slave)?) && tty::readable(self.slave)? >= LINE_BUFFER / 2)
    }

    /// Whether output has no room, so that what was typed may not be shown yet: both together would
    /// have no room either.
    ///
    /// # Errors
    /// As ioctl_tty(2).
    pub fn may_owe_echoes(self) -> io::Result<bool> {
        let echoes = tty::termios(self.slave)?.local & (libc::ECHO | libc::ECHONL) != 0;
        let full = tty::readable(self.master)? >= LINE_BUFFER - 1;
        Ok(echoes && full && !is_ready(self.slave, PollFlags::OUT)?)
    }

    /// Finds out what is on its way, by reading it all and writing it again. That is complete even
    /// if we are killed, because a child does it.
    ///
    /// # Errors
    /// ENOBUFS when there is more than a pseudo-terminal holds; what the kernel reports.
    pub fn look(self) -> io::Result<InFlight> {
        const PILES: usize = 3 * ROOM;
        // After the piles: the length of each, and the flow.
        const WORDS: usize = 4;
        let mut shared = SharedMapping::new(PILES + 4 * WORDS, None)?;
        let attempt = || {
            let (room, told) = shared.range(0, PILES + 4 * WORDS).split_at_mut(PILES);
            let mut taken = Taken::new(room, [0; 3]);
            let flow = self.take_and_give_back(&mut taken)?;
            let words = [taken.output.len, taken.lines.len, taken.rest.len, flow as usize];
            let places = told.chunks_exact_mut(4);
            places.zip(words).for_each(|(at, word)| at.copy_from_slice(&(word as u32).to_ne_bytes()));
            Ok(())
        };
        guard::try_in_child(attempt)?;
        let (room, told) = shared.range(0, PILES + 4 * WORDS).split_at_mut(PILES);
        let word =
            |at: usize| u32::from_ne_bytes(told[4 * at..][..4].try_into().expect("four bytes")) as usize;
        let taken = Taken::new(room, [word(0), word(1), word(2)]);
        let flow = [Flow::On, Flow::Stopped, Flow::Off][word(3)];
        let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
        let lines = taken.lines().map(bytes).collect();
        Ok(InFlight { output: bytes(taken.output.bytes()), lines, rest: bytes(taken.rest.bytes()), flow })
    }

    /// Makes system calls only.
    fn take_and_give_back(self, taken: &mut Taken<'_>) -> io::Result<Flow> {
        let now = tty::termios(self.slave)?;
        // Read without the status byte. A change of settings is no event then, either.
        let packet = tty::is_packet(self.master)?;
        let modes = [self.master, self.slave].map(|side| (side, fcntl_getfl(side)));
        for (side, mode) in modes {
            fcntl_setfl(side, mode? | OFlags::NONBLOCK)?;
        }
        if packet {
            tty::set_packet(self.master, false)?;
        }
        let flow = self.take(&now, taken);
        // Whatever happened, what was taken goes back.
        let back = *flow.as_ref().unwrap_or(&Flow::On);
        let (output, rest) = (taken.output.bytes(), taken.rest.bytes());
        let given = self.give(&now, || taken.lines(), rest, output, back);
        if packet {
            tty::set_packet(self.master, true)?;
        }
        for (side, mode) in modes {
            fcntl_setfl(side, mode?)?;
        }
        given.and(flow)
    }

    fn take(self, now: &Termios, taken: &mut Taken<'_>) -> io::Result<Flow> {
        self.take_output(taken)?;
        if is_canonical(now) {
            while is_ready(self.slave, PollFlags::IN)? {
                taken.read_line(self.slave)?;
            }
            // There may have been room for echoes.
            self.take_output(taken)?;
        }
        let can_write = is_ready(self.slave, PollFlags::OUT)?;
        tty::set_termios(self.slave, &raw(now))?;
        let mut flow = Flow::On;
        if !can_write {
            flow = Flow::Stopped;
            if !is_ready(self.slave, PollFlags::OUT)? {
                flow = Flow::Off;
                tty::set_flow(self.slave, false)?;
            }
            // Echoes that waited for that: not to use the stop character any more shows them.
            tty::set_termios(self.slave, &Termios { input: libc::IXON, ..raw(now) })?;
            tty::set_termios(self.slave, &raw(now))?;
            self.take_output(taken)?;
        }
        while taken.rest.read(self.slave)? > 0 {}
        Ok(flow)
    }

    fn take_output(self, taken: &mut Taken<'_>) -> io::Result<()> {
        while is_ready(self.master, PollFlags::IN)? {
            taken.output.read(self.master)?;
        }
        Ok(())
    }

    /// Puts everything on its way, with the settings `now` in the end.
    ///
    /// # Errors
    /// ETIMEDOUT if there is no room for it.
    pub fn put(self, now: &Termios, flight: &InFlight) -> io::Result<()> {
        let InFlight { output, lines, rest, flow } = flight;
        tty::set_termios(self.slave, &Termios { output: 0, ..raw(now) })?;
        for (bytes, to, from) in [(output, self.slave, self.master), (rest, self.master, self.slave)] {
            if bytes.0.len() > LINE_BUFFER - 1 + large().sum::<usize>() {
                self.stock(to, from)?;
            }
        }
        self.give(now, || lines.iter().map(|line| &line.0[..]), &rest.0, &output.0, *flow)
    }

    /// Makes system calls only. `lines` are the same whenever it is called.
    fn give<'b, I: Iterator<Item = &'b [u8]>>(
        self,
        now: &Termios,
        lines: impl Fn() -> I,
        rest: &[u8],
        output: &[u8],
        flow: Flow,
    ) -> io::Result<()> {
        let before: usize = lines().map(<[u8]>::len).sum();
        // What the line discipline has no room for, it has not looked at.
        let (rest, beyond) = rest.split_at(rest.len().min((LINE_BUFFER - 1).saturating_sub(before)));
        let given = self.give_quietly(now, &lines, rest, output, flow);
        tty::set_termios(self.slave, now)?;
        self.fill(self.master, beyond, 0)?;
        given
    }

    fn give_quietly<'b, I: Iterator<Item = &'b [u8]>>(
        self,
        now: &Termios,
        lines: &impl Fn() -> I,
        rest: &[u8],
        output: &[u8],
        flow: Flow,
    ) -> io::Result<()> {
        tty::set_termios(self.slave, &quiet(now))?;
        if !rest.is_empty() || lines().next().is_some() {
            // Until the start character arrives, all before which has arrived then.
            self.write(self.master, &[STOP])?;
            self.await_flow(false)?;
            for line in lines() {
                let (text, end): (_, &[u8]) =
                    line.strip_suffix(b"\n").map_or((line, &[END]), |text| (text, b"\n"));
                self.type_in(text)?;
                self.write(self.master, end)?;
            }
            self.type_in(rest)?;
            self.write(self.master, &[START])?;
            self.await_flow(true)?;
        }
        self.fill(self.slave, output, LINE_BUFFER - 1)?;
        match flow {
            Flow::On => Ok(()),
            Flow::Off => tty::set_flow(self.slave, true),
            Flow::Stopped => {
                self.write(self.master, &[STOP])?;
                self.await_flow(false)
            }
        }
    }

    /// Writes bytes to the master so that they arrive as they are, and end no line.
    fn type_in(self, bytes: &[u8]) -> io::Result<()> {
        let means_something =
            |byte: &u8| *byte == b'\n' || SPECIAL.iter().any(|(_, special)| special == byte);
        let mut left = bytes;
        while let Some(first) = left.first() {
            let plain = left.iter().take(PART).position(means_something).unwrap_or(left.len().min(PART));
            if plain == 0 {
                self.write(self.master, &[QUOTE, *first])?;
            }
            self.write(self.master, &left[..plain])?;
            left = &left[plain.max(1)..];
        }
        Ok(())
    }

    /// Writes as much as a pseudo-terminal can hold at all, of which its line discipline has room
    /// for `line`. Before that (drivers/tty/tty_buffer.c, `tty_buffer_alloc`) there are buffers,
    /// which hold twice their size of what is written in fitting parts: large ones until they are
    /// more than 8 KiB, and then as many of 256 bytes as are in store. One that the line discipline
    /// has taken everything from counts until the kernel passes on what came after.
    fn fill(self, to: BorrowedFd<'_>, bytes: &[u8], line: usize) -> io::Result<()> {
        let (taken, beyond) = bytes.split_at(bytes.len().min(line));
        self.write_in_parts(to, taken)?;
        if beyond.len() <= SMALL {
            return self.write_in_parts(to, beyond);
        }
        // Only then it is known how much room the rest has.
        let other = if to.as_raw_fd() == self.master.as_raw_fd() { self.slave } else { self.master };
        wait(|| Ok(tty::readable(other)? >= LINE_BUFFER - 1))?;
        let mut left = beyond;
        for part in large() {
            let (now, later) = left.split_at(left.len().min(part));
            self.write(to, now)?;
            left = later;
        }
        self.write_in_parts(to, left)
    }

    fn write_in_parts(self, to: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PART).try_for_each(|part| self.write(to, part))
    }

    /// Has as many buffers of 256 bytes put in store as there ever are: what was written when there
    /// were some may fill all of them.
    fn stock(self, to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> io::Result<()> {
        let mut left = LINE_BUFFER - 1 + STORE;
        self.write_in_parts(to, &[0; LINE_BUFFER - 1 + STORE])?;
        let mut buffer = [0; LINE_BUFFER];
        wait(|| match rustix::io::read(from, &mut buffer) {
            Ok(len) => {
                left -= len;
                Ok(left == 0)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(err) => Err(err.into()),
        })
    }

    /// Writes it all. There may be room when poll(2) says there is none: the last buffer may be
    /// larger than what is left of the 8 KiB.
    fn write(self, to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            wait(|| match rustix::io::write(to, bytes) {
                Ok(len) => {
                    bytes = &bytes[len..];
                    Ok(true)
                }
                Err(Errno::AGAIN) => Ok(false),
                Err(err) => Err(err.into()),
            })?;
        }
        Ok(())
    }

    /// Waits until output is stopped or started.
    fn await_flow(self, started: bool) -> io::Result<()> {
        let both = PollFlags::IN | PollFlags::OUT;
        wait(|| Ok(poll::now(self.slave, both)?.contains(PollFlags::OUT) == started))
    }
}

/// Waits for what the kernel does without telling: it wakes up who wants to write when a program
/// has read, not when it has passed on what was written.
fn wait(mut is_done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_done()? {
        if Instant::now() > deadline {
            return Err(Errno::TIMEDOUT.into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn is_canonical(termios: &Termios) -> bool {
    termios.local & libc::ICANON != 0
}

/// Settings with which a read returns what there is. Echoes are shown as always.
fn raw(now: &Termios) -> Termios {
    let mut raw = Termios { input: 0, local: 0, ..*now };
    raw.characters[libc::VMIN] = 0;
    raw.characters[libc::VTIME] = 0;
    raw
}

/// Settings with which input is neither changed nor echoed, and output not changed.
fn quiet(now: &Termios) -> Termios {
    let local = libc::ICANON | libc::IEXTEN;
    let mut quiet = Termios { input: libc::IXON, output: 0, local, characters: [0; 19], ..*now };
    SPECIAL.iter().for_each(|(place, character)| quiet.characters[*place] = *character);
    quiet
}

/// Whether there is one of these events. The kernel passes on first what was written.
fn is_ready(fd: BorrowedFd<'_>, wanted: PollFlags) -> io::Result<bool> {
    Ok(poll::now(fd, wanted)?.intersects(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::{OpenptyResult, openpty};
    use proptest::prelude::*;
    use rstest::rstest;
    use rustix::io::{read, write};
    use std::os::fd::AsFd;

    /// A pseudo-terminal that does not block.
    fn pty(change: impl Fn(&mut Termios)) -> OpenptyResult {
        let pty = openpty(None, None).unwrap();
        for side in [&pty.master, &pty.slave] {
            fcntl_setfl(side, fcntl_getfl(side).unwrap() | OFlags::NONBLOCK).unwrap();
        }
        let mut termios = tty::termios(pty.slave.as_fd()).unwrap();
        change(&mut termios);
        tty::set_termios(pty.slave.as_fd(), &termios).unwrap();
        pty
    }

    fn pair(pty: &OpenptyResult) -> Pair<'_> {
        Pair { master: pty.master.as_fd(), slave: pty.slave.as_fd() }
    }

    /// What it has on its way, which must be the same when it is looked at again, and on another.
    fn looked_at(pty: &OpenptyResult) -> InFlight {
        let now = tty::termios(pty.slave.as_fd()).unwrap();
        let found = pair(pty).look().unwrap();
        assert_eq!(pair(pty).look().unwrap(), found);
        assert_eq!(tty::termios(pty.slave.as_fd()).unwrap(), now);
        let other = super::tests::pty(|termios| *termios = now);
        pair(&other).put(&now, &found).unwrap();
        assert_eq!(pair(&other).look().unwrap(), found);
        found
    }

    fn drained(fd: &impl AsFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 8192];
        while is_ready(fd.as_fd(), PollFlags::IN).unwrap() {
            let len = read(fd, &mut buf).unwrap();
            all.extend(&buf[..len]);
        }
        all
    }

    #[test]
    fn lines_and_the_beginning_of_one_are_told_apart() {
        let pty = pty(|_| ());
        write(&pty.master, b"one\ntwo\x04\x04thre\x7f\x16\x04").unwrap();
        wait(|| Ok(tty::readable(pty.master.as_fd())? == 19)).unwrap();
        write(&pty.slave, b"said\n").unwrap();
        let found = looked_at(&pty);
        let lines: Vec<&[u8]> = found.lines.iter().map(|line| &line.0[..]).collect();
        assert_eq!(lines, [&b"one\n"[..], b"two", b""]);
        assert_eq!(found.rest.0, b"thr\x04");
        let shown = String::from_utf8(found.output.0).unwrap();
        assert!(shown.starts_with("one\r\ntwo") && shown.ends_with("said\r\n"), "{shown:?}");
        // What is typed next goes on.
        drained(&pty.master);
        write(&pty.master, b"\x7f\x7fy\n").unwrap();
        let mut buf = [0; 64];
        let mut line = || {
            is_ready(pty.slave.as_fd(), PollFlags::IN).unwrap();
            let len = read(&pty.slave, &mut buf).unwrap();
            buf[..len].to_vec()
        };
        assert_eq!([line(), line(), line(), line()], [&b"one\n"[..], b"two", b"", b"thy\n"]);
    }

    #[rstest]
    #[case::running(Flow::On, &[])]
    #[case::by_the_user(Flow::Stopped, b"\x13")]
    #[case::by_a_program(Flow::Off, &[])]
    fn stopped_output_stays_stopped(#[case] flow: Flow, #[case] typed: &[u8]) {
        let pty = pty(|_| ());
        write(&pty.slave, b"before").unwrap();
        write(&pty.master, typed).unwrap();
        if flow == Flow::Off {
            tty::set_flow(pty.slave.as_fd(), true).unwrap();
        }
        let mut found = looked_at(&pty);
        assert_eq!((found.flow, &found.output.0[..]), (flow, &b"before"[..]));
        let can_write = is_ready(pty.slave.as_fd(), PollFlags::OUT).unwrap();
        assert_eq!(can_write, flow == Flow::On);
        write(&pty.master, b"\x11").unwrap();
        found.flow = if flow == Flow::Stopped { Flow::On } else { flow };
        assert_eq!(pair(&pty).look().unwrap(), found);
    }

    #[rstest]
    fn a_full_pseudo_terminal_holds_no_more_afterwards_and_no_less(
        #[values(&[512, 100, 1, 2048], &[64, 2048], &[256, 1800], &[2048], &[4096, 1], &[1], &[500])]
        parts: &[usize],
    ) {
        let pty = pty(|termios| (termios.local, termios.output) = (0, 0));
        for side in [&pty.master, &pty.slave] {
            for part in parts {
                while write(side, &vec![b'x'; *part]).is_ok()
                    || is_ready(side.as_fd(), PollFlags::OUT).unwrap()
                {}
            }
        }
        let found = looked_at(&pty);
        assert!(found.output.0.len() > LINE_BUFFER && found.rest.0.len() > LINE_BUFFER);
        assert_eq!(drained(&pty.slave), found.rest.0);
        assert_eq!(drained(&pty.master), found.output.0);
    }

    /// What programs can get to that write now short, now long parts.
    #[test]
    fn the_fullest_there_is_fits_again() {
        let pty = pty(|termios| (termios.local, termios.output) = (0, 0));
        let pair = pair(&pty);
        let all = vec![b'x'; LINE_BUFFER - 1 + large().sum::<usize>() + SMALL];
        for (side, other) in [(pair.master, pair.slave), (pair.slave, pair.master)] {
            pair.stock(side, other).unwrap();
            pair.fill(side, &all, LINE_BUFFER - 1).unwrap();
        }
        let found = looked_at(&pty);
        assert_eq!((found.rest.0.len(), found.output.0.len()), (all.len(), all.len()));
        assert_eq!((drained(&pty.slave), drained(&pty.master)), (all.clone(), all));
    }

    #[test]
    fn a_reader_of_packets_reads_the_same() {
        let pty = pty(|_| ());
        tty::set_packet(pty.master.as_fd(), true).unwrap();
        write(&pty.slave, b"said").unwrap();
        assert_eq!(pair(&pty).look().unwrap().output.0, b"said");
        assert_eq!(drained(&pty.master), b"\0said");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_was_typed_is_read_once(
            typed in prop::collection::vec(any::<u8>(), 0..1500),
            said in prop::collection::vec(any::<u8>(), 0..1500),
            canonical: bool,
        ) {
            let typed_raw = |termios: &mut Termios| {
                (termios.local, termios.input, termios.output) = (if canonical { libc::ICANON } else { 0 }, 0, 0);
                termios.characters = [0; 19];
                termios.characters[libc::VMIN] = 1;
            };
            let pty = pty(typed_raw);
            write(&pty.master, &typed).unwrap();
            write(&pty.slave, &said).unwrap();
            let found = looked_at(&pty);
            let lines: Vec<u8> = found.lines.iter().flat_map(|line| line.0.clone()).collect();
            prop_assert_eq!(&[&lines[..], &found.rest.0[..]].concat(), &typed);
            prop_assert_eq!(&found.output.0, &said);
            prop_assert_eq!(drained(&pty.slave), if canonical { lines } else { typed });
            prop_assert_eq!(drained(&pty.master), said);
        }
    }
}
