//! What a restart creates that stays when all its users are gone, and has to be removed again if
//! the restart fails.

use std::io;

/// How to remove each. That is done when it is dropped, unless [`Created::keep`] is called.
#[derive(Default)]
pub struct Created(Vec<Box<dyn Fn() -> io::Result<()>>>);

impl Created {
    /// Something was created that `remove` removes.
    pub fn add(&mut self, remove: impl Fn() -> io::Result<()> + 'static) {
        self.0.push(Box::new(remove));
    }

    /// The restart has succeeded.
    pub fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        for remove in self.0.iter().rev() {
            // It may be gone with its users.
            let _ = remove();
        }
    }
}
