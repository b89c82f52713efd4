#!/bin/busybox sh
# The first process of the guest: mounts, loads modules, then does what the test says.
# A line from the port is a command for the shell; back come "STATUS BYTES BYTES", standard output and standard error.
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp LC_ALL=C TZ=UTC
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=90% tmp /tmp
mount -t tmpfs run /run
mount -t debugfs debug /sys/kernel/debug
# The console is for what goes wrong.
echo 3 > /proc/sys/kernel/printk
for module in virtio_pci virtio_console virtio_blk virtio_scsi ahci nvme sd_mod sg xhci_pci usb_storage uas crc32c_generic ext4; do
  modprobe $module 2> /dev/null
done
port=/dev/vport*p1
n=0
until [ -e $port ]; do
  n=$((n + 1)); [ $n -gt 300 ] && { echo "no port"; poweroff -f; }
  usleep 100000
done
exec 3<> "$(echo $port)"
echo ready >&3
while read -r line <&3; do
  sh -c "$line" > /run/out 2> /run/err < /dev/null 3>&-
  echo "$? $(stat -c %s /run/out) $(stat -c %s /run/err)" >&3
  cat /run/out /run/err >&3
done
poweroff -f
