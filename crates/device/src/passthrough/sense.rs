//! Sense data (SPC-5, 4.4) and the ATA status in it (SAT-4, 12.2.2.6).

/// What a SCSI device says about a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sense {
    /// Sense key, 0 to 15.
    pub key: u8,
    /// Additional sense code and its qualifier.
    pub asc: u8,
    pub ascq: u8,
    /// The INFORMATION field where it is valid: for a read, the block that failed.
    pub information: Option<u64>,
    /// Where the length is wrong (ILI): by how much more was asked for than there is; below 0 where it was less.
    pub surplus: Option<i64>,
    /// True if the sense data is about an earlier command.
    pub deferred: bool,
    /// The registers of an ATA drive, where they are told.
    pub ata: Option<Registers>,
}

/// What an ATA drive left in its registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub status: u8,
    pub error: u8,
    pub count: u16,
    pub lba: u64,
}

impl Registers {
    /// The command failed (ERR or device fault).
    pub fn failed(&self) -> bool {
        self.status & 0x21 != 0
    }
}

/// Additional sense of the answer to ATA PASS-THROUGH with CK_COND: ATA pass-through information available.
const ATA_INFORMATION: (u8, u8) = (0x00, 0x1D);

/// Understands fixed (70h, 71h) and descriptor format (72h, 73h); `None` for anything else.
pub(super) fn parse_sense(bytes: &[u8]) -> Option<Sense> {
    match bytes.first()? & 0x7F {
        code @ (0x70 | 0x71) => fixed(bytes, code == 0x71),
        code @ (0x72 | 0x73) => descriptors(bytes, code == 0x73),
        _ => None,
    }
}

fn fixed(bytes: &[u8], deferred: bool) -> Option<Sense> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let mut sense = Sense { key: *bytes.get(2)? & 0x0F, asc: byte(12), ascq: byte(13), deferred, ..Sense::default() };
    if byte(0) & 0x80 != 0 && bytes.len() >= 7 {
        let value = u32::from_be_bytes([byte(3), byte(4), byte(5), byte(6)]);
        sense.information = Some(u64::from(value));
        sense.surplus = (byte(2) & 0x20 != 0).then(|| i64::from(value.cast_signed()));
    }
    if (sense.asc, sense.ascq) == ATA_INFORMATION && bytes.len() >= 12 {
        // INFORMATION holds error, status, device, count (7:0); the next field the lower half of the address.
        sense.information = None;
        sense.ata = Some(Registers {
            error: byte(3),
            status: byte(4),
            count: u16::from(byte(6)),
            lba: u64::from(byte(9)) | u64::from(byte(10)) << 8 | u64::from(byte(11)) << 16,
        });
    }
    Some(sense)
}

fn descriptors(bytes: &[u8], deferred: bool) -> Option<Sense> {
    let [_, key, asc, ascq, _, _, _, more, rest @ ..] = bytes else { return None };
    let mut sense = Sense { key: key & 0x0F, asc: *asc, ascq: *ascq, deferred, ..Sense::default() };
    let mut rest = &rest[..rest.len().min(usize::from(*more))];
    let mut wrong_length = false;
    while let [kind, len, body @ ..] = rest {
        let len = usize::from(*len).min(body.len());
        let (body, next) = body.split_at(len);
        match (kind, body) {
            (0x00, [valid, _, value @ ..]) if valid & 0x80 != 0 && value.len() >= 8 => {
                sense.information = value[..8].try_into().ok().map(u64::from_be_bytes);
            }
            // Block commands: ILI.
            (0x05, [_, flags, ..]) => wrong_length = flags & 0x20 != 0,
            (0x09, [_, error, count_high, count, l3, l0, l4, l1, l5, l2, _, status, ..]) => {
                sense.ata = Some(Registers {
                    status: *status,
                    error: *error,
                    count: u16::from_be_bytes([*count_high, *count]),
                    lba: u64::from_be_bytes([0, 0, *l5, *l4, *l3, *l2, *l1, *l0]),
                });
            }
            _ => {}
        }
        rest = next;
    }
    sense.surplus = sense.information.filter(|_| wrong_length).map(u64::cast_signed);
    Some(sense)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_format_names_the_block() {
        // What scsi_debug answers for a medium error at block 1234h (its source, resp_read_dt0).
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&[0xF0, 0, 3, 0, 0, 0x12, 0x34, 10]);
        bytes[12] = 0x11;
        let sense = parse_sense(&bytes).unwrap();
        assert_eq!((sense.key, sense.asc, sense.ascq, sense.information), (3, 0x11, 0, Some(0x1234)));
        bytes[0] = 0x70;
        assert_eq!(parse_sense(&bytes).unwrap().information, None, "not valid");
        bytes[0] = 0x71;
        assert!(parse_sense(&bytes).unwrap().deferred);
    }

    #[test]
    fn a_wrong_length_is_told_with_the_difference() {
        // SBC-3, 5.17: asked for 576 bytes of 560.
        let mut bytes = [0; 18];
        bytes[..8].copy_from_slice(&[0xF0, 0, 0x25, 0, 0, 0, 16, 10]);
        bytes[12] = 0x24;
        assert_eq!(parse_sense(&bytes).unwrap().surplus, Some(16));
        bytes[3..7].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xD0]);
        assert_eq!(parse_sense(&bytes).unwrap().surplus, Some(-48));
        bytes[2] = 5;
        assert_eq!(parse_sense(&bytes).unwrap().surplus, None, "it says nothing of the length");
        let mut bytes = vec![0x72, 5, 0x24, 0, 0, 0, 0, 16];
        bytes.extend([0x00, 0x0A, 0x80, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xD0]);
        bytes.extend([0x05, 0x02, 0, 0x20]);
        assert_eq!(parse_sense(&bytes).unwrap().surplus, Some(-48));
    }

    #[test]
    fn descriptor_format_holds_wide_blocks_and_registers() {
        let mut bytes = vec![0x72, 3, 0x11, 4, 0, 0, 0, 26];
        bytes.extend([0x00, 0x0A, 0x80, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC]);
        bytes.extend([0x09, 0x0C, 0x01, 0x40, 0x00, 0x08, 0x44, 0x11, 0x55, 0x22, 0x66, 0x33, 0xE0, 0x51]);
        let sense = parse_sense(&bytes).unwrap();
        assert_eq!(sense.information, Some(0x1234_5678_9ABC));
        let ata = Registers { status: 0x51, error: 0x40, count: 8, lba: 0x6655_4433_2211 };
        assert_eq!(sense.ata, Some(ata));
        assert!(ata.failed() && !Registers { status: 0x50, ..ata }.failed());
    }

    #[test]
    fn whatever_a_bridge_sends_is_survived() {
        let mut seed = 7_u32;
        for _ in 0..20_000 {
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            };
            let len = next() % 40;
            let mut bytes: Vec<u8> = (0..len).map(|_| next()).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x70 + next() % 4;
            }
            parse_sense(&bytes);
        }
        assert_eq!(parse_sense(&[]), None);
        assert_eq!(parse_sense(&[0x00; 18]), None);
    }
}
