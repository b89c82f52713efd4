//! Drives with bad sectors.

use crate::rig::{Rig, backing, possible};
use tintype_core::testing::Model;
use tintype_core::{Aligned, Kind, Source};
use tintype_device::block;

#[test]
fn only_the_bad_sectors_are_lost() {
    let Some(_alone) = possible("only_the_bad_sectors_are_lost") else { return };
    let dir = tempfile::tempdir().unwrap();
    let model = Model::noise(32 << 20, 3);
    let image = backing(dir.path(), "image", &model.bytes);
    let bad = |sector: u64| (20_000..=20_007).contains(&sector) || sector == 40_001;
    let script = format!(
        r#"case "$1" in
 get_size) echo {len};;
 pread) len=$3; off=$4; a=$((off/512)); b=$(((off+len-1)/512))
   if {{ [ $a -le 20007 ] && [ $b -ge 20000 ]; }} || {{ [ $a -le 40001 ] && [ $b -ge 40001 ]; }}; then
     echo "EIO bad sector" >&2; exit 1; fi
   dd if={image} iflag=skip_bytes,count_bytes skip=$off count=$len bs=65536 status=none;;
 *) exit 2;;
esac"#,
        len = model.bytes.len(),
        image = image.display(),
    );
    let Some(rig) = Rig::new(dir.path(), &format!("#!/bin/sh\n{script}")) else { return };
    let source = block::open(&rig.device.as_ref().unwrap().0).unwrap();
    assert!(source.is_direct());
    // Sector by sector around the bad ones, and in a buffer that needs the bounce.
    for sector in (19_990..20_020).chain(39_990..40_010) {
        let mut buf = vec![0; 513];
        let result = source.read_at(&mut buf[1..], sector * 512);
        assert_eq!(result.is_err(), bad(sector), "sector {sector}");
        match result {
            Ok(()) => assert!(buf[1..] == model.bytes[sector as usize * 512..][..512]),
            Err(e) => assert_eq!(e.kind(), Kind::Unreadable { good: 0, first_bad: None }),
        }
    }
    // Reads across them: what is called good is good, and it never reaches into a bad sector.
    for (offset, len) in
        [(0u64, 32usize << 20), (19_999 * 512, 512 * 20), (19_990 * 512 + 7, 9_000), (9 << 20, 1 << 20)]
    {
        let mut buf = Aligned::new(len);
        let e = source.read_at(&mut buf, offset).err().unwrap();
        let Kind::Unreadable { good, .. } = e.kind() else { panic!("{e}") };
        assert!(offset + good <= 20_000 * 512, "{good} of {len} at {offset}");
        assert!(buf[..good as usize] == model.bytes[offset as usize..][..good as usize]);
        assert_eq!(e.offset(), Some(offset + good));
    }
}
