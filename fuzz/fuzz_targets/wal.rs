//! Write-ahead files: header block, frames, operations, what recovery does about damage.
//!
//! Random changes would never get past the checksums. The mutator therefore makes them fit again
//! most of the time, and the chain from frame to frame some of the time.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

const BLOCK: usize = 4096;
const HEADER_CRC_AT: usize = 68;
const FRAME_HEADER_BYTES: usize = 48;

fuzz_target!(|data: &[u8]| {
    tramline_store::disk::fuzz_wal(data);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if seed % 8 != 0 {
        mend(&mut data[..size], seed % 2 == 0);
    }
    size
});

/// Computes the checksums anew: of the header block, and of each frame that can be told.
fn mend(file: &mut [u8], chain: bool) {
    let Some((header, crc)) = file
        .get_mut(..HEADER_CRC_AT + 4)
        .and_then(|header| header.split_at_mut_checked(HEADER_CRC_AT))
    else {
        return;
    };
    crc.copy_from_slice(&crc32c::crc32c(header).to_le_bytes());
    let mut previous = header[64..68].to_vec();
    let mut at = BLOCK;
    while let Some(length) = file.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(frame) = file.get_mut(at..at.saturating_add(length)) else { return };
        if length < FRAME_HEADER_BYTES {
            return;
        }
        if chain {
            frame[32..36].copy_from_slice(&previous);
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        previous = frame[4..8].to_vec();
        let alignment = if frame[41] & 1 == 1 { BLOCK } else { 8 };
        at = (at + length).next_multiple_of(alignment);
    }
}
