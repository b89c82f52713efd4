//! The OVF descriptor: which files a machine consists of, and which of them are disks.
//!
//! Source: DMTF's DSP0243 (OVF 1.1.0) and its schema DSP8023.

use super::xml::{Event, escaped, events};
use std::collections::BTreeMap;
use tintype_core::{Error, Result};

/// Longest descriptor that is read.
pub(super) const LONGEST: u64 = 4 << 20;
/// Most files, and most disks, of a machine.
const MOST: usize = 4096;
/// What we call the format of the disk in it.
const STREAM_OPTIMIZED: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) files: Vec<File>,
    pub(super) disks: Vec<Disk>,
    /// The name of the machine, if it has one.
    pub(super) name: String,
    pub(super) version: String,
}

/// A file that belongs to the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) size: Option<u64>,
    /// Compressed as a whole, whatever its format.
    pub(super) gzip: bool,
    /// Cut into pieces of this many bytes.
    pub(super) chunk: Option<u64>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) id: String,
    /// The file that holds it; none for an empty one.
    pub(super) file: Option<String>,
    /// Bytes, if the unit is understood.
    pub(super) capacity: Option<u64>,
    pub(super) format: String,
    /// `RAW` or `COW`, from oVirt.
    pub(super) volume: String,
    /// The disk that it stands on.
    pub(super) parent: Option<String>,
}

impl Disk {
    /// `Unsupported` if the descriptor says that the disk stands on another one.
    pub(super) fn stands_alone(&self) -> Result<()> {
        match &self.parent {
            None => Ok(()),
            Some(parent) => Err(Error::unsupported(format!(
                "the disk {:?} stands on {parent:?}; machines whose disks stand on each other are not read",
                self.id
            ))),
        }
    }
}

impl Envelope {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut found = Envelope::default();
        let mut path: Vec<String> = Vec::new();
        let mut root = false;
        events(text, &mut |event| {
            match event {
                Event::Begin { name, attributes } => {
                    let attributes: BTreeMap<String, String> = attributes.into_iter().collect();
                    let get = |key: &str| attributes.get(key).cloned();
                    let number = |key: &str| get(key).and_then(|v| v.trim().parse::<u64>().ok());
                    match (path.last().map(String::as_str), &name[..]) {
                        (None, "Envelope") => {
                            root = true;
                            found.version = get("version").unwrap_or_default();
                        }
                        (Some("References"), "File") => found.files.push(File {
                            id: get("id").unwrap_or_default(),
                            href: get("href").ok_or_else(|| Error::corrupt("the OVF has a file without a name"))?,
                            size: number("size"),
                            gzip: match get("compression").as_deref() {
                                None | Some("" | "identity") => false,
                                Some("gzip") => true,
                                Some(other) => {
                                    return Err(Error::unsupported(format!(
                                        "the OVF has a file compressed with {other:?}"
                                    )));
                                }
                            },
                            chunk: number("chunkSize").filter(|n| *n > 0),
                        }),
                        // The first drafts had a Section of this type.
                        (Some("DiskSection" | "Section"), "Disk") => found.disks.push(Disk {
                            id: get("diskId").unwrap_or_default(),
                            file: get("fileRef").filter(|f| !f.is_empty()),
                            capacity: number("capacity").and_then(|n| {
                                let bytes =
                                    n.checked_mul(unit(&get("capacityAllocationUnits").unwrap_or_default())?)?;
                                (bytes <= i64::MAX as u64).then_some(bytes)
                            }),
                            format: get("format").unwrap_or_default(),
                            volume: get("volume-format").unwrap_or_default(),
                            parent: get("parentRef").filter(|p| !p.is_empty()),
                        }),
                        _ => {}
                    }
                    path.push(name);
                }
                Event::End { .. } => {
                    path.pop();
                }
                Event::Text(text) => {
                    if let [.., a, b] = &path[..]
                        && a == "VirtualSystem"
                        && b == "Name"
                        && found.name.is_empty()
                    {
                        found.name = text;
                    }
                }
            }
            if found.files.len() > MOST || found.disks.len() > MOST {
                return Err(Error::limit(format!("the OVF has more than {MOST} files or disks")));
            }
            Ok(())
        })?;
        if !root {
            return Err(Error::corrupt("the OVF descriptor has no Envelope"));
        }
        Ok(found)
    }
}

/// Bytes of a unit: `byte * 2^20`, `GigaBytes`; none if it is not understood.
fn unit(text: &str) -> Option<u64> {
    let text: String = text.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(power) = text.strip_prefix("byte*2^").or_else(|| text.strip_prefix("bytes*2^")) {
        return power.parse().ok().and_then(|p| 1u64.checked_shl(p)).filter(|n| *n > 0);
    }
    Some(match &text[..] {
        "" | "byte" | "bytes" => 1,
        "kilobytes" | "kb" => 1 << 10,
        "megabytes" | "mb" => 1 << 20,
        "gigabytes" | "gb" => 1 << 30,
        "terabytes" | "tb" => 1 << 40,
        _ => return None,
    })
}

/// A machine that we describe.
pub(super) struct Machine<'a> {
    pub(super) name: &'a str,
    pub(super) cpus: u32,
    /// MiB.
    pub(super) memory: u64,
    /// The disk's file.
    pub(super) href: &'a str,
    /// Bytes of that file.
    pub(super) size: u64,
    /// Bytes of the disk.
    pub(super) capacity: u64,
    /// Bytes of it that are not zeros.
    pub(super) populated: u64,
}

impl Machine<'_> {
    /// The descriptor.
    pub(super) fn encode(&self) -> String {
        let (name, href) = (escaped(self.name), escaped(self.href));
        let Machine { cpus, memory, size, capacity, populated, .. } = self;
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <References>
    <File ovf:href="{href}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>The disks of the machine</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="{STREAM_OPTIMIZED}" ovf:populatedSize="{populated}"/>
  </DiskSection>
  <VirtualSystem ovf:id="vm">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="1">
      <Info>The operating system is not known</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine needs</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-07</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:Description>Number of virtual CPUs</rasd:Description>
        <rasd:ElementName>{cpus} virtual CPU(s)</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Description>Memory size</rasd:Description>
        <rasd:ElementName>{memory} MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Description>SCSI controller</rasd:Description>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Hard disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
        )
    }
}
