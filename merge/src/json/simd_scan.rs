//! Finding where JSON values end, 64 bytes at a time.
//!
//! - The scan examines only quotes, escapes and brackets; it does not validate what lies between them.
//! - Nothing recurses, and the scan refuses what is deeper than `DEPTH_MAX`, so readers that do recurse are safe.
//!
//! The classification by bit masks is that of Langdale and Lemire, "Parsing gigabytes of JSON per second" (2019).

/// The most nested brackets. Nodes themselves read documents of at most 128 (serde_json's bound).
pub(crate) const DEPTH_MAX: u32 = 256;

use wide::u8x32;

const BLOCK: usize = 64;
const LANE: usize = 32;

/// The offset behind the container whose opening bracket is at `at`; `None` if it does not end.
pub(crate) fn container_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut walk = Walk::from(at);
    loop {
        let (block, start) = walk.next_block(bytes)?;
        let closes = block.closes.count_ones();
        if walk.depth > closes {
            walk.pass(&block)?;
            continue;
        }
        let mut brackets = block.opens | block.closes;
        while brackets != 0 {
            let position = brackets.trailing_zeros();
            if walk.step(&block, position)? == 0 {
                return Some(start + position as usize + 1);
            }
            brackets &= brackets - 1;
        }
    }
}

/// Collects the ends of the containers in the array whose opening bracket is at `at`; returns the offset behind the
/// array, `None` if it does not end.
pub(crate) fn element_ends(bytes: &[u8], at: usize, ends: &mut Vec<usize>) -> Option<usize> {
    let mut walk = Walk::from(at);
    loop {
        let (block, start) = walk.next_block(bytes)?;
        let closes = block.closes.count_ones();
        // Neither an element nor the array ends in this block.
        if walk.depth > closes + 1 {
            walk.pass(&block)?;
            continue;
        }
        let mut brackets = block.opens | block.closes;
        while brackets != 0 {
            let position = brackets.trailing_zeros();
            let after = start + position as usize + 1;
            match walk.step(&block, position)? {
                0 => return Some(after),
                1 if block.closes >> position & 1 == 1 => ends.push(after),
                _ => {}
            }
            brackets &= brackets - 1;
        }
    }
}

/// A walk over blocks that starts at an opening bracket.
struct Walk {
    at: usize,
    depth: u32,
    /// All ones inside a string, else zero.
    in_string: u64,
    /// Whether the previous block ended in a backslash that escapes this one's first byte.
    escaped: bool,
}

/// The brackets of one block that lie outside strings.
struct Block {
    opens: u64,
    closes: u64,
}

impl Walk {
    fn from(at: usize) -> Self {
        Self { at, depth: 0, in_string: 0, escaped: false }
    }

    /// The next block and its offset; `None` behind the last byte.
    fn next_block(&mut self, bytes: &[u8]) -> Option<(Block, usize)> {
        let start = self.at;
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let mut padded = [b' '; BLOCK];
        let block: &[u8; BLOCK] = match rest.first_chunk() {
            Some(block) => block,
            None => {
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            }
        };
        self.at += BLOCK;
        let masks = Masks::of(block);
        let quotes = masks.quotes & !self.escaped_by(masks.backslashes);
        let inside = prefix_xor(quotes) ^ self.in_string;
        self.in_string = (inside.cast_signed() >> 63).cast_unsigned();
        Some((Block { opens: masks.opens & !inside, closes: masks.closes & !inside }, start))
    }

    /// The bytes of a block that a backslash escapes.
    fn escaped_by(&mut self, mut backslashes: u64) -> u64 {
        let mut escaped = u64::from(self.escaped);
        backslashes &= !escaped;
        self.escaped = false;
        // One at a time, because escapes are rare.
        while backslashes != 0 {
            let position = backslashes.trailing_zeros();
            if position == 63 {
                self.escaped = true;
                break;
            }
            escaped |= 2 << position;
            backslashes &= !(3 << position);
        }
        escaped
    }

    /// Counts all brackets of a block in which nothing that is looked for ends.
    fn pass(&mut self, block: &Block) -> Option<()> {
        self.depth += block.opens.count_ones();
        if self.depth > DEPTH_MAX {
            // Brackets that close in this block may have kept the depth below the bound, but no real document comes
            // near it.
            return None;
        }
        self.depth -= block.closes.count_ones();
        Some(())
    }

