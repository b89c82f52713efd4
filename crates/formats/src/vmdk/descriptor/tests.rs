use super::*;

const VMWARE: &str = "# Disk DescriptorFile\r\nversion=1\r\nencoding=\"windows-1252\"\r\nCID=fb183c20\r\n\
    parentCID=ffffffff\r\nisNativeSnapshot=\"no\"\r\ncreateType=\"custom\"\r\n\r\n# Extent description\r\n\
    RW 63 FLAT \"a b \"c\".vmdk\" 5\r\nRDONLY 1 ZERO\r\nrw 7 VMFS \"x-flat.vmdk\"\r\n\
    RW 4 SESPARSE \"s.vmdk\"\r\n\r\n#DDB\r\nddb.adapterType = \"lsilogic\"\r\n";

fn parse(text: &[u8]) -> Result<Descriptor> {
    Descriptor::parse(text, &Limits::default())
}

#[test]
fn a_descriptor_is_understood() {
    let found = parse(VMWARE.as_bytes()).unwrap();
    assert_eq!((found.cid, found.parent_cid, &found.create_type[..]), (0xfb18_3c20, NO_PARENT, "custom"));
    let lines: Vec<_> =
        found.extents.iter().map(|e| (e.access, e.sectors, e.kind.clone(), &e.name[..], e.offset)).collect();
    assert_eq!(
        lines,
        [
            (Access::ReadWrite, 63, ExtentKind::Flat, "a b \"c\".vmdk", 5),
            (Access::ReadOnly, 1, ExtentKind::Zero, "", 0),
            (Access::ReadWrite, 7, ExtentKind::Flat, "x-flat.vmdk", 0),
            (Access::ReadWrite, 4, ExtentKind::SeSparse, "s.vmdk", 0),
        ]
    );
    assert_eq!(found.fields["ddb.adapterType"], "lsilogic");
}

#[test]
fn its_encoding_is_the_one_it_names() {
    let named = |encoding: &str, name: &[u8]| {
        let mut text = VMWARE.replace("windows-1252", encoding).replace("x-flat", "@").into_bytes();
        let at = text.iter().position(|b| *b == b'@').unwrap();
        text.splice(at..=at, name.iter().copied());
        parse(&text).map(|d| d.extents[2].name.clone())
    };
    assert_eq!(named("UTF-8", "größe".as_bytes()).unwrap(), "größe.vmdk");
    assert_eq!(named("windows-1252", b"gr\xf6\xdfe \x80").unwrap(), "größe €.vmdk");
    let e = named("GBK", b"\xb4\xc5\xc5\xcc").unwrap_err();
    assert!(e.kind() == tintype_core::Kind::Unsupported && e.what().contains("GBK"), "{e}");
}

#[test]
fn nonsense_is_refused() {
    for text in [
        "",
        "createType=\"x\"",
        "CID=xyz",
        "version=9\nCID=1",
        "CID=1\nRW",
        "CID=1\nRW 5",
        "CID=1\nRW 5 FLAT",
        "CID=1\nRW 5 FLAT name",
        "CID=1\nRW 5 FLAT \"name",
        "CID=1\nRW 5 FLAT \"name\" x",
        "CID=1\nRW -5 FLAT \"name\" 0",
        "CID=1\nRW 99999999999999999 FLAT \"name\" 0",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text:?}");
    }
    let many = format!("CID=1\n{}", "RW 1 ZERO\n".repeat(11));
    let few = Limits { files: 10, ..Limits::default() };
    assert_eq!(Descriptor::parse(many.as_bytes(), &few).unwrap_err().kind(), tintype_core::Kind::Limit);
}
