//! Folds of cross-validation that never part a group.

use std::collections::BTreeMap;

/// The fold of each document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folds {
    folds: Vec<usize>,
    count: usize,
}

impl Folds {
    /// Spreads the documents of `groups` over up to `most` folds of like size: the largest group first, each into the smallest fold.
    pub(crate) fn new<G: Ord + Copy>(groups: impl Iterator<Item = G> + Clone, most: usize) -> Self {
        let mut sizes: BTreeMap<G, usize> = BTreeMap::new();
        groups.clone().for_each(|group| *sizes.entry(group).or_default() += 1);
        let mut ordered: Vec<(G, usize)> = sizes.into_iter().collect();
        ordered.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let count = most.min(ordered.len()).max(1);
        let mut filled = vec![0; count];
        let mut fold_of = BTreeMap::new();
        for (group, size) in ordered {
            let smallest = (0..count).min_by_key(|fold| filled[*fold]).unwrap_or(0);
            filled[smallest] += size;
            fold_of.insert(group, smallest);
        }
        Self { folds: groups.map(|group| fold_of[&group]).collect(), count }
    }

    /// Folds that there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The fold of the document at `at`.
    pub(crate) fn of(&self, at: usize) -> usize {
        self.folds[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_in_one_fold_and_folds_are_of_like_size() {
        let groups: Vec<String> = (0..100).map(|at: usize| format!("g{}", at * at % 17)).collect();
        let folds = Folds::new(groups.iter().map(String::as_str), 4);
        assert_eq!(folds.count(), 4);
        let mut sizes = [0; 4];
        for (at, group) in groups.iter().enumerate() {
            sizes[folds.of(at)] += 1;
            let others = groups.iter().enumerate().filter(|(_, other)| *other == group);
            others.for_each(|(other, _)| assert_eq!(folds.of(other), folds.of(at)));
        }
        assert!(sizes.iter().all(|size| (20..=30).contains(size)), "{sizes:?}");
    }

    #[test]
    fn fewer_groups_make_fewer_folds() {
        assert_eq!(Folds::new(["a", "b", "a"].into_iter(), 8).count(), 2);
        assert_eq!(Folds::new(std::iter::empty::<&str>(), 8).count(), 1);
    }
}
