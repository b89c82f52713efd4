#!/usr/bin/env bash
# build.sh FOLDER [KERNEL PACKAGE]: what a guest boots, from packages of the distribution only: FOLDER/vmlinuz and FOLDER/base.gz (busybox,
# sg3-utils, ddrescue, the kernel's modules for drives, init.sh). What is there already is kept while the package is the same.
# build.sh --program FOLDER PROGRAM: FOLDER/program.gz, a second initramfs with a program and the libraries it loads.
# Kernels from 6.7 on inject errors into scsi_debug by command; on Debian 12 that is linux-image-6.12-amd64.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# pack TREE ARCHIVE
pack() {
  (cd "$1" && find . | "$busybox" cpio -o -H newc --quiet | gzip -1) > "$2.new"
  mv "$2.new" "$2"
}

# with_libraries PROGRAM TREE: the program into TREE/bin, its libraries to where the loader looks for them.
with_libraries() {
  install -D "$1" "$2/bin/$(basename "$1")"
  ldd "$1" | grep -oE '/[^ ]+' | while read -r library; do install -D "$library" "$2$library"; done
}

if [ "$1" = --program ]; then
  out=$(cd "$2" && pwd)
  busybox=$out/busybox
  tree=$(mktemp -d) && trap 'rm -rf "$tree"' EXIT
  with_libraries "$3" "$tree"
  strip "$tree/bin/"*
  pack "$tree" "$out/program.gz"
  exit
fi

out=$1 meta=${2:-linux-image-6.12-amd64}
mkdir -p "$out" && out=$(cd "$out" && pwd)
image=$(apt-cache depends "$meta" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
image=${image:-$meta}
stamp="$image $(cat "$here/build.sh" "$here/init.sh" | cksum)"
[ "$(cat "$out/stamp" 2> /dev/null)" = "$stamp" ] && exit 0

work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$image" busybox-static)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/all"; done
busybox=$work/all/bin/busybox
[ -x "$busybox" ] || busybox=$work/all/usr/bin/busybox
install "$busybox" "$out/busybox"
install -m 644 "$work"/all/boot/vmlinuz-* "$out/vmlinuz"

tree=$work/tree
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,mnt}
install "$busybox" "$tree/bin/busybox"
install "$here/init.sh" "$tree/init"
for tool in sg_raw sg_inq sg_modes sg_logs sg_get_lba_status sg_opcodes nvme ddrescue; do with_libraries "$(command -v "$tool")" "$tree"; done
from=$(find "$work/all" -type d -path '*/lib/modules/*' -prune)
to=$tree/lib/modules/$(basename "$from")
mkdir -p "$to"
cp "$from"/modules.builtin "$from"/modules.order "$to" 2> /dev/null || true
for part in drivers/ata drivers/scsi drivers/nvme drivers/usb/{host,storage,core,common} drivers/virtio drivers/char drivers/block \
  fs/{ext4,jbd2} fs lib crypto arch/x86/crypto drivers/firmware drivers/dax; do
  # Of the large ones only what lies at the top.
  case $part in fs | drivers/scsi | drivers/block) depth=1 ;; *) depth=9 ;; esac
  if [ ! -d "$from/kernel/$part" ]; then continue; fi
  (cd "$from" && find "kernel/$part" -maxdepth "$depth" -name '*.ko*') | while read -r module; do
    mkdir -p "$to/$(dirname "$module")"
    case $module in
      *.xz) xz -dc "$from/$module" > "$to/${module%.xz}" ;;
      *.zst) zstd -qdc "$from/$module" > "$to/${module%.zst}" ;;
      *) cp "$from/$module" "$to/$module" ;;
    esac
  done
done
"$busybox" depmod -b "$tree" "$(basename "$from")"
pack "$tree" "$out/base.gz"
echo "$stamp" > "$out/stamp"
