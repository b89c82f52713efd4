//! What is to be written, from the options.

use super::super::layout::{CLUSTER_BITS, Codec, Geometry, SECTOR};
use crate::blocks::Footing;
use tintype_codec::deflate::Level;
use tintype_codec::zstd::LEVELS;
use tintype_core::{Compression, CreateRequest, Error, OptionSpec, Options, Result, human_size};

/// Longest L1 table, as in QEMU.
const L1_BYTES: u64 = 32 << 20;

pub(in super::super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "cluster_size",
        values: "512..2MiB",
        default: "64KiB",
        help: "unit of allocation; larger ones need smaller tables",
    },
    OptionSpec {
        name: "compat",
        values: "v2|v3",
        default: "v3",
        help: "version of the format; v2 is read by QEMU before 1.1",
    },
    OptionSpec {
        name: "refcount_bits",
        values: "1|2|4|8|16|32|64",
        default: "16",
        help: "width of reference counts; snapshots need more than one bit",
    },
    OptionSpec {
        name: "lazy_refcounts",
        values: "on|off",
        default: "off",
        help: "let machines put off reference counts when they write",
    },
    OptionSpec {
        name: "extended_l2",
        values: "on|off",
        default: "off",
        help: "divide clusters (of 16 KiB and more) into 32 subclusters",
    },
    OptionSpec {
        name: "preallocation",
        values: "off|metadata|falloc|full",
        default: "off",
        help: "give every cluster its place now, take the room for it, or write all of it",
    },
    OptionSpec {
        name: "data_file",
        values: "NAME",
        default: "none",
        help: "put the clusters into a file of their own beside the image",
    },
    OptionSpec {
        name: "data_file_raw",
        values: "on|off",
        default: "off",
        help: "let the data file be a raw image by itself",
    },
];

/// What is done about room before it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preallocation {
    Off,
    Metadata,
    Falloc,
    Full,
}

/// Clusters whose place is known from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    /// Where the first cluster of the disk lies.
    pub(super) base: u64,
    /// What about clusters of zeros.
    pub(super) zeros: Zeros,
}

/// What is done about zeros where places are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zeros {
    /// They are not mapped.
    Absent,
    /// They are mapped to a hole.
    Mapped,
    /// They are written.
    Written,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    Zlib(Level),
    Zstd(i32),
}

pub(super) struct Plan {
    pub(super) geometry: Geometry,
    pub(super) version: u32,
    pub(super) lazy: bool,
    pub(super) packing: Option<Packing>,
    pub(super) preallocation: Preallocation,
    pub(super) data_file: Option<String>,
    pub(super) data_file_raw: bool,
    pub(super) backing: Option<Footing>,
    /// Length of the source.
    pub(super) len: u64,
    /// The same in whole sectors.
    pub(super) size: u64,
}

fn word<T: Copy>(options: &Options, name: &str, values: &[(&str, T)]) -> Result<Option<T>> {
    let Some(given) = options.get(name) else { return Ok(None) };
    let found = values.iter().find(|(value, _)| *value == given).map(|(_, t)| *t);
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
        Error::usage(format!("--option {name}={given}: it is one of {}", known.join(", ")))
    })
}

fn switch(options: &Options, name: &str) -> Result<bool> {
    Ok(word(options, name, &[("on", true), ("off", false)])?.unwrap_or(false))
}

fn packing(compression: Option<&Compression>) -> Result<Option<Packing>> {
    let wrong = |what: &str| Err(Error::usage(format!("--compression {what}")));
    Ok(match compression {
        None | Some(Compression::None) => None,
        Some(Compression::Fast) => Some(Packing::Zlib(Level::Fast)),
        Some(Compression::Best) => Some(Packing::Zlib(Level::Best)),
        Some(Compression::Codec { name, level }) => match (name.as_str(), level) {
            ("zlib", None) => Some(Packing::Zlib(DEFAULT_ZLIB)),
            ("zlib", Some(level)) => match u8::try_from(*level).ok().and_then(Level::number) {
                Some(level) => Some(Packing::Zlib(level)),
                None => return wrong("zlib:N takes levels 1 to 12"),
            },
            ("zstd", level) => match level.unwrap_or(3) {
                level if LEVELS.contains(&level) => Some(Packing::Zstd(level)),
                _ => return wrong("zstd:N takes levels 1 to 22"),
            },
            _ => return wrong(&format!("{name}: QCOW2 has none, fast, best, zlib:N and zstd:N")),
        },
        Some(Compression::Empty) => return wrong("empty: QCOW2 never stores zeros; give none"),
    })
}

/// In about half of the time of zlib's level 6 within half a percent of its size.
const DEFAULT_ZLIB: Level = match Level::number(4) {
    Some(level) => level,
    None => Level::Best,
};

