//! OVA and OVF: the archive beside tar and 7-Zip, the descriptor beside libxml2, the disk beside qemu.

use std::path::{Path, PathBuf};
use tintype_tests::{Layout, Need::*, Scratch, assert_same, ours, read, sample_file, tool};

tintype_tests::topic! {
    ours_is_read_by_everybody: [Tool("tar"), Tool("7zz"), Tool("sha256sum"), Tool("qemu-img"), Tool("xmllint")],
    ours_follows_the_schema: [Tool("tar"), Tool("xmllint")],
    machines_of_others_are_read: [Tool("tar"), Tool("qemu-img"), Tool("sha1sum"), Tool("gzip"), Tool("split")],
    a_changed_disk_is_found: [Tool("tar")],
}

/// Unpacks an archive, and gives the folder.
fn unpacked(scratch: &Scratch, archive: &Path) -> PathBuf {
    let folder = scratch.folder("unpacked");
    tool("tar", &[&"-xf", &archive, &"-C", &folder]).ok();
    folder
}

fn ours_is_read_by_everybody() {
    let scratch = Scratch::new();
    for (i, len) in [(5 << 20) + 512, 1024, 70_001].into_iter().enumerate() {
        let (disk, _) = sample_file(&scratch, "disk", len, 400 + i as u64, Layout::Full);
        let ova = scratch.join("my vm.ova");
        ours(&[&"convert", &disk, &ova, &"--option", &"name=A & B", &"--option", &"memory=2GiB", &"-q", &"--force"])
            .ok();
        let listed = tool("tar", &[&"-tf", &ova]).ok().out();
        assert_eq!(listed, "my vm.ovf\nmy vm.mf\nmy vm-disk1.vmdk\n");
        let folder = unpacked(&scratch, &ova);
        let run = tool("7zz", &[&"t", &ova]).ok();
        assert!(run.out().contains("Everything is Ok"), "{run}");
        // The manifest, as a shell would check it.
        let script = r#"sed -E 's/^SHA256\((.*)\)= ([0-9a-f]*)$/\2  \1/' 'my vm.mf' | sha256sum --check --strict"#;
        tool("bash", &[&"-c", &script]).folder(&folder).ok();
        let vmdk = folder.join("my vm-disk1.vmdk");
        tool("qemu-img", &[&"compare", &"-F", &"raw", &"-f", &"vmdk", &vmdk, &disk]).ok();
        let json = tool("qemu-img", &[&"info", &"--output=json", &vmdk]).ok().json();
        let ask = |query: &str| {
            let ovf = folder.join("my vm.ovf");
            tool("xmllint", &[&"--xpath", &format!("string(//*[local-name()='{query}"), &ovf])
                .ok()
                .out()
                .trim()
                .to_owned()
        };
        assert_eq!(ask("Disk']/@*[local-name()='capacity'])"), json["virtual-size"].to_string());
        assert_eq!(ask("File']/@*[local-name()='size'])"), std::fs::metadata(&vmdk).unwrap().len().to_string());
        assert_eq!(ask("VirtualSystem']/*[local-name()='Name'])"), "A & B");
        ours(&[&"compare", &ova, &disk]).ok();
        ours(&[&"verify", &ova]).ok();
        ours(&[&"verify", &folder.join("my vm.ovf")]).ok();
        ours(&[&"compare", &format!("{}#disk=my vm-disk1.vmdk", ova.display()), &disk]).ok();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// The order and the types of what ours has, as DMTF's schema DSP8023 1.1.0 has them: children of settings by the alphabet, attributes
/// qualified. The schema itself cannot be kept here; what ours writes was held against it by hand.
const ORDER: &str = r#"<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="http://schemas.dmtf.org/ovf/envelope/1"
  datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
 <define name="info"><element name="Info"><text/></element></define>
 <start><element name="Envelope">
  <element name="References"><element name="File">
   <attribute name="href" ns="http://schemas.dmtf.org/ovf/envelope/1"/><attribute name="id" ns="http://schemas.dmtf.org/ovf/envelope/1"/>
   <attribute name="size" ns="http://schemas.dmtf.org/ovf/envelope/1"><data type="unsignedLong"/></attribute>
  </element></element>
  <element name="DiskSection"><ref name="info"/><element name="Disk">
   <attribute name="capacity" ns="http://schemas.dmtf.org/ovf/envelope/1"><data type="unsignedLong"/></attribute>
   <attribute name="capacityAllocationUnits" ns="http://schemas.dmtf.org/ovf/envelope/1"/>
   <attribute name="diskId" ns="http://schemas.dmtf.org/ovf/envelope/1"/><attribute name="fileRef" ns="http://schemas.dmtf.org/ovf/envelope/1"/>
   <attribute name="format" ns="http://schemas.dmtf.org/ovf/envelope/1"><data type="anyURI"/></attribute>
   <attribute name="populatedSize" ns="http://schemas.dmtf.org/ovf/envelope/1"><data type="long"/></attribute>
  </element></element>
  <element name="VirtualSystem"><attribute name="id" ns="http://schemas.dmtf.org/ovf/envelope/1"/>
   <ref name="info"/><element name="Name"><text/></element>
   <element name="OperatingSystemSection"><attribute name="id" ns="http://schemas.dmtf.org/ovf/envelope/1"><data type="unsignedShort"/></attribute>
    <ref name="info"/></element>
   <element name="VirtualHardwareSection"><ref name="info"/>
    <element name="System"><group ns="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
     <element name="ElementName"><text/></element><element name="InstanceID"><text/></element>
     <element name="VirtualSystemIdentifier"><text/></element><element name="VirtualSystemType"><text/></element></group></element>
    <oneOrMore><element name="Item"><group ns="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
     <optional><element name="Address"><text/></element></optional><optional><element name="AddressOnParent"><text/></element></optional>
     <optional><element name="AllocationUnits"><text/></element></optional><optional><element name="Description"><text/></element></optional>
     <element name="ElementName"><text/></element><optional><element name="HostResource"><text/></element></optional>
     <element name="InstanceID"><text/></element><optional><element name="Parent"><text/></element></optional>
     <optional><element name="ResourceSubType"><text/></element></optional>
     <element name="ResourceType"><data type="unsignedShort"/></element>
     <optional><element name="VirtualQuantity"><data type="unsignedLong"/></element></optional></group></element></oneOrMore>
   </element></element></element></start></grammar>"#;

fn ours_follows_the_schema() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 1 << 20, 410, Layout::Full);
    let schema = scratch.file("ovf.rng", ORDER.as_bytes());
    let ova = scratch.join("m.ova");
    ours(&[&"convert", &disk, &ova, &"--option", &"cpus=4", &"-q"]).ok();
    let ovf = unpacked(&scratch, &ova).join("m.ovf");
    tool("xmllint", &[&"--noout", &"--relaxng", &schema, &ovf]).ok();
}

