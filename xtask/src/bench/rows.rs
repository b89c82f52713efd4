//! The rows. In commands, `$T` is the program, `$D` the disk, `$O` the folder for what is written (names that begin with
//! `x` are removed before every run).

use tintype_tests::tool;

/// A piece of work done by two programs.
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// Done once, not timed.
    pub before: Option<&'static str>,
    /// Ours.
    pub ours: &'static str,
    /// Theirs.
    pub peer: &'static str,
    /// What has to come out.
    pub goal: fn() -> Goal,
    /// The disk is a loop device with direct I/O, and the page cache is dropped before every run.
    pub device: bool,
}

/// Ours divided by theirs, at most.
pub struct Goal {
    /// Wall time.
    pub time: f64,
    /// Stored bytes, where that is part of the goal.
    pub size: Option<f64>,
}

const fn time(time: f64) -> Goal {
    Goal { time, size: None }
}

const fn both(time: f64, size: f64) -> Goal {
    Goal { time, size: Some(size) }
}

/// The library of 2014 that distributions ship is slower than today's, so that the goal beside it is sharper.
fn libewf(old: Goal, new: Goal) -> Goal {
    let said = tool("ewfacquire", &[&"-V"]).run().out();
    if said.contains("2014") { old } else { new }
}

// Both sides are flushed.
macro_rules! flushed {
    ($command:literal) => {
        concat!($command, "; sync -f \"$O\"")
    };
}

macro_rules! acquire {
    ($compression:literal, $name:literal) => {
        concat!(
            "ewfacquire -c ",
            $compression,
            " -u -q -f encase6 -S 8GiB -d sha1 -l /dev/null -C c -D d -e e -E 1 -N n -m fixed -M physical -t \"$O\"/",
            $name,
            " \"$D\" > /dev/null"
        )
    };
}

const PLAIN: Row = Row { name: "", before: None, ours: "", peer: "", goal: || time(1.0), device: false };

