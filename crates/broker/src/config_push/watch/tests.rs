//! Followers of a broker in memory.

use super::*;
