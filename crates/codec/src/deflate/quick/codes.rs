//! Prefix codes of limited length.

/// The most symbols a code has, by what is held in nine bits.
const MOST: usize = 512;

/// The lengths of an optimal prefix code's words, or of a nearly optimal one where `limit` is below what that needs.
///
/// At least two symbols get a word, whatever their frequencies: not all decoders take less. Frequencies are below 2^20; a `limit`,
/// at most 15, has words for all symbols.
pub(super) fn lengths<const N: usize>(frequencies: &[u32; N], limit: usize) -> [u8; N] {
    const { assert!(N >= 2 && N <= MOST) };
    let mut lengths = [0; N];
    let mut used = [0_u32; N];
    let mut count = 0;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        // Written in any case, kept only when the next one goes behind it.
        used[count.min(N - 1)] = frequency << 9 | symbol as u32;
        count += usize::from(*frequency != 0);
    }
    let used = &mut used[..count];
    if let [] | [_] = used {
        let only = used.first().map_or(0, |key| (key & 511) as usize);
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return lengths;
    }
    // Ascending frequencies, and among equals, symbols: no two keys are the same.
    used.sort_unstable();
    let mut nodes = [0_u32; N];
    let nodes = &mut nodes[..count];
    for (node, key) in nodes.iter_mut().zip(used.iter()) {
        *node = key >> 9;
    }
    let counts = counts(nodes, limit);
    // The rarest symbols come first, and get the longest words.
    let mut symbols = used.iter();
    for len in (1..=limit).rev() {
        for key in symbols.by_ref().take(counts[len] as usize) {
            lengths[(key & 511) as usize % N] = len as u8;
        }
    }
    lengths
}

/// How many words of every length there are, for at least two frequencies in ascending order, which are overwritten.
///
/// Moffat and Katajainen, "In-place calculation of minimum-redundancy codes", 1995.
fn counts(nodes: &mut [u32], limit: usize) -> [u32; 16] {
    let n = nodes.len();
    // Combine the two smallest of what is left, leaves or sums; a node that was used holds the place of its parent.
    let (mut leaf, mut root) = (0, 0);
    for next in 0..n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= n || (root < next && nodes[root] < nodes[leaf]) {
                sum += nodes[root];
                nodes[root] = next as u32;
                root += 1;
            } else {
                sum += nodes[leaf];
                leaf += 1;
            }
        }
        nodes[next] = sum;
    }
    // From parents to depths, and from those of inner nodes to those of leaves.
    let mut counts = [0_u32; 16];
    nodes[n - 2] = 0;
    for next in (0..n - 2).rev() {
        nodes[next] = nodes[nodes[next] as usize] + 1;
    }
    let (mut free, mut depth, mut inner) = (1, 0, n - 1);
    let mut left = n;
    while left > 0 {
        let mut here = 0;
        while inner > 0 && nodes[inner - 1] == depth {
            here += 1;
            inner -= 1;
        }
        let leaves = free - here;
        counts[(depth as usize).min(limit)] += leaves as u32;
        left -= leaves;
        free = 2 * here;
        depth += 1;
    }
    shorten(&mut counts, limit);
    counts
}

/// Makes room in a code whose longest words were cut to `limit`.
fn shorten(counts: &mut [u32; 16], limit: usize) {
    let used: u32 = (1..=limit).map(|len| counts[len] << (limit - len)).sum();
    let room = 1 << limit;
    for _ in room..used {
        // Of a pair of longest words one stays, the other goes below a shorter word.
        let Some(shorter) = (1..limit).rev().find(|len| counts[*len] > 0) else { break };
        counts[limit] -= 1;
        counts[shorter] -= 1;
        counts[shorter + 1] += 2;
    }
}

/// The words of the code with these lengths, first bit lowest.
pub(super) fn words<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut counts = [0_u16; 16];
    for len in lengths {
        counts[usize::from(*len & 15)] += 1;
    }
    counts[0] = 0;
    let mut next = [0_u16; 16];
    for len in 1..16 {
        next[len] = (next[len - 1] + counts[len - 1]) << 1;
    }
    lengths.map(|len| {
        let word = &mut next[usize::from(len & 15)];
        let this = *word;
        *word = word.wrapping_add(1);
        if len == 0 { 0 } else { this.reverse_bits() >> (16 - len) }
    })
}