/// Every row, in the order of the table of goals.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "raw-md5-sha256",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash md5,sha256 -q"),
            peer: flushed!("dc3dd if=\"$D\" of=\"$O\"/x.raw hash=md5 hash=sha256 2> /dev/null"),
            goal: || time(0.50),
            ..PLAIN
        },
        Row {
            name: "raw",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash none -q"),
            peer: flushed!("nbdcopy --flush \"$D\" \"$O\"/x.raw"),
            ..PLAIN
        },
        Row {
            name: "raw-md5-sha256-dcfldd",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash md5,sha256 -q"),
            peer: flushed!("dcfldd if=\"$D\" of=\"$O\"/x.raw bs=1M hash=md5,sha256 2> /dev/null"),
            goal: || time(0.50),
            ..PLAIN
        },
        Row {
            name: "raw-qemu-img",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -W -f raw -O raw \"$D\" \"$O\"/x.raw"),
            ..PLAIN
        },
        Row {
            name: "raw-cp",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash none -q"),
            peer: flushed!("cp \"$D\" \"$O\"/x.raw"),
            ..PLAIN
        },
        Row {
            name: "raw-dd",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash none -q"),
            peer: "dd if=\"$D\" of=\"$O\"/x.raw bs=4M conv=fsync status=none",
            ..PLAIN
        },
        Row {
            name: "drive-cold",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.raw --hash none -q"),
            peer: flushed!("dd if=\"$D\" of=\"$O\"/x.raw bs=4M iflag=direct oflag=direct conv=fsync status=none"),
            device: true,
            ..PLAIN
        },
        Row {
            name: "rescue-ddrescue",
            ours: flushed!("\"$T\" rescue \"$D\" \"$O\"/x.img -q"),
            peer: flushed!("ddrescue -q -d \"$D\" \"$O\"/x.img \"$O\"/x.map"),
            goal: || time(0.90),
            device: true,
            ..PLAIN
        },
        Row {
            name: "rescue-dd",
            ours: flushed!("\"$T\" rescue \"$D\" \"$O\"/x.img -q"),
            peer: flushed!("dd if=\"$D\" of=\"$O\"/x.img bs=4M iflag=direct oflag=direct conv=fsync status=none"),
            goal: || time(1.05),
            device: true,
            ..PLAIN
        },
        Row {
            name: "e01-fast",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.E01 --compression fast --hash md5,sha1 --split 8GiB -q"),
            peer: concat!(acquire!("fast", "x"), "; sync -f \"$O\""),
            goal: || libewf(both(0.26, 1.02), both(0.30, 1.02)),
            ..PLAIN
        },
        Row {
            name: "e01-best",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.E01 --compression best --hash md5,sha1 --split 8GiB -q"),
            peer: concat!(acquire!("best", "x"), "; sync -f \"$O\""),
            goal: || both(0.15, 1.0),
            ..PLAIN
        },
        Row {
            name: "e01-empty",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.E01 --compression empty --hash md5,sha1 --split 8GiB -q"),
            peer: concat!(acquire!("empty-block", "x"), "; sync -f \"$O\""),
            goal: || time(0.60),
            ..PLAIN
        },
        Row {
            name: "e01-verify",
            before: Some(acquire!("fast", "in")),
            ours: "\"$T\" verify \"$O\"/in.E01 -q",
            peer: "ewfverify -q -d sha1 \"$O\"/in.E01 > /dev/null",
            goal: || libewf(time(0.50), time(0.80)),
            ..PLAIN
        },
        Row {
            name: "e01-to-raw",
            before: Some(acquire!("fast", "in")),
            ours: flushed!("\"$T\" convert \"$O\"/in.E01 \"$O\"/x.raw --hash none -q"),
            peer: flushed!(
                "ewfexport -u -q -f raw -o 0 -B $(stat -c %s \"$D\") -S 0 -l /dev/null -t \"$O\"/x \"$O\"/in.E01 > /dev/null"
            ),
            goal: || libewf(time(0.16), time(0.20)),
            ..PLAIN
        },
        Row {
            name: "hash-blake3",
            ours: "\"$T\" hash \"$D\" --hash blake3 -q",
            peer: "b3sum --num-threads 2 \"$D\"",
            goal: || time(1.05),
            ..PLAIN
        },
        Row {
            name: "hash-sha256",
            ours: "\"$T\" hash \"$D\" --hash sha256 -q",
            peer: "openssl dgst -sha256 \"$D\"",
            goal: || time(1.05),
            ..PLAIN
        },
        Row {
            name: "zstd",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.zst --hash none -q"),
            peer: flushed!("zstd -q -T2 -3 \"$D\" -o \"$O\"/x.zst"),
            goal: || both(1.0, 1.02),
            ..PLAIN
        },
        Row {
            name: "gzip-1",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.gz --hash none --compression fast -q"),
            peer: flushed!("pigz -1 -p2 -c \"$D\" > \"$O\"/x.gz"),
            goal: || both(0.5, 1.02),
            ..PLAIN
        },
        Row {
            name: "gzip-6",
            ours: flushed!("\"$T\" image \"$D\" \"$O\"/x.gz --hash none --compression best -q"),
            peer: flushed!("pigz -6 -p2 -c \"$D\" > \"$O\"/x.gz"),
            goal: || both(0.5, 1.02),
            ..PLAIN
        },
        Row {
            name: "convert-to-qcow2",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.qcow2 --from raw --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -W -O qcow2 \"$D\" \"$O\"/x.qcow2"),
            goal: || time(1.0),
            ..PLAIN
        },
        Row {
            name: "convert-to-qcow2-zlib",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.qcow2 --from raw --compression zlib --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -c -m 16 -W -O qcow2 \"$D\" \"$O\"/x.qcow2"),
            goal: || both(0.5, 1.04),
            ..PLAIN
        },
        Row {
            name: "convert-to-qcow2-zstd",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.qcow2 --from raw --compression zstd --hash none -q"),
            peer: flushed!(
                "qemu-img convert -f raw -c -m 16 -W -O qcow2 -o compression_type=zstd \"$D\" \"$O\"/x.qcow2"
            ),
            goal: || both(0.75, 1.02),
            ..PLAIN
        },
        Row {
            name: "convert-from-qcow2",
            before: Some("qemu-img convert -f raw -m 16 -W -O qcow2 \"$D\" \"$O\"/in.qcow2"),
            ours: flushed!("\"$T\" convert \"$O\"/in.qcow2 \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.qcow2 \"$O\"/x.raw"),
            goal: || time(0.9),
            ..PLAIN
        },
        Row {
            name: "convert-from-qcow2-zlib",
            before: Some("qemu-img convert -f raw -c -m 16 -W -O qcow2 \"$D\" \"$O\"/in.qcow2"),
            ours: flushed!("\"$T\" convert \"$O\"/in.qcow2 \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.qcow2 \"$O\"/x.raw"),
            goal: || time(0.35),
            ..PLAIN
        },
        Row {
            name: "convert-from-qcow2-zstd",
            before: Some(
                "qemu-img convert -f raw -c -m 16 -W -O qcow2 -o compression_type=zstd \"$D\" \"$O\"/in.qcow2",
            ),
            ours: flushed!("\"$T\" convert \"$O\"/in.qcow2 \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.qcow2 \"$O\"/x.raw"),
            goal: || time(0.7),
            ..PLAIN
        },
        Row {
            name: "convert-check-qcow2",
            before: Some(concat!(
                "cat > \"$O\"/in.py << 'SCRIPT'\n",
                include_str!("qcow2_of_1_tib.py"),
                "\nSCRIPT\npython3 \"$O\"/in.py \"$O\"/in.qcow2"
            )),
            ours: "\"$T\" verify \"$O\"/in.qcow2 -q",
            peer: "qemu-img check -q -f qcow2 \"$O\"/in.qcow2",
            goal: || time(0.7),
            ..PLAIN
        },
        Row {
            name: "convert-to-vmdk-stream",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.vmdk --option subformat=streamOptimized --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -O vmdk -o subformat=streamOptimized \"$D\" \"$O\"/x.vmdk"),
            goal: || both(0.17, 1.03),
            ..PLAIN
        },
        Row {
            name: "convert-to-vmdk",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.vmdk --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -W -O vmdk \"$D\" \"$O\"/x.vmdk"),
            goal: || time(0.4),
            ..PLAIN
        },
        Row {
            name: "convert-from-vmdk",
            before: Some("qemu-img convert -f raw -m 16 -W -O vmdk \"$D\" \"$O\"/in.vmdk"),
            ours: flushed!("\"$T\" convert \"$O\"/in.vmdk \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.vmdk \"$O\"/x.raw"),
            goal: || time(0.5),
            ..PLAIN
        },
        Row {
            name: "convert-from-vmdk-stream",
            before: Some("qemu-img convert -f raw -m 16 -O vmdk -o subformat=streamOptimized \"$D\" \"$O\"/in.vmdk"),
            ours: flushed!("\"$T\" convert \"$O\"/in.vmdk \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.vmdk \"$O\"/x.raw"),
            goal: || time(0.25),
            ..PLAIN
        },
        Row {
            name: "convert-raw-vhdx",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.vhdx --from raw --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -W -O vhdx \"$D\" \"$O\"/x.vhdx"),
            goal: || time(1.0),
            ..PLAIN
        },
        Row {
            name: "convert-raw-vdi",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.vdi --from raw --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -W -O vdi \"$D\" \"$O\"/x.vdi"),
            goal: || time(1.0),
            ..PLAIN
        },
        Row {
            name: "convert-raw-vhd",
            ours: flushed!("\"$T\" convert \"$D\" \"$O\"/x.vhd --from raw --hash none -q"),
            peer: flushed!("qemu-img convert -f raw -m 16 -W -O vpc -o force_size=on \"$D\" \"$O\"/x.vhd"),
            goal: || time(1.0),
            ..PLAIN
        },
        Row {
            name: "convert-vhdx-raw",
            before: Some("qemu-img convert -f raw -m 16 -W -O vhdx \"$D\" \"$O\"/in.vhdx"),
            ours: flushed!("\"$T\" convert \"$O\"/in.vhdx \"$O\"/x.raw --hash none -q"),
            peer: flushed!("qemu-img convert -m 16 -W -O raw \"$O\"/in.vhdx \"$O\"/x.raw"),
            goal: || time(0.90),
            ..PLAIN
        },
    ]
}
