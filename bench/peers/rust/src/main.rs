//! Two bounded channels of crossbeam, N threads, a producer and a collector:
//! the same work, the same check and the same last line as bench/pool.c.

use crossbeam_channel::bounded;
use std::arch::asm;
use std::process::exit;
use std::time::Instant;

const CHAIN_FACTOR: u64 = 6364136223846793005;
const CHAIN_TERM: u64 = 1442695040888963407;
const SEED_FACTOR: u64 = 0x9e3779b97f4a7c15;

struct Load {
    workers: usize,
    capacity: usize,
    jobs: u64,
    steps: u64,
}

#[derive(Default, PartialEq)]
struct Tally {
    count: u64,
    id_sum: u64,
    value_sum: u64,
}

#[derive(Clone, Copy)]
struct Job {
    id: u64,
    seed: u64,
}

impl Job {
    fn make(id: u64) -> Job {
        Job {
            id,
            seed: id.wrapping_mul(SEED_FACTOR),
        }
    }

    fn run(self, steps: u64) -> u64 {
        let mut x = self.id.wrapping_add(self.seed);
        for _ in 0..steps {
            x = x.wrapping_mul(CHAIN_FACTOR).wrapping_add(CHAIN_TERM);
            // Without this the compiler makes one step of several.
            unsafe { asm!("/* {0} */", inout(reg) x, options(nomem, nostack, preserves_flags)) };
        }
        x
    }
}

/// What must come out, without running the jobs: a chain of n steps is one
/// step with another factor and term.
fn expected(load: &Load) -> Tally {
    let ids = (u128::from(load.jobs) * (u128::from(load.jobs) + 1) / 2) as u64;
    let (mut factor, mut term) = (1u64, 0u64);
    let (mut f, mut t) = (CHAIN_FACTOR, CHAIN_TERM);
    let mut steps = load.steps;
    while steps > 0 {
        if steps % 2 == 1 {
            term = term.wrapping_mul(f).wrapping_add(t);
            factor = factor.wrapping_mul(f);
        }
        t = t.wrapping_add(t.wrapping_mul(f));
        f = f.wrapping_mul(f);
        steps /= 2;
    }
    let inputs = ids.wrapping_add(ids.wrapping_mul(SEED_FACTOR));
    Tally {
        count: load.jobs,
        id_sum: ids,
        value_sum: factor
            .wrapping_mul(inputs)
            .wrapping_add(term.wrapping_mul(load.jobs)),
    }
}

fn run(load: &Load) -> Tally {
    let (jobs_in, jobs_out) = bounded::<Job>(load.capacity);
    let (results_in, results_out) = bounded::<(u64, u64)>(load.capacity);
    let mut got = Tally::default();

    std::thread::scope(|scope| {
        for _ in 0..load.workers {
            let (jobs, results) = (jobs_out.clone(), results_in.clone());
            scope.spawn(move || {
                for job in jobs {
                    results.send((job.id, job.run(load.steps))).unwrap();
                }
            });
        }
        drop(results_in);
        scope.spawn(move || {
            for id in 1..=load.jobs {
                jobs_in.send(Job::make(id)).unwrap();
            }
        });
        for (id, value) in results_out {
            got.count += 1;
            got.id_sum = got.id_sum.wrapping_add(id);
            got.value_sum = got.value_sum.wrapping_add(value);
        }
    });
    got
}

/// struct rusage of Linux: two times, then fourteen numbers.
#[repr(C)]
#[derive(Default)]
struct Usage {
    times: [i64; 4],
    numbers: [i64; 14],
}

extern "C" {
    fn getrusage(who: i32, usage: *mut Usage) -> i32;
}

fn usage() -> Usage {
    let mut usage = Usage::default();
    // The struct is as long as the one of the C library on 64-bit Linux.
    if unsafe { getrusage(0, &mut usage) } != 0 {
        exit(1);
    }
    usage
}

impl Usage {
    fn cpu_ns(&self) -> i64 {
        (self.times[0] + self.times[2]) * 1_000_000_000 + (self.times[1] + self.times[3]) * 1000
    }
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        eprintln!("usage: --workers N --capacity C --jobs J --steps S");
        exit(2)
    })
}

fn load() -> Load {
    let mut load = Load {
        workers: 4,
        capacity: 8,
        jobs: 100_000,
        steps: 0,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = number(words.next());
        match word.as_str() {
            "--workers" => load.workers = value as usize,
            "--capacity" => load.capacity = value as usize,
            "--jobs" => load.jobs = value,
            "--steps" => load.steps = value,
            _ => exit(2),
        }
    }
    load
}

fn main() {
    let load = load();
    let (before, start) = (usage(), Instant::now());
    let got = run(&load);
    let (elapsed_ns, after) = (start.elapsed().as_nanos(), usage());
    let right = got == expected(&load);
    println!(
        "{{\"form\": \"crossbeam\", \"workers\": {}, \"capacity\": {}, \"steps\": {}, \
         \"jobs\": {}, \"elapsed_ns\": {}, \"ns_per_job\": {:.2}, \"cpu_ns\": {}, \
         \"voluntary_switches\": {}, \"involuntary_switches\": {}, \"sum\": {}, \
         \"right\": {}}}",
        load.workers,
        load.capacity,
        load.steps,
        load.jobs,
        elapsed_ns,
        elapsed_ns as f64 / load.jobs as f64,
        after.cpu_ns() - before.cpu_ns(),
        after.numbers[12] - before.numbers[12],
        after.numbers[13] - before.numbers[13],
        got.value_sum,
        right
    );
    exit(i32::from(!right));
}
