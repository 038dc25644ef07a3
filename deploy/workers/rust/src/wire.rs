//! The worker's end of the port wire (docs/reference/port-wire.md): frames and the socket.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::exit;

use crate::pack::{Bad, Reader, Writer};

pub const FRAME_MAX: u32 = 1 << 20;
pub const WINDOW: u32 = 64;

/// What the host wants done.
pub enum Task {
    Call { id: u32, op: String, payload: Vec<u8> },
    Cast { op: String },
}

/// The connection, and what was read ahead of the work at hand.
pub struct Host {
    socket: File,
    input: Vec<u8>,
    output: Writer,
    tasks: VecDeque<Task>,
    answers: VecDeque<(u32, Option<Vec<u8>>)>,
    cancelled: HashSet<u32>,
    events: u32,
    consumed: u32,
    calls: u32,
    pub draining: bool,
}

impl Host {
    /// Say HELLO on fd 3.
    pub fn greet(ops: &[&str]) -> Host {
        // SAFETY: the host gave us this file, and nobody else here uses it.
        let socket = unsafe { File::from_raw_fd(3) };
        let mut host = Host {
            socket,
            input: Vec::new(),
            output: Writer::default(),
            tasks: VecDeque::new(),
            answers: VecDeque::new(),
            cancelled: HashSet::new(),
            events: 0,
            consumed: 0,
            calls: 0,
            draining: false,
        };
        host.frame(|w| {
            w.array(8)
                .uint(0)
                .uint(1)
                .uint(1)
                .text("kg-port")
                .uint(std::process::id());
            w.array(ops.len() as u8);
            ops.iter().for_each(|op| {
                w.text(op);
            });
            w.uint(FRAME_MAX).uint(WINDOW);
        });
        host
    }

    // ---- writing

    fn frame(&mut self, fill: impl FnOnce(&mut Writer)) {
        let start = self.output.0.len();
        self.output.0.extend([0; 4]);
        fill(&mut self.output);
        let size = (self.output.0.len() - start - 4) as u32;
        self.output.0[start..start + 4].copy_from_slice(&size.to_be_bytes());
        if self.output.0.len() > 1 << 16 {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if self.socket.write_all(&self.output.0).is_err() {
            exit(0); // the host is gone
        }
        self.output.0.clear();
    }

    pub fn reply(&mut self, id: u32, payload: &[u8]) {
        self.frame(|w| {
            w.array(3).uint(3).uint(id).bin(payload);
        });
    }

    pub fn error(&mut self, id: u32, code: &str, text: &str, retryable: bool) {
        self.frame(|w| {
            w.array(5).uint(4).uint(id).text(code).text(text).bool(retryable);
        });
    }

    pub fn log(&mut self, level: u32, text: &str, field: &str, value: u32) {
        self.frame(|w| {
            w.array(4)
                .uint(10)
                .uint(level)
                .text(text)
                .map(1)
                .text(field)
                .uint(value);
        });
    }

    pub fn bye(&mut self) -> ! {
        self.frame(|w| {
            w.array(3).uint(12).uint(0).text("drained");
        });
        self.flush();
        exit(0)
    }

    /// Bytes that are no frame, for tests of the host.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.output.0.extend(bytes);
        self.flush();
    }

    /// One of the results of a call; waits for credit. False if nobody wants it any more.
    pub fn result(&mut self, id: u32, op: &str, payload: &[u8]) -> Result<bool, Bad> {
        while self.events == 0 && !self.cancelled.contains(&id) {
            self.wait()?;
        }
        if self.cancelled.contains(&id) {
            return Ok(false);
        }
        self.events -= 1;
        self.frame(|w| {
            w.array(4).uint(13).text(op).bin(payload).uint(id);
        });
        Ok(true)
    }