impl Plan {
    pub(super) fn of(request: &CreateRequest) -> Result<Self> {
        let options = &request.options;
        let refused = |what: &str| Err(Error::usage(what));
        let cluster =
            options.size("cluster_size", 1 << CLUSTER_BITS.start()..=1 << CLUSTER_BITS.end())?.unwrap_or(64 << 10);
        if !cluster.is_power_of_two() {
            return refused("--option cluster_size: clusters have a power of two of bytes");
        }
        let versions = [("v2", 2), ("v3", 3), ("0.10", 2), ("1.1", 3)];
        let version = word(options, "compat", &versions)?.unwrap_or(3);
        let widths = [("1", 0), ("2", 1), ("4", 2), ("8", 3), ("16", 4), ("32", 5), ("64", 6)];
        let geometry = Geometry {
            cluster_bits: cluster.ilog2(),
            extended: switch(options, "extended_l2")?,
            refcount_order: word(options, "refcount_bits", &widths)?.unwrap_or(4),
        };
        let kinds = [
            ("off", Preallocation::Off),
            ("metadata", Preallocation::Metadata),
            ("falloc", Preallocation::Falloc),
            ("full", Preallocation::Full),
        ];
        let len = request.known_len()?;
        let size = len.checked_next_multiple_of(SECTOR).filter(|size| *size <= i64::MAX as u64);
        let plan = Plan {
            geometry,
            version,
            lazy: switch(options, "lazy_refcounts")?,
            packing: packing(request.compression.as_ref())?,
            preallocation: word(options, "preallocation", &kinds)?.unwrap_or(Preallocation::Off),
            data_file: options.get("data_file").map(str::to_owned),
            data_file_raw: switch(options, "data_file_raw")?,
            backing: request.backing.as_ref().map(Footing::of).transpose()?,
            len,
            size: size.ok_or_else(|| Error::usage(format!("a disk of {len} bytes is more than QCOW2 holds")))?,
        };
        plan.sound(request)?;
        Ok(plan)
    }

    fn sound(&self, request: &CreateRequest) -> Result<()> {
        let refused = |what: &str| Err(Error::usage(what));
        let placed = self.preallocation != Preallocation::Off;
        if self.version < 3 {
            let three = [
                (self.geometry.extended, "extended_l2"),
                (self.geometry.refcount_order != 4, "refcount_bits other than 16"),
                (self.lazy, "lazy_refcounts"),
                (self.data_file.is_some(), "data_file"),
                (matches!(self.packing, Some(Packing::Zstd(_))), "zstd"),
            ];
            if let Some((_, what)) = three.iter().find(|(asked, _)| *asked) {
                return refused(&format!("{what} needs --option compat=v3"));
            }
        }
        if self.geometry.extended && self.geometry.cluster_bits < 14 {
            return refused("--option extended_l2=on needs a cluster_size of at least 16KiB");
        }
        if self.data_file_raw && self.data_file.is_none() {
            return refused("--option data_file_raw=on needs --option data_file=NAME");
        }
        if self.packing.is_some() && (placed || self.data_file.is_some()) {
            return refused(
                "compressed clusters have no place of their own: compression goes with neither preallocation nor data_file",
            );
        }
        if self.backing.is_some() && (placed || self.data_file_raw) {
            return refused("an image on a backing file goes with neither preallocation nor data_file_raw");
        }
        if let Some(name) = &self.data_file
            && (name.is_empty() || name.contains(['/', '\0']) || *name == request.name)
        {
            return refused("--option data_file: it takes the name of another file in the folder of the image");
        }
        if self.l1_entries() * 8 > L1_BYTES {
            return Err(Error::usage(format!(
                "a disk of {} needs larger clusters than {}: give --option cluster_size=N",
                human_size(self.len),
                human_size(self.geometry.cluster())
            )));
        }
        super::head::names_fit(self)
    }

    pub(super) fn codec(&self) -> Codec {
        match self.packing {
            Some(Packing::Zstd(_)) => Codec::Zstd,
            _ => Codec::Zlib,
        }
    }

    pub(super) fn clusters(&self) -> u64 {
        self.size.div_ceil(self.geometry.cluster())
    }

    pub(super) fn l1_entries(&self) -> u64 {
        self.size.div_ceil(self.geometry.l2_span())
    }

    pub(super) fn l1_clusters(&self) -> u64 {
        (self.l1_entries() * 8).div_ceil(self.geometry.cluster())
    }

    /// Where clusters lie, where that is known from the start.
    pub(super) fn area(&self) -> Option<Area> {
        let zeros = match self.preallocation {
            Preallocation::Full => Zeros::Written,
            Preallocation::Off if !self.data_file_raw => Zeros::Absent,
            _ => Zeros::Mapped,
        };
        if self.data_file.is_some() {
            return Some(Area { base: 0, zeros });
        }
        let base = (1 + self.l1_clusters()) * self.geometry.cluster();
        (self.preallocation != Preallocation::Off).then_some(Area { base, zeros })
    }
}
