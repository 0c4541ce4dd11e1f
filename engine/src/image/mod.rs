//! The context file.
