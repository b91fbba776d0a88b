//! The boundary over the memory back-end: what front-ends rely on.

mod durability;
mod fetching;
mod support;
mod topics;
