//! The integration tests: one binary, one story a file.

mod addresses;
mod answers;
mod author;
mod breadth;
mod certificates;
mod cli;
mod clock_steps;
mod crash;
mod delivery;
mod docs;
mod endpoints;
mod guide;
mod ingest;
mod lifecycle;
mod line;
mod plugins;
mod profiles;
mod providers;
mod queue_model;
mod receivers;
mod refused;
mod replays;
mod signing;
mod store;
mod terms;
mod tidy;
