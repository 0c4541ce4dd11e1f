//! The data and bss segments of the program and its thread-local storage, all changed since start.

use crate::framework::prelude::*;
use std::cell::RefCell;
use std::sync::Mutex;

pub const WORKLOAD: Workload = Workload {
    purpose: "initialised and uninitialised static data, thread-local data",
    needs: &[],
    active: false,
    statik: true,
    run,
};

static DATA: Mutex<[u8; 3000]> = Mutex::new([0x77; 3000]);
static BSS: Mutex<[u8; 9000]> = Mutex::new([0; 9000]);
static CONSTANT: &str = "a string in the read-only segment";

thread_local! {
    static LOCAL: RefCell<[u8; 500]> = const { RefCell::new([3; 500]) };
}

fn run(cx: &mut Ctx) -> Outcome {
    let constant = std::hint::black_box(CONSTANT).to_owned();
    pattern::fill(&mut DATA.lock().expect("unpoisoned")[..], cx.seed);
    pattern::fill(&mut BSS.lock().expect("unpoisoned")[..8000], cx.seed + 1);
    LOCAL.with_borrow_mut(|local| pattern::fill(&mut local[1..], cx.seed + 2));

    cx.ready()?;

    pattern::verify("data", &DATA.lock().expect("unpoisoned")[..], cx.seed)?;
    pattern::verify("bss", &BSS.lock().expect("unpoisoned")[..8000], cx.seed + 1)?;
    pattern::verify_zero("untouched bss", &BSS.lock().expect("unpoisoned")[8000..])?;
    LOCAL.with_borrow(|local| {
        expect_eq("first thread-local byte", local[0], 3)?;
        pattern::verify("thread-local data", &local[1..], cx.seed + 2)
    })?;
    expect_eq("read-only data", std::hint::black_box(CONSTANT), constant.as_str())
}
