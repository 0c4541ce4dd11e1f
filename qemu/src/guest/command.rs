//! QEMU's command line. Pure.

use std::path::Path;

use super::Boot;
use crate::accel::Accel;
use crate::job::PORT_NAME;
use crate::machine::Machine;

/// Where the console is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// To a socket that is QEMU's standard output; the result port is the socket on standard input.
    Stream,
    /// To the terminal QEMU runs on; the result port is discarded.
    Terminal,
}

/// The arguments that boot this guest.
pub fn command_line(machine: &Machine, boot: &Boot<'_>, initrd: &Path, console: Console) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|&word| word.to_owned()));
    // Only the devices below: no screen, no network card, no user configuration.
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    add(&["-machine", machine.machine]);
    match &boot.accel {
        Accel::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
        Accel::Tcg { .. } => {
            add(&["-accel", "tcg,thread=multi", "-cpu", machine.cpu_tcg(boot.kernel.point.series)]);
        }
    }
    add(&["-smp", &boot.cpus.to_string(), "-m", &boot.memory_mib.to_string()]);
    add(machine.args);
    match console {
        Console::Stream => {
            add(&["-chardev", "socket,id=console,fd=1", "-serial", "chardev:console"]);
            add(&["-chardev", "socket,id=result,fd=0"]);
        }
        Console::Terminal => {
            add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
            // Not QEMU's `null` device, which counts as unconnected: the guest would wait for a
            // reader.
            add(&["-chardev", "file,id=result,path=/dev/null"]);
        }
    }
    add(&["-device", &format!("virtio-serial-{},max_ports=2", machine.virtio)]);
    add(&["-device", &format!("virtserialport,nr=1,chardev=result,name={PORT_NAME}")]);
    add(&["-object", "rng-random,id=entropy,filename=/dev/urandom"]);
    add(&["-device", &format!("virtio-rng-{},rng=entropy", machine.virtio)]);
    if let Some(disk) = boot.disk {
        // The image is not used afterwards, so nothing has to be flushed.
        let file = disk.display().to_string().replace(',', ",,");
        add(&["-drive", &format!("if=none,id=disk,format=raw,cache=unsafe,file={file}")]);
        add(&["-device", &format!("virtio-blk-{},drive=disk", machine.virtio)]);
    }
    add(&["-kernel", &boot.kernel.image.display().to_string()]);
    add(&["-initrd", &initrd.display().to_string()]);
    add(&["-append", &kernel_command_line(machine, boot)]);
    args
}

/// The kernel's parameters.
fn kernel_command_line(machine: &Machine, boot: &Boot<'_>) -> String {
    let console = format!("console={}", machine.console);
    // Warnings are level 4; they must be printed on the console, which is scanned for splats; lower
    // levels are not. A panic ends the machine at once (-1: reboot, which QEMU turns into an exit).
    // Without `kasan_multi_shot` KASAN prints only its first report.
    let kasan = if boot.kernel.config.enabled("CONFIG_KASAN") { "kasan_multi_shot" } else { "" };
    let fixed = [&console, "loglevel=5", "panic=-1", "random.trust_cpu=on", kasan, machine.cmdline];
    let words = fixed.into_iter().chain([boot.extra_cmdline.as_str()]);
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The command quoted for a shell.
pub(super) fn quoted(program: &Path, args: &[String]) -> String {
    let mut line = quote(&program.display().to_string());
    for arg in args {
        line.push(' ');
        line.push_str(&quote(arg));
    }
    line
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rstest::rstest;

    use super::*;
    use crate::arch::Arch;
    use crate::job::GuestJob;
    use crate::kernels::{Kernel, KernelConfig, Version};

    fn kernel() -> Kernel {
        Kernel {
            arch: Arch::X86_64,
            point: Version::new(6, 12, 1),
            variant: String::new(),
            release: "6.12.1".into(),
            package: "linux-image-6.12.1".into(),
            version: "6.12.1-1".into(),
            suite: None,
            sha256: "00".into(),
            path: None,
            image: PathBuf::from("/k/vmlinuz"),
            modules: None,
            config: KernelConfig::default(),
        }
    }

    #[rstest]
    #[case::emulated("emulated", Accel::Tcg { why: "test".into() }, Console::Stream)]
    #[case::hardware("hardware", Accel::Kvm, Console::Stream)]
    #[case::terminal("terminal", Accel::Kvm, Console::Terminal)]
    #[case::disk("disk", Accel::Kvm, Console::Stream)]
    fn arguments(#[case] name: &str, #[case] accel: Accel, #[case] console: Console) {
        let (kernel, job) = (kernel(), GuestJob::default());
        let mut boot = Boot::new(&kernel, Path::new("/b"), &job, Path::new("/d"), accel);
        boot.extra_cmdline = "nosmap".into();
        boot.disk = (name == "disk").then_some(Path::new("/d/a,b.img"));
        let machine = Machine::of(Arch::X86_64);
        let args = command_line(machine, &boot, Path::new("/d/initrd"), console);
        insta::assert_snapshot!(name, args.join("\n"));
    }

    #[rstest]
    #[case("a=b,c", "a=b,c")]
    #[case("a b", "'a b'")]
    #[case("it's", r"'it'\''s'")]
    #[case("", "''")]
    fn quoting(#[case] word: &str, #[case] quoted: &str) {
        assert_eq!(quote(word), quoted);
    }
}
