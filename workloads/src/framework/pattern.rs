//! Contents that can be written, forgotten and recognised again: a pseudo-random stream per key.

use super::Outcome;
use anyhow::bail;

/// SplitMix64: one addition and a mix per number, good enough to tell pages apart, the same on
/// every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound
    }
}

/// Fills `buffer` with the stream of `key`.
pub fn fill(buffer: &mut [u8], key: u64) {
    let mut rng = Rng::new(key);
    for chunk in buffer.chunks_mut(8) {
        chunk.copy_from_slice(&rng.word().to_le_bytes()[..chunk.len()]);
    }
}

/// `len` bytes of the stream of `key`.
pub fn bytes(len: usize, key: u64) -> Vec<u8> {
    let mut buffer = vec![0; len];
    fill(&mut buffer, key);
    buffer
}

/// `buffer` must hold the stream of `key`.
///
/// # Errors
/// `what`, the first offset that differs and how many words do.
pub fn verify(what: &str, buffer: &[u8], key: u64) -> Outcome {
    let mut rng = Rng::new(key);
    let (mut wrong, mut first) = (0usize, None);
    for (index, chunk) in buffer.chunks(8).enumerate() {
        let want = &rng.word().to_le_bytes()[..chunk.len()];
        if chunk != want {
            wrong += 1;
            first.get_or_insert_with(|| (index * 8, chunk.to_vec(), want.to_vec()));
        }
    }
    if let Some((offset, got, want)) = first {
        let words = buffer.len().div_ceil(8);
        bail!(
            "{what}: {wrong} of {words} words differ, first at {offset:#x}: got {got:02x?}, want {want:02x?}"
        );
    }
    Ok(())
}

/// Every byte of `buffer` must be zero.
///
/// # Errors
/// `what` and the first offset that is not.
pub fn verify_zero(what: &str, buffer: &[u8]) -> Outcome {
    match buffer.iter().position(|b| *b != 0) {
        Some(offset) => bail!("{what}: byte at {offset:#x} is {:#04x}, want 0", buffer[offset]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_its_own_and_nothing_else() {
        let mut page = bytes(4093, 7);
        verify("page", &page, 7).unwrap();
        assert!(verify("page", &page, 8).is_err());
        page[4092] ^= 1;
        let error = verify("page", &page, 7).unwrap_err().to_string();
        assert!(error.contains("1 of 512 words differ, first at 0xff8"), "{error}");
    }

    #[test]
    fn sees_a_stray_byte_among_zeros() {
        verify_zero("page", &[0; 64]).unwrap();
        assert!(verify_zero("page", &[0, 0, 1]).unwrap_err().to_string().contains("0x2"));
    }
}
