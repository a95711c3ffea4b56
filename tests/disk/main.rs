//! The real process on a bad disk: power cuts, kills at named points, errors, no space.
//!
//! `SEED=N` replays a run; `CUTS`, `POINT_ROUNDS`, `CALLS` and `FULL_DISKS` make it longer.

mod errors;
mod full;
mod life;
mod points;
mod power;
mod shim;
