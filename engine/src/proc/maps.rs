//! /proc/PID/maps (proc_pid_maps(5)): lines of `start-end perms offset dev inode path`.

/// The file object behind a line: device number as stat(2) has it, and inode; nothing for anonymous memory and for what is not understood.
pub fn object(line: &[u8]) -> Option<(u64, u64)> {
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let device = std::str::from_utf8(words.nth(3)?).ok()?;
    let inode: u64 = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let (major, minor) = device.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    (inode != 0).then_some((rustix::fs::makedev(number(major)?, number(minor)?), inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_and_inode_are_found() {
        let line = b"7f12a000-7f12b000 rw-s 00000000 00:01 1024                       /dev/zero (deleted)";
        assert_eq!(object(line), Some((rustix::fs::makedev(0, 1), 1024)));
        assert_eq!(object(b"7f12a000-7f12b000 rw-p 00000000 00:00 0 "), None);
        assert_eq!(object(b""), None);
    }
}
