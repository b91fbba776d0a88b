//! A consumer's assignment, as the members of a group write it for each other: version (i16),
//! topics (i32 count; string, i32 count, i32 partitions), user data. The broker never reads it
//! otherwise; it is opened here so that people see who reads what.

/// The partitions of each topic; `None` when the bytes are something else.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(String, Vec<u32>)>> {
    let mut rest = Rest(bytes);
    let _version = rest.i16()?;
    let topics = rest.count()?;
    let mut assignment = Vec::new();
    for _ in 0..topics {
        let length = usize::try_from(rest.i16()?).ok()?;
        let topic = std::str::from_utf8(rest.take(length)?).ok()?.to_owned();
        let count = rest.count()?;
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(u32::try_from(rest.i32()?).ok()?);
        }
        partitions.sort_unstable();
        assignment.push((topic, partitions));
    }
    assignment.sort();
    Some(assignment)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    /// How many elements follow; each takes four bytes or more.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.i32()?).ok()?;
        (count <= self.0.len() / 4).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Version 1, topic `orders` with partitions 2 and 0, null user data.
    const BYTES: &[u8] =
        b"\x00\x01\x00\x00\x00\x01\x00\x06orders\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x00\xff\xff\xff\xff";

    #[test]
    fn assignments_open() {
        assert_eq!(decode(BYTES), Some(vec![("orders".to_owned(), vec![0, 2])]));
    }

    #[test]
    fn cut_or_foreign_bytes_are_none_and_never_allocate() {
        for end in 0..BYTES.len() - 4 {
            assert_eq!(decode(&BYTES[..end]), None, "{end}");
        }
        assert_eq!(decode(b"\x00\x01\x7f\xff\xff\xff"), None);
        assert_eq!(decode(b"\x00\x01\xff\xff\xff\xff"), None);
    }
}
