//! Where each position stands, by its id: one word a position, in an open table.
//!
//! A word packs a place and twelve bits of the id's hash. The id itself is read from the column
//! that holds it, so that it is not kept twice.

use crate::simd::prefetch;

/// Where a position stands: side of a market, and row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// 2 * market, and 1 more for the short side.
    pub section: u32,
    /// Row of the section.
    pub row: u32,
}

/// Sections are fewer: what fits beside row and tag, but for the one of the empty word.
pub const SECTIONS: usize = (1 << 20) - 1;

const EMPTY: u64 = u64::MAX;
const ROW_BITS: u32 = 32;
const TAG_SHIFT: u32 = 52;
/// Ids that are looked up side by side.
const BATCH: usize = 32;

/// An open table with linear probing, never more than seven eighths full.
#[derive(Debug, Clone)]
pub struct Index {
    words: Vec<u64>,
    count: usize,
}

fn hash(id: u64) -> u64 {
    // The finaliser of SplitMix64: every bit of the id reaches every bit of the hash.
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn tag(hash: u64) -> u64 {
    hash & 0xfff
}

fn pack(hash: u64, place: Place) -> u64 {
    (tag(hash) << TAG_SHIFT) | (u64::from(place.section) << ROW_BITS) | u64::from(place.row)
}

fn unpack(word: u64) -> Place {
    let section = (word >> ROW_BITS) as u32 & SECTIONS as u32;
    Place { section, row: word as u32 }
}

impl Index {
    /// An empty table with room for `count` positions.
    #[must_use]
    pub fn with_room(count: usize) -> Self {
        // Capacities need not be powers of two: a hash is scaled to the table by multiplication.
        let words = vec![EMPTY; (count + count / 4 + count / 16).max(16)];
        Self { words, count: 0 }
    }

    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.words.len() as u128) >> 64) as usize
    }

    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.words.len() { 0 } else { slot + 1 }
    }

    /// The slot that holds an id, or the empty one where it would go.
    fn slot(&self, id: u64, hash: u64, id_at: impl Fn(Place) -> u64) -> usize {
        let mut slot = self.home(hash);
        loop {
            let word = self.words[slot];
            if word == EMPTY || (word >> TAG_SHIFT == tag(hash) && id_at(unpack(word)) == id) {
                return slot;
            }
            slot = self.next(slot);
        }
    }

    /// Where a position stands; `id_at` reads the id at a place.
    pub fn find(&self, id: u64, id_at: impl Fn(Place) -> u64) -> Option<Place> {
        let word = self.words[self.slot(id, hash(id), id_at)];
        (word != EMPTY).then(|| unpack(word))
    }

    /// Where many positions stand; `fetch` asks for the id at a place that will be read soon.
    pub fn find_all(
        &self,
        ids: &[u64],
        id_at: impl Fn(Place) -> u64,
        fetch: impl Fn(Place),
    ) -> Vec<Option<Place>> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(BATCH) {
            let mut slots = [0; BATCH];
            for (slot, &id) in slots.iter_mut().zip(ids) {
                *slot = self.home(hash(id));
                prefetch(&self.words, *slot..*slot + 1);
            }
            for &slot in &slots[..ids.len()] {
                if self.words[slot] != EMPTY {
                    fetch(unpack(self.words[slot]));
                }
            }
            found.extend(ids.iter().map(|&id| self.find(id, &id_at)));
        }
        found
    }

    /// Puts a position in; where its id is known already, gives its place and changes nothing.
    ///
    /// # Errors
    /// The place that the id has.
    pub fn insert(
        &mut self,
        id: u64,
        place: Place,
        id_at: impl Fn(Place) -> u64,
    ) -> Result<(), Place> {
        if 8 * (self.count + 1) > 7 * self.words.len() {
            self.grow(&id_at);
        }
        let hash = hash(id);
        let slot = self.slot(id, hash, id_at);
        if self.words[slot] != EMPTY {
            return Err(unpack(self.words[slot]));
        }
        self.words[slot] = pack(hash, place);
        self.count += 1;
        Ok(())
    }

    /// Says that a known position stands elsewhere now; the column may hold it at either place.
    pub fn relocate(&mut self, id: u64, from: Place, to: Place) {
        let hash = hash(id);
        let (old, mut slot) = (pack(hash, from), self.home(hash));
        while self.words[slot] != EMPTY {
            if self.words[slot] == old {
                self.words[slot] = pack(hash, to);
                return;
            }
            slot = self.next(slot);
        }
    }

    /// Takes a position out; those behind it close up, so that no gap is left.
    pub fn remove(&mut self, id: u64, place: Place, id_at: impl Fn(Place) -> u64) {
        let hash_of = hash(id);
        let (old, mut slot) = (pack(hash_of, place), self.home(hash_of));
        while self.words[slot] != old {
            if self.words[slot] == EMPTY {
                return;
            }
            slot = self.next(slot);
        }
        let (mut gap, mut at) = (slot, self.next(slot));
        while self.words[at] != EMPTY {
            let home = self.home(hash(id_at(unpack(self.words[at]))));
            // The entry may fill the gap if its home does not lie behind it, going round.
            let size = self.words.len();
            let from_home = (at + size - home) % size;
            let from_gap = (at + size - gap) % size;
            if from_home >= from_gap {
                self.words[gap] = self.words[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.words[gap] = EMPTY;
        self.count -= 1;
    }

    fn grow(&mut self, id_at: &impl Fn(Place) -> u64) {
        let larger = Self::with_room(self.count + self.count / 4 + 16);
        let old = std::mem::replace(self, larger);
        for word in old.words.into_iter().filter(|&word| word != EMPTY) {
            let hash = hash(id_at(unpack(word)));
            let mut slot = self.home(hash);
            while self.words[slot] != EMPTY {
                slot = self.next(slot);
            }
            self.words[slot] = word;
            self.count += 1;
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        8 * self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn an_index_does_what_a_map_does(
            steps in prop::collection::vec((0u8..3, 0u64..40), 1..400),
        ) {
            let mut ids: Vec<u64> = Vec::new();
            let mut index = Index::with_room(0);
            let mut known: HashMap<u64, u32> = HashMap::new();
            for (verb, id) in steps {
                let at = |place: Place, ids: &[u64]| ids[place.row as usize];
                match verb {
                    0 => {
                        ids.push(id);
                        let row = ids.len() as u32 - 1;
                        let place = Place { section: 3, row };
                        let got = index.insert(id, place, |p| at(p, &ids));
                        let before = known.get(&id).copied();
                        prop_assert_eq!(got.err().map(|p| p.row), before);
                        known.entry(id).or_insert(row);
                    }
                    1 => {
                        if let Some(row) = known.remove(&id) {
                            index.remove(id, Place { section: 3, row }, |p| at(p, &ids));
                        }
                    }
                    _ => {
                        if let Some(row) = known.get_mut(&id) {
                            ids.push(id);
                            let to = ids.len() as u32 - 1;
                            let place = |row| Place { section: 3, row };
                            index.relocate(id, place(*row), place(to));
                            *row = to;
                        }
                    }
                }
                for probe in 0..40 {
                    let found = index.find(probe, |p| at(p, &ids)).map(|p| p.row);
                    prop_assert_eq!(found, known.get(&probe).copied());
                }
            }
        }
    }
}