    /// Ask the host for something; None if it refused.
    pub fn call(&mut self, op: &str, payload: &[u8]) -> Result<Option<Vec<u8>>, Bad> {
        self.calls += 1;
        let id = self.calls;
        self.frame(|w| {
            w.array(5).uint(2).uint(id).text(op).bin(payload).uint(5000);
        });
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer.0 == id) {
                return Ok(self.answers.remove(at).and_then(|answer| answer.1));
            }
            self.wait()?;
        }
    }

    // ---- reading

    /// Write everything, then take in what comes.
    pub fn wait(&mut self) -> Result<(), Bad> {
        self.flush();
        let mut piece = [0; 1 << 16];
        match self.socket.read(&mut piece) {
            Ok(0) | Err(_) => exit(0), // the host is gone
            Ok(size) => self.input.extend(&piece[..size]),
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while rest.len() >= 4 {
            let size = u32::from_be_bytes(rest[..4].try_into().unwrap());
            if size < 1 || size > FRAME_MAX {
                return Err("a frame has a bad length");
            }
            let end = 4 + size as usize;
            if rest.len() < end {
                break;
            }
            self.take_in(Reader(&rest[4..end]))?;
            rest = &rest[end..];
        }
        self.input = rest.to_vec();
        Ok(())
    }

    /// Whether the host has lost interest in a call; takes in what is there.
    pub fn is_cancelled(&mut self, id: u32) -> Result<bool, Bad> {
        let mut poll = [Poll {
            fd: self.socket.as_raw_fd(),
            events: 1,
            revents: 0,
        }];
        // SAFETY: one valid entry, and no time to wait.
        if unsafe { poll_fds(poll.as_mut_ptr(), 1, 0) } > 0 {
            self.wait()?;
        }
        Ok(self.cancelled.contains(&id))
    }

    fn take_in(&mut self, mut frame: Reader) -> Result<(), Bad> {
        if frame.array()? < 1 {
            return Err("an empty frame");
        }
        match frame.uint()? {
            1 => {
                frame.uint()?;
                frame.uint()?;
                self.events = frame.uint()?;
            }
            2 => self.tasks.push_back(Task::Call {
                id: frame.uint()?,
                op: String::from_utf8_lossy(frame.bytes()?).into(),
                payload: frame.bytes()?.into(),
            }),
            3 => self
                .answers
                .push_back((frame.uint()?, Some(frame.bytes()?.into()))),
            4 => self.answers.push_back((frame.uint()?, None)),
            5 => self.tasks.push_back(Task::Cast {
                op: String::from_utf8_lossy(frame.bytes()?).into(),
            }),
            6 => {
                self.cancelled.insert(frame.uint()?);
            }
            7 => self.events += frame.uint()?,
            8 => {
                let nonce = frame.uint()?;
                self.frame(|w| {
                    w.array(2).uint(9).uint(nonce);
                });
            }
            9 | 64.. => {}
            11 => self.draining = true,
            _ => return Err("a frame that no host sends"),
        }
        Ok(())
    }

    /// The next piece of work; None once all is done and the host said to drain.
    pub fn next_task(&mut self) -> Result<Option<Task>, Bad> {
        loop {
            match self.tasks.pop_front() {
                Some(Task::Call { id, .. }) if self.cancelled.contains(&id) => {
                    self.error(id, "cancelled", "", false);
                    self.finished(Some(id));
                }
                Some(task) => return Ok(Some(task)),
                None if self.draining => return Ok(None),
                None => self.wait()?,
            }
        }
    }

    /// A task is dealt with: give the host credit for another, half a window at a time.
    pub fn finished(&mut self, id: Option<u32>) {
        if let Some(id) = id {
            self.cancelled.remove(&id);
        }
        self.consumed += 1;
        if self.consumed >= WINDOW / 2 {
            let credit = std::mem::take(&mut self.consumed);
            self.frame(|w| {
                w.array(2).uint(7).uint(credit);
            });
        }
    }
}

#[repr(C)]
struct Poll {
    fd: i32,
    events: i16,
    revents: i16,
}

extern "C" {
    #[link_name = "poll"]
    fn poll_fds(fds: *mut Poll, count: u64, timeout: i32) -> i32;
}