fn ovf(files: &str, disks: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<Envelope ovf:version=\"1.0\" xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\">\n<References>{files}</References>\n\
         <DiskSection><Info>Disks</Info>{disks}</DiskSection>\n</Envelope>\n"
    )
}

fn machines_of_others_are_read() {
    let scratch = Scratch::new();
    let (a, _) = sample_file(&scratch, "a.raw", (2 << 20) + 512, 420, Layout::Full);
    let (b, _) = sample_file(&scratch, "b.raw", 1 << 20, 421, Layout::Full);
    let folder = scratch.folder("m");
    let script = "qemu-img convert -O vmdk -o subformat=streamOptimized ../a.raw a.vmdk
        qemu-img convert -O vmdk ../b.raw b.vmdk && gzip -c b.vmdk > b.vmdk.gz
        split -b 100000 -d -a 9 a.vmdk c.vmdk.";
    tool("bash", &[&"-e", &"-c", &script]).folder(&folder).ok();
    let size = std::fs::metadata(folder.join("a.vmdk")).unwrap().len();
    let files = format!(
        "<File ovf:id=\"1\" ovf:href=\"a.vmdk\" ovf:size=\"{size}\"/><File ovf:id=\"2\" ovf:href=\"b.vmdk.gz\" \
         ovf:compression=\"gzip\"/><File ovf:id=\"3\" ovf:href=\"c.vmdk\" ovf:size=\"{size}\" ovf:chunkSize=\"100000\"/>"
    );
    let disks = "<Disk ovf:diskId=\"d1\" ovf:fileRef=\"1\" ovf:capacity=\"2097664\"/>\
                 <Disk ovf:diskId=\"d2\" ovf:fileRef=\"2\" ovf:capacity=\"1\" ovf:capacityAllocationUnits=\"byte * 2^20\"/>\
                 <Disk ovf:diskId=\"d3\" ovf:fileRef=\"3\" ovf:capacity=\"2097664\"/>\
                 <Disk ovf:diskId=\"empty\" ovf:capacity=\"3\" ovf:capacityAllocationUnits=\"MegaBytes\"/>";
    std::fs::write(folder.join("m.ovf"), ovf(&files, disks)).unwrap();
    let script = "for f in m.ovf a.vmdk b.vmdk.gz; do echo \"SHA1($f)= $(sha1sum < $f | cut -c1-40)\"; done > m.mf
        tar --format=ustar -cf ../ustar.ova m.ovf m.mf a.vmdk b.vmdk.gz c.vmdk.*
        tar --format=pax -cf ../pax.ova ./m.ovf ./m.mf ./a.vmdk ./b.vmdk.gz ./c.vmdk.*
        tar --format=gnu -cf ../gnu.ova a.vmdk b.vmdk.gz m.mf m.ovf c.vmdk.*";
    tool("bash", &[&"-e", &"-c", &script]).folder(&folder).ok();
    for machine in [folder.join("m.ovf"), scratch.join("ustar.ova"), scratch.join("pax.ova"), scratch.join("gnu.ova")] {
        let json = ours(&[&"info", &machine, &"--json"]).ok().json();
        let parts: Vec<_> = json["parts"].as_array().unwrap().iter().map(|p| p["part"].as_str().unwrap()).collect();
        assert_eq!(parts, ["#disk=a.vmdk", "#disk=b.vmdk.gz", "#disk=c.vmdk", "#disk=empty"], "{json}");
        ours(&[&"verify", &machine]).ok();
        for (part, disk) in [("", &a), ("#disk=a.vmdk", &a), ("#disk=b.vmdk.gz", &b), ("#disk=c.vmdk", &a)] {
            let back = scratch.join("back");
            ours(&[&"convert", &format!("{}{part}", machine.display()), &back, &"--to", &"raw", &"-q", &"--force"])
                .ok();
            assert_same(disk, &back);
        }
        let json = ours(&[&"info", &format!("{}#disk=empty", machine.display()), &"--json"]).ok().json();
        assert_eq!((&json["size"], &json["extents"]["zero"]), (&(3 << 20).into(), &(3 << 20).into()), "{json}");
    }
}

fn a_changed_disk_is_found() {
    let scratch = Scratch::new();
    let (disk, _) = sample_file(&scratch, "disk", 1 << 20, 430, Layout::Full);
    let ova = scratch.join("m.ova");
    ours(&[&"convert", &disk, &ova, &"-q"]).ok();
    let good = read(&ova);
    // What fills up the archive belongs to nothing.
    let end = good.len() - (12 << 10);
    for at in (100_000..end).step_by(end / 40) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let changed = scratch.file("changed.ova", &bytes);
        let run = ours(&[&"verify", &changed]).run().exited_any(&[1, 3]);
        assert!(
            run.stderr.contains("manifest") || run.out().contains("manifest") || run.code() == Some(3),
            "{at}: {run}"
        );
    }
}
