//! Sets of up to 64 places, one bit each: how a vector loop says which rows count.

/// Places of a set.
pub const PLACES: usize = 64;

/// The bit of each place: to join bits from a table is a loop that vectorises.
pub const BITS: [u64; PLACES] = {
    let mut bits = [0; PLACES];
    let mut place = 0;
    while place < PLACES {
        bits[place] = 1 << place;
        place += 1;
    }
    bits
};

/// Places of a set, lowest first.
#[derive(Debug, Clone)]
pub struct Bits(pub u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let place = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (place < PLACES).then_some(place)
    }
}

/// Rows found one set after the other, in a buffer that does not grow.
#[derive(Debug)]
pub struct Found {
    rows: Vec<u32>,
    count: usize,
}

/// Rows written at once, whether they count or not: no branch depends on how many there are.
const WRITTEN: usize = 4;

impl Found {
    /// A buffer for so many rows.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { rows: vec![0; most + WRITTEN], count: 0 }
    }

    /// The rows found.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.count]
    }

    /// Adds the rows of a set that begins at a row.
    #[inline(always)]
    pub fn add(&mut self, start: usize, mut places: u64) {
        let mut at = self.count;
        self.count += places.count_ones() as usize;
        while places != 0 {
            for slot in &mut self.rows[at..at + WRITTEN] {
                *slot = (start + places.trailing_zeros() as usize) as u32;
                places &= places.wrapping_sub(1);
            }
            at += WRITTEN;
        }
    }

    /// Drops the first rows; the others move up.
    pub fn drop_first(&mut self, count: usize) {
        self.rows.copy_within(count..self.count, 0);
        self.count -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_place_of_each_set_is_found_once(
            sets in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let mut found = Found::new(sets.len() * PLACES);
            let mut expected = Vec::new();
            for (at, &set) in sets.iter().enumerate() {
                found.add(at * PLACES, set);
                let places = (0..PLACES).filter(|place| set >> place & 1 == 1);
                expected.extend(places.map(|place| (at * PLACES + place) as u32));
                let listed: Vec<usize> = Bits(set).collect();
                prop_assert!(listed.iter().all(|&place| set & BITS[place] != 0));
                prop_assert_eq!(listed.len(), set.count_ones() as usize);
            }
            prop_assert_eq!(found.rows(), &expected[..]);
            let dropped = expected.len() / 3;
            found.drop_first(dropped);
            prop_assert_eq!(found.rows(), &expected[dropped..]);
        }
    }
}