    /// Counts one bracket; returns the depth after it.
    fn step(&mut self, block: &Block, position: u32) -> Option<u32> {
        match block.opens >> position & 1 {
            1 => self.depth += 1,
            _ => self.depth = self.depth.checked_sub(1)?,
        }
        (self.depth <= DEPTH_MAX).then_some(self.depth)
    }
}

/// Sets each bit if an odd number of bits up to and including it are set.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The positions of the relevant bytes in a block; the lowest bit is the first byte.
struct Masks {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
}

/// `[` and `{`, and `]` and `}`, differ only in this bit.
const CURLY: u8 = 0x20;

impl Masks {
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self { quotes: 0, backslashes: 0, opens: 0, closes: 0 };
        let (lanes, _) = block.as_chunks::<LANE>();
        for (number, lane) in lanes.iter().enumerate() {
            let lane = u8x32::new(*lane);
            let curly = lane | u8x32::splat(CURLY);
            let mask = |lane: u8x32, byte| {
                u64::from(lane.simd_eq(u8x32::splat(byte)).to_bitmask()) << (LANE * number)
            };
            masks.quotes |= mask(lane, b'"');
            masks.backslashes |= mask(lane, b'\\');
            masks.opens |= mask(curly, b'{');
            masks.closes |= mask(curly, b'}');
        }
        masks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Masks {
        fn one_by_one(block: &[u8; BLOCK]) -> Self {
            let mask = |is: &dyn Fn(u8) -> bool| {
                let bits = block.iter().enumerate().map(|(position, byte)| u64::from(is(*byte)) << position);
                bits.fold(0, |mask, bit| mask | bit)
            };
            Self {
                quotes: mask(&|byte| byte == b'"'),
                backslashes: mask(&|byte| byte == b'\\'),
                opens: mask(&|byte| byte | CURLY == b'{'),
                closes: mask(&|byte| byte | CURLY == b'}'),
            }
        }
    }

    /// The obvious algorithm, byte by byte.
    fn slow_end(bytes: &[u8], at: usize, ends: &mut Vec<usize>) -> Option<usize> {
        let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
        for (position, byte) in bytes.iter().enumerate().skip(at) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => {
                    depth -= 1;
                    match depth {
                        0 => return Some(position + 1),
                        1 => ends.push(position + 1),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// A random container: strings full of brackets, quotes and backslashes.
    fn container(random: &mut fastrand::Rng, depth: usize) -> String {
        let inside = (0..random.usize(..4)).map(|_| match random.u8(..3) {
            0 if depth < 6 => container(random, depth + 1),
            1 => random.u32(..).to_string(),
            _ => {
                let length = random.usize(..90);
                const PIECES: [&str; 8] = ["[", "]", "{", "}", "\\\"", "\\\\", "x", "é"];
                let text = (0..length).map(|_| PIECES[random.usize(..PIECES.len())]);
                format!("\"{}\"", text.collect::<String>())
            }
        });
        format!("[{}]", inside.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn containers_end_where_the_obvious_way_ends_them() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let before = " ".repeat(random.usize(..70));
            let text = format!("{before}{}{}", container(&mut random, 0), "]\"".repeat(random.usize(..3)));
            let (bytes, at) = (text.as_bytes(), before.len());
            let mut expected = Vec::new();
            let end = slow_end(bytes, at, &mut expected).unwrap();
            assert_eq!(container_end(bytes, at), Some(end), "{text}");
            assert_eq!(container_end(&bytes[..end - 1], at), None, "cut short: {text}");
            let mut ends = Vec::new();
            assert_eq!(element_ends(bytes, at, &mut ends), Some(end), "{text}");
            assert_eq!(ends, expected, "{text}");
        }
    }

    #[test]
    fn masks_are_those_of_the_obvious_way() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..1_000 {
            let block = std::array::from_fn(|_| *random.choice(b"{}[]\"\\;;z\x00\xfb\xfd\xff").unwrap());
            let (fast, slow) = (Masks::of(&block), Masks::one_by_one(&block));
            assert_eq!(
                (fast.quotes, fast.backslashes, fast.opens, fast.closes),
                (slow.quotes, slow.backslashes, slow.opens, slow.closes)
            );
        }
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deepest = nested(DEPTH_MAX as usize);
        assert_eq!(container_end(deepest.as_bytes(), 0), Some(deepest.len()));
        for depth in [DEPTH_MAX as usize + 1, 1_000_000] {
            assert_eq!(container_end(nested(depth).as_bytes(), 0), None);
        }
    }
}
