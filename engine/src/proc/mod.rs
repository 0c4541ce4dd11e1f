//! /proc text turned into data.
