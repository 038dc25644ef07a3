//! A port worker in Rust, without crates: the operations of keygrove_actors/port_conform.py.

mod pack;
mod wire;

use std::io::Write;
use std::process::{abort, exit, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pack::{Bad, Reader, Writer};
use wire::{Host, Task};

const OPS: [&str; 10] = [
    "echo", "sleep", "fail", "print", "ask", "files", "spawn", "count", "die", "reload",
];

fn main() {
    let mut host = Host::greet(&OPS);
    if let Err(what) = work(&mut host) {
        eprintln!("{what}");
        exit(1);
    }
    host.bye();
}

fn work(host: &mut Host) -> Result<(), Bad> {
    while let Some(task) = host.next_task()? {
        match task {
            Task::Call { id, op, payload } => {
                answer(host, id, &op, &payload)?;
                host.finished(Some(id));
            }
            Task::Cast { op } => {
                if op == "reload" {
                    host.log(1, "reloaded", "n", 1);
                }
                host.finished(None);
            }
        }
    }
    Ok(())
}

fn answer(host: &mut Host, id: u32, op: &str, payload: &[u8]) -> Result<(), Bad> {
    match op {
        "echo" => host.reply(id, payload),
        "fail" => host.error(id, "not_found", "no such thing", true),
        "sleep" => {
            let until = Instant::now() + Duration::from_millis(number(payload));
            while Instant::now() < until && !host.is_cancelled(id)? {
                sleep(Duration::from_millis(5));
            }
            host.reply(id, payload);
        }
        "print" => {
            for n in 0..number(payload) {
                println!("{n}");
                eprintln!("{n}");
            }
            host.reply(id, payload);
        }
        "ask" => match host.call("lookup", payload)? {
            Some(found) => host.reply(id, &found),
            None => host.error(id, "internal", "the host refused", false),
        },
        "files" => host.reply(id, files().as_bytes()),
        "spawn" => match Command::new("sleep").arg("1000").spawn() {
            Ok(child) => host.reply(id, child.id().to_string().as_bytes()),
            Err(error) => host.error(id, "internal", &error.to_string(), false),
        },
        "count" => count(host, id, payload)?,
        "die" => die(host, id, payload),
        _ => host.error(id, "unknown_op", "", false),
    }
    Ok(())
}

fn count(host: &mut Host, id: u32, payload: &[u8]) -> Result<(), Bad> {
    let mut request = Reader(payload);
    request.array()?;
    let n = request.uint()?;
    for i in 0..n {
        if !host.result(id, "count", &Writer::default().uint(i).0)? {
            host.error(id, "cancelled", "", false);
            return Ok(());
        }
    }
    host.reply(id, &Writer::default().uint(n).0);
    Ok(())
}

fn files() -> String {
    let mut open: Vec<u32> = std::fs::read_dir("/proc/self/fd")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|e| e.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    open.sort_unstable();
    open.pop(); // the one that looked
    open.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

fn die(host: &mut Host, id: u32, how: &[u8]) {
    let nap = Duration::from_secs(60);
    host.flush(); // answers given before a crash are answers
    match how {
        b"leave" => exit(0),
        b"segv" => {
            // SAFETY: a signal to ourselves, by way of a program, since std has none to send.
            let pid = std::process::id().to_string();
            for _ in 0..2 {
                // the first one takes the handler away that std sets
                let _ = Command::new("kill").args(["-SEGV", &pid]).status();
            }
            abort();
        }
        b"bye" => {
            host.draining = true;
            host.reply(id, b"");
        }
        b"hang" => sleep(nap),
        b"close" => {
            extern "C" {
                fn close(fd: i32) -> i32;
            }
            // SAFETY: the socket is not used again.
            unsafe { close(3) };
            sleep(nap);
        }
        b"garbage" => {
            host.raw(&[0, 0, 0, 2, 0x91, 0xa0]);
            sleep(nap);
        }
        b"big" => {
            host.raw(&[0xff; 4]);
            sleep(nap);
        }
        b"unknown" => {
            host.raw(&[0, 0, 0, 5, 0x93, 3, 0x7b, 0xc4, 0]);
            sleep(nap);
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "last words");
            exit(number(&how[how.len().min(5)..]) as i32);
        }
    }
}

fn number(payload: &[u8]) -> u64 {
    std::str::from_utf8(payload)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
