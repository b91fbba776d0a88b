//! Seeded simulation. `TRAMLINE_SEEDS` is the number of seeds, or one range such as `500..510`
//! to run again what failed.

mod simulation;
