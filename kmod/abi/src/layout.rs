//! Sizes, offsets and values of the Rust side, for the comparison with the header.

use crate::*;

/// One line for each structure, field and constant of the header, as `cargo xtask header-check`
/// reads them: `struct NAME SIZE`, `field STRUCT.NAME OFFSET SIZE`, `const NAME VALUE`.
pub fn layout() -> Vec<String> {
    macro_rules! constants {
        ($lines:ident: $($name:literal = $value:expr),* $(,)?) => {
            $($lines.push(format!("const {} {}", $name, $value));)*
        };
    }
    macro_rules! structure {
        ($lines:ident: $name:literal = $rust:ident { $($field:ident),* $(,)? }) => {
            $lines.push(format!("struct {} {}", $name, size_of::<$rust>()));
            $($lines.push(format!(
                "field {}.{} {} {}",
                $name,
                stringify!($field),
                std::mem::offset_of!($rust, $field),
                size_of_field(|s: &$rust| &raw const s.$field),
            ));)*
        };
    }
    let mut lines = Vec::new();
    constants!(lines:
        "CAIRN_ABI_VERSION" = ABI_VERSION,
        "CAIRN_DEVICE" = DEVICE,
        "CAIRN_IOC_TYPE" = IOC_TYPE,
        "CAIRN_FEATURE_ACCESS" = FEATURE_ACCESS,
        "CAIRN_FEATURE_FREEZE" = FEATURE_FREEZE,
        "CAIRN_FREEZE_TRACED" = FREEZE_TRACED,
        "CAIRN_STATE_FROZEN" = STATE_FROZEN,
        "CAIRN_STATE_STOPPED" = STATE_STOPPED,
        "CAIRN_STATE_TRACED" = STATE_TRACED,
        "CAIRN_SLEEP_NONE" = SLEEP_NONE,
        "CAIRN_SLEEP_NANO" = SLEEP_NANO,
        "CAIRN_SLEEP_POLL" = SLEEP_POLL,
        "CAIRN_SLEEP_FUTEX" = SLEEP_FUTEX,
        "CAIRN_SLEEP_OTHER" = SLEEP_OTHER,
        "CAIRN_SLEEP_CALL" = SLEEP_CALL,
        "CAIRN_SIGINFO_SIZE" = SIGINFO_SIZE,
        "CAIRN_RLIMITS" = RLIMITS,
        "CAIRN_SIGNALS" = SIGNALS,
        "CAIRN_IOC_GET_INFO" = IOC_GET_INFO,
        "CAIRN_IOC_FREEZE" = IOC_FREEZE,
        "CAIRN_IOC_THAW" = IOC_THAW,
        "CAIRN_IOC_GET_THREAD" = IOC_GET_THREAD,
        "CAIRN_IOC_GET_REGSET" = IOC_GET_REGSET,
        "CAIRN_IOC_GET_PENDING" = IOC_GET_PENDING,
        "CAIRN_IOC_GET_PROCESS" = IOC_GET_PROCESS,
        "CAIRN_IOC_GET_ACTIONS" = IOC_GET_ACTIONS,
        "CAIRN_IOC_GET_TIMER" = IOC_GET_TIMER,
        "CAIRN_FEATURE_CONTINUE" = FEATURE_CONTINUE,
        "CAIRN_FEATURE_CAPABILITY" = FEATURE_CAPABILITY,
        "CAIRN_IOC_GET_CAPABILITY" = IOC_GET_CAPABILITY,
        "CAIRN_FEATURE_SAVE" = FEATURE_SAVE,
        "CAIRN_IOC_SAVE" = IOC_SAVE,
        "CAIRN_FEATURE_SETTINGS" = FEATURE_SETTINGS,
        "CAIRN_NODE_WORDS" = NODE_WORDS,
        "CAIRN_POLICY_ADDR" = POLICY_ADDR,
        "CAIRN_IOC_GET_POLICY" = IOC_GET_POLICY,
        "CAIRN_SAVE_MAX" = SAVE_MAX,
        "CAIRN_SAVE_RANGES" = SAVE_RANGES,
        "CAIRN_RANGE_ZEROS" = RANGE_ZEROS,
        "CAIRN_SLEEP_MAX" = SLEEP_MAX,
        "CAIRN_IOC_CONTINUE" = IOC_CONTINUE,
    );
    structure!(lines: "cairn_info" = Info { size, abi_version, features, version, source });
    structure!(lines: "cairn_freeze" = Freeze { size, pid, flags, timeout_ms, threads, reserved });
    structure!(lines: "cairn_thaw" = Thaw { size, pid });
    structure!(lines: "cairn_thread" = Thread {
        size, tid, state, stop_signal, sigmask, altstack_sp, altstack_size, altstack_flags, pdeath_signal, clear_child_tid, rseq,
        rseq_len, rseq_signature, timer_slack, securebits, tsc, mce_kill, sleep, sleep_clock, landlock, sleep_left, sleep_args,
        spec_store_bypass, spec_indirect_branch, spec_l1d_flush, rseq_slice, cpuid, dispatch, tls, io_ports, core_cookie, sem_undo,
        thread_keys, process_keys, requested_keys, reserved,
    });
    structure!(lines: "cairn_regset" = Regset { size, tid, note, reserved, addr, len });
    structure!(lines: "cairn_pending" = Pending { size, tid, shared, reserved, addr, count });
    structure!(lines: "cairn_process" = Process {
        size, pid, brk, lock_future, pkeys, dumpable, thp_disable, subreaper, stop_report, real_value, real_interval, virt_value,
        virt_interval, prof_value, prof_interval, rlim_cur, rlim_max, continue_report, membarrier, mdwe, memory_merge, ldt, xcomp_error,
        untag_error, reserved, xcomp_perm, untag_mask,
    });
    structure!(lines: "cairn_action" = Action { handler, flags, restorer, mask });
    structure!(lines: "cairn_actions" = Actions { size, pid, addr });
    structure!(lines: "cairn_timer" = Timer { size, pid, id, clock, value, interval });
    structure!(lines: "cairn_range" = Range { from, len, flags });
    structure!(lines: "cairn_save" = Save { size, pid, fd, count, ranges, saved, offset, len, sum });
    structure!(lines: "cairn_capability" = Capability { size, reserved });
    structure!(lines: "cairn_policy" = Policy { size, tid, flags, mode, addr, nodes });
    structure!(lines: "cairn_continue" = Continue { size, tid, sleep, clock, left, args, reserved });
    lines
}

/// The size of the field that a projection returns.
fn size_of_field<S, F>(_: fn(&S) -> *const F) -> usize {
    size_of::<F>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_has_every_field() {
        let lines = layout();
        assert!(lines.contains(&"struct cairn_info 120".to_owned()), "{lines:?}");
        assert!(lines.contains(&"field cairn_info.source 48 72".to_owned()), "{lines:?}");
        assert!(lines.contains(&"const CAIRN_ABI_VERSION 1".to_owned()), "{lines:?}");
    }
}
