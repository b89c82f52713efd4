//! Names: eight and three characters, and long ones in entries of their own.

/// The upper half of code page 437, which Linux and mtools take unless told otherwise.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Text in the code page.
pub(super) fn oem(bytes: &[u8]) -> String {
    let upper = |b: u8| CP437.chars().nth(usize::from(b) - 128).unwrap_or(char::REPLACEMENT_CHARACTER);
    bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { upper(*b) }).collect()
}

/// The short name of an entry, as it is shown; `lower` are the flags of Windows NT for names in lower case.
pub(super) fn short(bytes: &[u8; 11], lower: u8) -> String {
    const BASE: u8 = 0x08;
    const EXTENSION: u8 = 0x10;
    let mut raw = *bytes;
    // The byte that would mean a deleted entry.
    if raw[0] == 0x05 {
        raw[0] = 0xe5;
    }
    let part = |bytes: &[u8], flag: u8| {
        let text = oem(bytes);
        let text = text.trim_end_matches(' ');
        if lower & flag != 0 { text.to_lowercase() } else { text.to_owned() }
    };
    let (base, extension) = (part(&raw[..8], BASE), part(&raw[8..], EXTENSION));
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

/// What a short name is known by in its long one.
pub(super) fn checksum(bytes: &[u8; 11]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// A long name being put together from its entries, which come last part first.
#[derive(Default)]
pub(super) struct Long {
    /// Parts still to come, and the checksum of the short name.
    open: Option<(u8, u8)>,
    units: Vec<u16>,
    deleted: bool,
}

impl Long {
    const LAST: u8 = 0x40;
    /// 255 characters need no more parts.
    const MOST: u8 = 20;

    /// Takes an entry of a long name.
    pub fn take(&mut self, entry: &[u8]) {
        let deleted = entry[0] == 0xe5;
        let sum = entry[13];
        let mut part: Vec<u16> = [1..11, 14..26, 28..32]
            .into_iter()
            .flat_map(|range| entry[range].as_chunks::<2>().0)
            .map(|pair| u16::from_le_bytes(*pair))
            .collect();
        if let Some(end) = part.iter().position(|u| *u == 0) {
            part.truncate(end);
        }
        if deleted {
            // The number is gone; as long as the checksum is the same, it is one name.
            let goes_on = self.deleted && self.open.is_some_and(|(_, own)| own == sum) && self.units.len() < 255;
            if !goes_on {
                self.units.clear();
            }
            (self.open, self.deleted) = (Some((0, sum)), true);
        } else {
            let number = entry[0] & !Self::LAST;
            let expected = match self.open {
                _ if entry[0] & Self::LAST != 0 => {
                    self.units.clear();
                    (1..=Self::MOST).contains(&number)
                }
                Some((left, own)) => !self.deleted && left == number && number > 0 && own == sum,
                None => false,
            };
            if !expected {
                *self = Long::default();
                return;
            }
            (self.open, self.deleted) = (Some((number - 1, sum)), false);
        }
        part.append(&mut self.units);
        self.units = part;
    }

    /// The name, if it is whole and belongs to this short one; what comes next begins anew.
    pub fn finish(&mut self, short: &[u8; 11]) -> Option<String> {
        let long = std::mem::take(self);
        let (left, sum) = long.open?;
        // The first byte of the short name of a deleted entry is gone.
        let belongs = long.deleted || sum == checksum(short);
        if left != 0 || !belongs || long.units.is_empty() {
            return None;
        }
        Some(char::decode_utf16(long.units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }
}
