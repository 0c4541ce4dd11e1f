//! Records as somebody may have written them: refused, or planned; no panic, and no allocation
//! beyond what they hold.
#![no_main]

use cairn::resource::Records;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = ciborium::from_reader::<Records, _>(bytes) {
        // Either is right.
        let _ = cairn::restart::rehearse(&records);
    }
});
