//! The watcher as a whole, on real trees with real events, against a mirror folder that behaves as a receiver does.

mod cases;
mod faults;
mod mirror;
mod model;
mod nasty;
mod privilege;
mod random;
mod rules;
mod scene;
mod snapshot;
mod writer;
